"""The marginal likelihood of scales and sigma, given a quadratic log likelihood of the coefficients.

With coef = mean + sd * z, z ~ Normal(0, I) and a quadratic log likelihood, everything about z given
theta (the logarithms of scales and sigma) is Gaussian in closed form (Rasmussen and Williams 2006,
equation 2.30; MacKay 1992): precision A = I + S H S, covariance C = A^-1, mean mu = C S g', with
S = diag(sd). The evidence is what is left of theta. A is some hundreds wide whatever the trial, so
this is LAPACK's work, on the host: a factorisation takes a millisecond, which is less than it takes to
ask an accelerator for one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.optimize
from scipy.linalg import lapack

from sbcflow.data import FloatArray
from sbcflow.errors import EstimationError
from sbcflow.likelihood import Curvature
from sbcflow.model import PartPrior

LONGEST_STEP = 2.0
LARGEST_GRADIENT = 1e-3
MAX_STEPS = 100
WIDEST_ROOT = 1.5


def centre(curvature: Curvature, prior: PartPrior) -> Curvature:
    """Return the quadratic as a function of coef - prior mean."""
    mean = prior.mean.ravel()
    shifted = curvature.linear - curvature.precision @ mean
    squares = curvature.squares - float((curvature.linear + shifted) @ mean)
    return replace(curvature, linear=shifted, squares=squares)


@dataclass(frozen=True)
class Conditional:
    """The Gaussian of z given theta: Cholesky factor of A (D, D) lower, mean z (D,), sd (D,)."""

    factor: FloatArray
    mean: FloatArray
    sd: FloatArray


def condition(centred: Curvature, prior: PartPrior, theta: FloatArray) -> Conditional:
    """Return the Gaussian of z given ``theta``, for a centred quadratic.

    Raises:
        EstimationError: A is not positive definite in float64, as where something is not finite.
    """
    sd, noise = _spread(prior, theta)
    scaled = (sd / noise**2)[:, None] * centred.precision * sd
    scaled[np.diag_indices_from(scaled)] += 1.0
    factor, failed = lapack.dpotrf(scaled.T, lower=True, overwrite_a=True)
    if failed:
        raise EstimationError("the evidence of the scales is not finite; check covariates and outcomes")
    mean, _ = lapack.dpotrs(factor, sd * centred.linear / noise**2, lower=True)
    return Conditional(factor, mean, sd)


def log_evidence(centred: Curvature, prior: PartPrior, theta: FloatArray) -> float:
    """Return log p(theta) + log of the integrated likelihood, up to a constant."""
    return _log_evidence_given(centred, condition(centred, prior, theta), prior, theta)


def _log_evidence_given(centred: Curvature, given: Conditional, prior: PartPrior, theta: FloatArray) -> float:
    _, noise = _spread(prior, theta)
    data = 0.5 * _pull(centred, given, noise) - 0.5 * centred.squares / noise**2 - centred.n * np.log(noise)
    return float(data - np.sum(np.log(np.diag(given.factor))) + _log_prior(prior, theta)[0])


@dataclass(frozen=True)
class Evidence:
    """The evidence around one theta (T,), and the Gaussian of z there.

    ``value`` of :func:`log_evidence`, its ``gradient`` (T,) and ``hessian`` (T, T); ``covariance`` (D, D)
    of z.
    """

    theta: FloatArray
    value: float
    gradient: FloatArray
    hessian: FloatArray
    given: Conditional
    covariance: FloatArray

    @property
    def step(self) -> FloatArray:
        """The mean (D,) of the coefficients less their prior mean."""
        return self.given.sd * self.given.mean

    @property
    def coef_covariance(self) -> FloatArray:
        """The covariance (D, D) of the coefficients."""
        return self.given.sd[:, None] * self.covariance * self.given.sd

    def distance(self, step: FloatArray) -> float:
        """Return the squared length of a step (D,) in posterior standard deviations, a coefficient."""
        return float(np.mean((self.given.factor.T @ (step / self.given.sd)) ** 2))


def expand_evidence(centred: Curvature, prior: PartPrior, theta: FloatArray) -> Evidence:
    """Return the evidence with two derivatives, from one factorisation.

    The gradient is MacKay's (1992): for the scale of a group, the sum of mu^2 + diag C - 1. The Hessian
    follows from dC = -C dA C: with P the projection on a group and M = P mu,
    ``4 M'C M - 2 [g = h] (mu'P mu + tr P C) + 2 |P_g C P_h|^2`` for two scales. Sigma is a scale of all
    columns in reverse, with the data's own terms.

    Raises:
        EstimationError: A is not positive definite in float64.
    """
    given = condition(centred, prior, theta)
    lower, _ = lapack.dpotri(given.factor, lower=True)
    covariance = lower + lower.T
    covariance[np.diag_indices_from(covariance)] /= 2
    return Evidence(
        theta=theta,
        value=_log_evidence_given(centred, given, prior, theta),
        gradient=_gradient(centred, given, covariance, prior, theta),
        hessian=_hessian(centred, given, covariance, prior, theta),
        given=given,
        covariance=covariance,
    )


def _gradient(
    centred: Curvature, given: Conditional, covariance: FloatArray, prior: PartPrior, theta: FloatArray
) -> FloatArray:
    variance, (_, noise) = np.diag(covariance), _spread(prior, theta)
    gradient = _members(prior).T @ (given.mean**2 + variance - 1.0)
    if prior.has_noise:
        effective = np.sum(1.0 - variance)
        fitted = _pull(centred, given, noise) + given.mean @ given.mean
        gradient = np.append(gradient, centred.squares / noise**2 - centred.n - fitted + effective)
    return np.asarray(gradient + _log_prior(prior, theta)[1])


def _hessian(
    centred: Curvature, given: Conditional, covariance: FloatArray, prior: PartPrior, theta: FloatArray
) -> FloatArray:
    members, (_, noise) = _members(prior), _spread(prior, theta)
    variance, squared = np.diag(covariance), covariance**2
    means = given.mean[:, None] * members
    hessian = 4 * means.T @ covariance @ means + 2 * members.T @ squared @ members
    hessian -= 2 * np.diag(members.T @ (given.mean**2 + variance))
    if prior.has_noise:
        pulled = covariance @ given.mean
        cross = -4 * means.T @ pulled + 2 * members.T @ (variance - squared.sum(axis=1))
        fitted = 2 * _pull(centred, given, noise) + 2 * given.mean @ given.mean + 4 * given.mean @ pulled
        own = fitted - 2 * centred.squares / noise**2 - 2 * np.sum(variance) + 2 * np.sum(squared)
        hessian = np.block([[hessian, cross[:, None]], [cross[None], np.array([[own]])]])
    return np.asarray(hessian + np.diag(_log_prior(prior, theta)[2]))


def _pull(centred: Curvature, given: Conditional, noise: float) -> float:
    return float(given.mean @ (given.sd * centred.linear)) / noise**2


def _members(prior: PartPrior) -> FloatArray:
    """Return which coefficients a scale multiplies, (D, S) of 0 and 1."""
    return (prior.scale_index.reshape(-1, 1) == np.arange(prior.n_scales)).astype(np.float64)


def _spread(prior: PartPrior, theta: FloatArray) -> tuple[FloatArray, float]:
    """Return the prior standard deviations (D,) of the coefficients, and sigma (1 where there is none)."""
    values = np.exp(theta)
    scales = np.append(values[: prior.n_scales], 1.0)
    noise = float(values[prior.n_scales]) if prior.has_noise else 1.0
    return (prior.fixed_sd * scales[prior.scale_index]).ravel(), noise


def _log_prior(prior: PartPrior, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Return the log density of ``theta`` up to a constant, and its first and second derivatives (T,).

    That of :func:`sbcflow.model.log_prior_theta`, in closed form: HalfNormal scales and a LogNormal sigma.
    """
    log_scales = theta[: prior.n_scales]
    squares = (np.exp(log_scales) / prior.widths) ** 2
    value, first, second = np.sum(log_scales - 0.5 * squares), 1.0 - squares, -2.0 * squares
    if prior.has_noise:
        median, log_sd = prior.noise
        away = (theta[prior.n_scales] - np.log(median)) / log_sd
        value -= 0.5 * away**2
        first, second = np.append(first, -away / log_sd), np.append(second, -1.0 / log_sd**2)
    return float(value), first, second


def maximise(centred: Curvature, prior: PartPrior, start: FloatArray) -> Evidence:
    """Return the evidence at its top, searched from ``start`` by Newton steps in a trust region.

    Raises:
        EstimationError: the evidence is not finite, or no top is found in MAX_STEPS steps.
    """
    loss = _Loss(centred, prior)
    if not np.isfinite(loss.at(start).value):
        raise EstimationError("the evidence of the scales is not finite; check covariates and outcomes")
    found = scipy.optimize.minimize(
        loss.value,
        start,
        method="trust-exact",
        jac=loss.gradient,
        hess=loss.hessian,
        options={"gtol": LARGEST_GRADIENT, "max_trust_radius": LONGEST_STEP, "maxiter": MAX_STEPS},
    )
    if not found.success:
        raise EstimationError(f"the evidence of the scales has no top after {MAX_STEPS} steps")
    return loss.at(found.x)


class _Loss:
    """Minus the evidence and its derivatives, which a search asks for several times at the same theta."""

    def __init__(self, centred: Curvature, prior: PartPrior) -> None:
        self._centred, self._prior = centred, prior
        self._last: Evidence | None = None

    def at(self, theta: FloatArray) -> Evidence:
        if self._last is None or not np.array_equal(self._last.theta, theta):
            self._last = expand_evidence(self._centred, self._prior, theta.copy())
        return self._last

    def value(self, theta: FloatArray) -> float:
        return -self.at(theta).value

    def gradient(self, theta: FloatArray) -> FloatArray:
        return -self.at(theta).gradient

    def hessian(self, theta: FloatArray) -> FloatArray:
        return -self.at(theta).hessian


def theta_root(at: Evidence) -> FloatArray:
    """Return the root (T, T) of the covariance of theta in its Gaussian approximation there.

    Directions that the data say nothing about are held to a standard deviation of WIDEST_ROOT, as
    wide as a HalfNormal is on a log scale.
    """
    curvature, vectors = np.linalg.eigh(-at.hessian)
    return np.asarray(vectors / np.sqrt(np.maximum(curvature, WIDEST_ROOT**-2)))

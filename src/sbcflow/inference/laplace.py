"""The Laplace approximation of one part, with scales and sigma by evidence maximisation.

Newton steps on the coefficients alternate with maximising the evidence of theta under the current
quadratic (as INLA does: Rue, Martino and Chopin 2009, section 3). The uncertainty of theta is
carried into the draws: coefficients are drawn given theta at points of theta's own posterior, which
the evidence weights (``integrate``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from arviz_stats.base.array import array_stats
from numpy.typing import NDArray

from sbcflow.data import FloatArray
from sbcflow.errors import EstimationError
from sbcflow.inference.evidence import (
    Evidence,
    centre,
    condition,
    expand_evidence,
    log_evidence,
    maximise,
    theta_root,
)
from sbcflow.inference.integrate import ThetaPoints, integrate
from sbcflow.likelihood import Conversions, Curvature, Expansion, Severities, Slope, conversion_curvature
from sbcflow.model import PartPrior

MAX_STEPS = 60
MAX_HALVINGS = 30
PILOT_VISITORS = 25_000
# Squared steps a coefficient, in posterior variances, and steps of theta: after one below the first there is
# no other to the mode; below the next pair the last curvature is kept; below the last the search has ended.
NEAR_THE_MODE = 0.02
SAME_CURVATURE, SAME_CURVATURE_THETA = 5e-4, 0.01
SMALLEST_STEP, SMALLEST_THETA_STEP = 2e-6, 1e-3
MIXTURE_POINTS = 64


@dataclass(frozen=True)
class LaplaceFit:
    """The approximation of one part: D = K x n_columns coefficients, T hyperparameters.

    ``centred`` is the quadratic log likelihood in coef - prior mean, up to a constant; ``theta`` (T,)
    and the root ``theta_root`` (T, T) of its covariance, (T, 0) where theta is held fixed; ``coef``
    (K, n_columns) the mean given theta; ``n_steps`` the steps taken with all of the data.
    """

    prior: PartPrior
    centred: Curvature
    theta: FloatArray
    theta_root: FloatArray
    coef: FloatArray
    converged: bool
    n_steps: int


@dataclass(frozen=True)
class PartDraws:
    """Posterior draws of one part: coef (n, K, n_columns), noise (n,), theta (n, T); float64."""

    coef: FloatArray
    noise: FloatArray
    theta: FloatArray

    def take(self, index: slice | NDArray[np.intp]) -> PartDraws:
        """Return some of the draws."""
        return PartDraws(self.coef[index], self.noise[index], self.theta[index])


def fit_conversion(
    seen: Conversions, prior: PartPrior, theta: FloatArray, *, fixed_theta: bool = False
) -> LaplaceFit:
    """Fit the conversion part from ``theta`` (S,); ``fixed_theta`` keeps theta there.

    Raises:
        EstimationError: the log likelihood is not finite.
    """
    settle = _settling(prior, fixed_theta)
    coef, stride = prior.mean, round(float(seen.design.n) / PILOT_VISITORS)
    if stride > 1:
        pilot = _find_mode(seen, prior, (coef, theta), settle, stride)
        coef, theta = _coef(prior, pilot.at), pilot.at.theta
    mode = _find_mode(seen, prior, (coef, theta), settle)
    return _finish(prior, _average_curvature(seen, prior, mode, settle), fixed_theta)


def fit_severity(
    seen: Severities, prior: PartPrior, theta: FloatArray, *, fixed_theta: bool = False
) -> LaplaceFit:
    """Fit the severity part from ``theta`` (S + 1,): Gaussian given theta, so no Newton steps."""
    centred = centre(seen.curvature, prior)
    at = _settling(prior, fixed_theta)(centred, theta)
    return _finish(prior, _Found(centred, at, True, 0), fixed_theta)


@dataclass(frozen=True)
class _Found:
    centred: Curvature
    at: Evidence
    converged: bool
    n_steps: int


Settle = Callable[[Curvature, FloatArray], Evidence]


def _settling(prior: PartPrior, fixed_theta: bool) -> Settle:
    """Return what takes a theta to the top of a quadratic's evidence, or leaves it where it is."""
    choose = expand_evidence if fixed_theta else maximise
    return lambda centred, theta: choose(centred, prior, theta)


def _find_mode(
    seen: Conversions,
    prior: PartPrior,
    start: tuple[FloatArray, FloatArray],
    settle: Settle,
    stride: int = 1,
) -> _Found:
    """Climb close to the mode from coefficients and theta; with a ``stride``, that of some visitors."""
    coef, theta = start
    expansion = _expand(seen, coef, stride)
    for n_steps in range(1, MAX_STEPS + 1):  # noqa: B007
        at = settle(_touching(expansion, coef, prior), theta)
        theta, last = at.theta, coef
        coef, expansion = _climb(seen, prior, at, (coef, expansion), stride)
        moved = at.distance((coef - last).ravel())
        if moved < NEAR_THE_MODE:
            break
    centred = _touching(expansion, coef, prior)
    return _Found(centred, expand_evidence(centred, prior, theta), n_steps < MAX_STEPS, n_steps)


def _average_curvature(seen: Conversions, prior: PartPrior, mode: _Found, settle: Settle) -> _Found:
    """Move from the mode to the Gaussian closest to the posterior given theta.

    Opper and Archambeau (2009), equations 2 and 3: at the optimum of Gaussian variational inference
    score and curvature hold in expectation over the approximation itself. Rare conversions make the
    posterior skewed; this puts the mean where the mode is not (van Niekerk and Rue 2024 do the same
    for INLA). Near the optimum curvature and spread are kept, and a pass is for the slope alone.
    """
    at, moved, theta_moved = mode.at, np.inf, np.inf
    for n_steps in range(1, MAX_STEPS + 1):  # noqa: B007
        coef = _coef(prior, at)
        if moved > SAME_CURVATURE or theta_moved > SAME_CURVATURE_THETA:
            predictor_sd = _predictor_sd(seen, at.coef_covariance, len(coef))
            expansion = _expand_expected(seen, coef, predictor_sd)
        else:
            expansion = Expansion(_slope_expected(seen, coef, predictor_sd), expansion.gram)
        centred = _touching(expansion, coef, prior)
        last, at = at, settle(centred, at.theta)
        moved = at.distance((_coef(prior, at) - coef).ravel())
        theta_moved = np.max(np.abs(at.theta - last.theta))
        if moved < SMALLEST_STEP and theta_moved < SMALLEST_THETA_STEP:
            break
    converged = mode.converged and n_steps < MAX_STEPS
    return _Found(centred, at, converged, mode.n_steps + n_steps)


def _finish(prior: PartPrior, found: _Found, fixed_theta: bool) -> LaplaceFit:
    theta, coef = found.at.theta, _coef(prior, found.at)
    root = np.zeros((len(theta), 0)) if fixed_theta else theta_root(found.at)
    finite = bool(np.isfinite(coef).all() and np.isfinite(theta).all())
    return LaplaceFit(prior, found.centred, theta, root, coef, found.converged and finite, found.n_steps)


def _coef(prior: PartPrior, at: Evidence) -> FloatArray:
    """Return the mean (K, n_columns) of the coefficients."""
    return prior.mean + at.step.reshape(prior.mean.shape)


def _touching(expansion: Expansion, coef: FloatArray, prior: PartPrior) -> Curvature:
    return centre(conversion_curvature(expansion, coef), prior)


@jax.jit
def _expand_jit(seen: Conversions, coef: jax.Array, stride: jax.Array) -> Expansion:
    return seen.expand(coef, stride)


@jax.jit
def _expand_expected(seen: Conversions, coef: jax.Array, predictor_sd: jax.Array) -> Expansion:
    return seen.expand_expected(coef, predictor_sd)


@jax.jit
def _slope_expected(seen: Conversions, coef: jax.Array, predictor_sd: jax.Array) -> Slope:
    return seen.slope_expected(coef, predictor_sd)


@partial(jax.jit, static_argnames="n_arms")
def _predictor_sd(seen: Conversions, covariance: jax.Array, n_arms: int) -> jax.Array:
    return seen.predictor_sd(covariance, n_arms)


def _expand(seen: Conversions, coef: FloatArray, stride: int) -> Expansion:
    expansion = _expand_jit(seen, coef, stride)
    if not np.isfinite(expansion.slope.log_likelihood).all():
        raise EstimationError("conversion: the log likelihood is not finite; check covariates and outcomes")
    return expansion


def _climb(
    seen: Conversions, prior: PartPrior, at: Evidence, here: tuple[FloatArray, Expansion], stride: int
) -> tuple[FloatArray, Expansion]:
    """Step towards the mean, halving until the penalised log likelihood does not fall."""
    coef, expansion = here
    wanted = _coef(prior, at)
    floor = _penalised(prior, at, coef, expansion)
    for _ in range(MAX_HALVINGS):
        reached = _expand(seen, wanted, stride)
        if _penalised(prior, at, wanted, reached) >= floor - 1e-6 * abs(floor):
            return wanted, reached
        wanted = (wanted + coef) / 2
    return coef, expansion


def _penalised(prior: PartPrior, at: Evidence, coef: FloatArray, expansion: Expansion) -> float:
    z = (coef - prior.mean).ravel() / at.given.sd
    return float(np.sum(expansion.slope.log_likelihood) - 0.5 * np.sum(z**2))


def theta_points(fit: LaplaceFit, rng: np.random.Generator) -> ThetaPoints:
    """Return weighted points of theta's posterior; the one point it is held at, where it is."""
    if fit.theta_root.shape[1] == 0:
        return ThetaPoints(fit.theta[None], np.zeros(1))

    def log_density(theta: FloatArray) -> float:
        return log_evidence(fit.centred, fit.prior, theta)

    return integrate(log_density, fit.theta, fit.theta_root, rng)


def draw(fit: LaplaceFit, at: ThetaPoints, n: int, rng: np.random.Generator) -> PartDraws:
    """Draw ``n`` sets of coefficients, at up to MIXTURE_POINTS of theta's points taken by weight."""
    taken = _systematic_counts(np.exp(at.log_weights), MIXTURE_POINTS, rng)
    counts = _systematic_counts(taken.astype(np.float64), n, rng)
    coefs = [_draw_given(fit, point, m, rng) for point, m in zip(at.points, counts, strict=True) if m]
    order = rng.permutation(n)
    theta = np.repeat(at.points, counts, axis=0)[order]
    noise = np.exp(theta[:, -1]) if fit.prior.has_noise else np.ones(n)
    return PartDraws(np.concatenate(coefs)[order], noise, theta)


def khat(fit: LaplaceFit, seen: Conversions, n: int, rng: np.random.Generator) -> float:
    """Return PSIS k-hat (Vehtari et al. 2024, section 3) of the coefficients' Gaussian at theta's mode.

    Estimated from ``n`` draws. Given theta the prior is Gaussian itself, so the ratio of posterior to
    approximation is that of the log likelihood to its quadratic.
    """
    coefs = _draw_given(fit, fit.theta, n, rng)
    delta = (coefs - fit.prior.mean).reshape(n, -1)
    quadratic = np.sum((delta @ fit.centred.precision) * delta, axis=1)
    approximate = delta @ fit.centred.linear - 0.5 * quadratic
    exact = np.asarray(_log_likelihoods(seen, jnp.asarray(coefs)))
    _, shape = array_stats.psislw(exact - approximate)
    return float(shape)


def _draw_given(fit: LaplaceFit, point: FloatArray, n: int, rng: np.random.Generator) -> FloatArray:
    given = condition(fit.centred, fit.prior, point)
    u = rng.standard_normal((len(given.mean), n))
    z = given.mean + scipy.linalg.solve_triangular(given.factor, u, trans="T", lower=True).T
    return fit.prior.mean + (given.sd * z).reshape(n, *fit.prior.mean.shape)


def _systematic_counts(weights: FloatArray, n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return how often each point is drawn, summing to n, by systematic resampling (Kitagawa 1996)."""
    edges = np.floor(n * np.cumsum(weights / weights.sum()) + rng.uniform())
    edges[-1] = n
    return np.diff(edges, prepend=0).astype(np.intp)


@jax.jit
def _log_likelihoods(seen: Conversions, coefs: jax.Array) -> jax.Array:
    return seen.log_likelihoods(coefs)

"""The Laplace approximation of one part, with scales and sigma by evidence maximisation.

Newton steps on the coefficients alternate with maximising the evidence of theta under the current
quadratic (as INLA does: Rue, Martino and Chopin 2009, section 3). The uncertainty of theta is
carried into the draws: coefficients are drawn given theta at points of theta's own posterior, which
the evidence weights (``integrate``).
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from arviz_stats.base.array import array_stats
from jax.scipy.linalg import solve_triangular
from numpy.typing import NDArray

from sbcflow.data import FloatArray
from sbcflow.errors import EstimationError
from sbcflow.inference.evidence import (
    Conditional,
    centre,
    condition,
    log_evidence,
    maximise,
    theta_root,
)
from sbcflow.inference.integrate import ThetaPoints, integrate
from sbcflow.likelihood import Conversions, Curvature, Expansion, Severities, conversion_curvature
from sbcflow.model import PartPrior, split_theta

MAX_STEPS = 60
MAX_HALVINGS = 30
NEAR_THE_MODE = 0.1
SMALLEST_STEP = 1e-3
SMALLEST_THETA_STEP = 1e-2
MIXTURE_POINTS = 64


@dataclass(frozen=True)
class LaplaceFit:
    """The approximation of one part: D = K x n_columns coefficients, T hyperparameters.

    ``centred`` is the quadratic log likelihood in coef - prior mean, up to a constant; ``theta`` (T,)
    and the root ``theta_root`` (T, T) of its covariance, (T, 0) where theta is held fixed; ``coef``
    (K, n_columns) the mean given theta; ``n_steps`` the passes over the data.
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
    coef = prior.mean
    expansion = _expand(seen, coef)
    for n_steps in range(1, MAX_STEPS + 1):  # noqa: B007
        centred = _touching(expansion, coef, prior)
        theta = theta if fixed_theta else maximise(centred, prior, theta)
        last_coef = coef
        coef, expansion = _climb(seen, prior, theta, (coef, expansion), _mean(centred, prior, theta))
        moved = _posterior_distance(centred, prior, theta, coef - last_coef)
        if moved < NEAR_THE_MODE:
            break
    mode = _Search(_touching(expansion, coef, prior), theta, n_steps < MAX_STEPS, n_steps)
    return _finish(prior, _average_curvature(seen, prior, mode, fixed_theta), fixed_theta)


def _average_curvature(seen: Conversions, prior: PartPrior, mode: _Search, fixed_theta: bool) -> _Search:
    """Move from the mode to the Gaussian closest to the posterior given theta.

    Opper and Archambeau (2009), equations 2 and 3: at the optimum of Gaussian variational inference
    score and curvature hold in expectation over the approximation itself. Rare conversions make the
    posterior skewed; this puts the mean where the mode is not (van Niekerk and Rue 2024 do the same
    for INLA).
    """
    centred, theta = mode.centred, mode.theta
    for n_steps in range(1, MAX_STEPS + 1):  # noqa: B007
        given = _condition(centred, prior, jnp.asarray(theta))
        coef = _mean(centred, prior, theta)
        expansion = _expand_expected(seen, coef, _covariance(given))
        centred = _touching(expansion, coef, prior)
        last_theta, theta = theta, theta if fixed_theta else maximise(centred, prior, theta)
        moved = _posterior_distance(centred, prior, theta, _mean(centred, prior, theta) - coef)
        if moved < SMALLEST_STEP and np.max(np.abs(theta - last_theta)) < SMALLEST_THETA_STEP:
            break
    converged = mode.converged and n_steps < MAX_STEPS
    return _Search(centred, theta, converged, mode.n_steps + n_steps)


def fit_severity(
    seen: Severities, prior: PartPrior, theta: FloatArray, *, fixed_theta: bool = False
) -> LaplaceFit:
    """Fit the severity part from ``theta`` (S + 1,): Gaussian given theta, so no Newton steps."""
    centred = centre(seen.curvature, prior)
    theta = theta if fixed_theta else maximise(centred, prior, theta)
    return _finish(prior, _Search(centred, theta, True, 0), fixed_theta)


@dataclass(frozen=True)
class _Search:
    centred: Curvature
    theta: FloatArray
    converged: bool
    n_steps: int


def _finish(prior: PartPrior, found: _Search, fixed_theta: bool) -> LaplaceFit:
    theta = found.theta
    root = np.zeros((len(theta), 0)) if fixed_theta else theta_root(found.centred, prior, theta)
    coef = np.asarray(_mean(found.centred, prior, theta))
    finite = bool(np.isfinite(coef).all() and np.isfinite(theta).all())
    return LaplaceFit(prior, found.centred, theta, root, coef, found.converged and finite, found.n_steps)


@jax.jit
def _touching(expansion: Expansion, coef: jax.Array, prior: PartPrior) -> Curvature:
    return centre(conversion_curvature(expansion, coef), prior)


_condition = jax.jit(condition)
_log_evidence = jax.jit(log_evidence)


@jax.jit
def _expand_jit(seen: Conversions, coef: jax.Array) -> Expansion:
    return seen.expand(coef)


@jax.jit
def _expand_expected(seen: Conversions, coef: jax.Array, covariance: jax.Array) -> Expansion:
    return seen.expand_expected(coef, covariance)


@jax.jit
def _covariance(given: Conditional) -> jax.Array:
    """Return the covariance (D, D) of coefficients given theta."""
    root = solve_triangular(given.factor, jnp.diag(given.sd), lower=True)
    return root.T @ root


def _expand(seen: Conversions, coef: jax.Array) -> Expansion:
    expansion = _expand_jit(seen, coef)
    if not np.isfinite(expansion.log_likelihood).all():
        raise EstimationError("conversion: the log likelihood is not finite; check covariates and outcomes")
    return expansion


@jax.jit
def _mean(centred: Curvature, prior: PartPrior, theta: FloatArray) -> jax.Array:
    given = condition(centred, prior, jnp.asarray(theta))
    return prior.mean + (given.sd * given.mean).reshape(prior.mean.shape)


def _climb(
    seen: Conversions,
    prior: PartPrior,
    theta: FloatArray,
    here: tuple[jax.Array, Expansion],
    wanted: jax.Array,
) -> tuple[jax.Array, Expansion]:
    """Step towards ``wanted``, halving until the penalised log likelihood does not fall."""
    coef, expansion = here
    floor = float(_penalised(prior, theta, coef, expansion))
    for _ in range(MAX_HALVINGS):
        reached = _expand(seen, wanted)
        if _penalised(prior, theta, wanted, reached) >= floor - 1e-6 * abs(floor):
            return wanted, reached
        wanted = (wanted + coef) / 2
    return coef, expansion


@jax.jit
def _penalised(prior: PartPrior, theta: FloatArray, coef: jax.Array, expansion: Expansion) -> jax.Array:
    scales, _ = split_theta(prior, jnp.asarray(theta))
    z = (coef - prior.mean) / prior.sd(scales)
    return jnp.sum(expansion.log_likelihood) - 0.5 * jnp.sum(z**2)


def _posterior_distance(centred: Curvature, prior: PartPrior, theta: FloatArray, step: jax.Array) -> float:
    """Return the squared length of a step of coefficients, in posterior standard deviations."""
    given = _condition(centred, prior, jnp.asarray(theta))
    z = np.asarray(step).ravel() / np.asarray(given.sd)
    return float(np.sum((np.asarray(given.factor).T @ z) ** 2))


def theta_points(fit: LaplaceFit, rng: np.random.Generator) -> ThetaPoints:
    """Return weighted points of theta's posterior; the one point it is held at, where it is."""
    if fit.theta_root.shape[1] == 0:
        return ThetaPoints(fit.theta[None], np.zeros(1))

    def log_density(theta: FloatArray) -> float:
        return float(_log_evidence(fit.centred, fit.prior, jnp.asarray(theta)))

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
    delta = (coefs - np.asarray(fit.prior.mean)).reshape(n, -1)
    precision, linear = np.asarray(fit.centred.precision), np.asarray(fit.centred.linear)
    approximate = delta @ linear - 0.5 * np.einsum("ij,ij->i", delta @ precision, delta)
    exact = np.asarray(_log_likelihoods(seen, jnp.asarray(coefs)))
    _, shape = array_stats.psislw(exact - approximate)
    return float(shape)


def _draw_given(fit: LaplaceFit, point: FloatArray, n: int, rng: np.random.Generator) -> FloatArray:
    given: Conditional = _condition(fit.centred, fit.prior, jnp.asarray(point))
    u = rng.standard_normal((len(given.mean), n))
    z = np.asarray(given.mean) + scipy.linalg.solve_triangular(given.factor, u, trans="T", lower=True).T
    return np.asarray(fit.prior.mean) + (np.asarray(given.sd) * z).reshape(n, *fit.prior.mean.shape)


def _systematic_counts(weights: FloatArray, n: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return how often each point is drawn, summing to n, by systematic resampling (Kitagawa 1996)."""
    edges = np.floor(n * np.cumsum(weights / weights.sum()) + rng.uniform())
    edges[-1] = n
    return np.diff(edges, prepend=0).astype(np.intp)


@jax.jit
def _log_likelihoods(seen: Conversions, coefs: jax.Array) -> jax.Array:
    return seen.log_likelihoods(coefs)

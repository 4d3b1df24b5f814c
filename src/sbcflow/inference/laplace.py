"""The Laplace approximation of one part, with scales and sigma by evidence maximisation.

Newton steps on the coefficients alternate with maximising the evidence of theta under the current
quadratic (as INLA does: Rue, Martino and Chopin 2009, section 3). The uncertainty of theta is
carried into the draws: coefficients are drawn given theta at points of theta's own Gaussian, the
points weighted by evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from arviz_stats.base import array_stats
from numpy.typing import NDArray
from scipy.special import logsumexp
from scipy.stats import qmc

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
from sbcflow.likelihood import Conversions, Curvature, Expansion, Severities, conversion_curvature
from sbcflow.model import PartPrior, split_theta

MAX_NEWTON_STEPS = 60
SMALLEST_STEP = 1e-4
SMALLEST_THETA_STEP = 1e-3
N_THETA_POINTS = 32


@dataclass(frozen=True)
class LaplaceFit:
    """The approximation of one part: D = K x n_columns coefficients, T hyperparameters.

    ``centred`` is the quadratic log likelihood in coef - prior mean; ``offset`` what to add to it to
    get the log likelihood at the mode; ``theta`` (T,) and the root ``theta_root`` (T, T) of its
    covariance, (T, 0) where theta is held fixed; ``coef`` (K, n_columns) the mode.
    """

    prior: PartPrior
    centred: Curvature
    offset: float
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


@dataclass(frozen=True)
class ThetaPoints:
    """Points of theta's Gaussian (P, T) and the log of their normalised importance weights (P,)."""

    points: FloatArray
    log_weights: FloatArray


def fit_conversion(
    seen: Conversions, prior: PartPrior, theta: FloatArray, *, fixed_theta: bool = False
) -> LaplaceFit:
    """Find the mode of the conversion part from ``theta`` (S,); ``fixed_theta`` keeps theta there.

    Raises:
        EstimationError: the log likelihood is not finite.
    """
    coef = prior.mean
    expansion = _expand(seen, coef)
    for step in range(1, MAX_NEWTON_STEPS + 1):  # noqa: B007
        centred = centre(conversion_curvature(expansion, coef), prior)
        last_theta, theta = theta, theta if fixed_theta else maximise(centred, prior, theta)
        wanted = _mode(centred, prior, theta)
        last_coef = coef
        coef, expansion = _climb(seen, prior, theta, (coef, expansion), wanted)
        moved = _posterior_distance(centred, prior, theta, coef - last_coef)
        if moved < SMALLEST_STEP and np.max(np.abs(theta - last_theta), initial=0) < SMALLEST_THETA_STEP:
            break
    centred = centre(conversion_curvature(expansion, coef), prior)
    offset = float(expansion.log_likelihood - _quadratic(centred, (coef - prior.mean).ravel()))
    return _finish(centred, prior, theta, offset, step < MAX_NEWTON_STEPS, step, fixed_theta)


def fit_severity(
    seen: Severities, prior: PartPrior, theta: FloatArray, *, fixed_theta: bool = False
) -> LaplaceFit:
    """Fit the severity part from ``theta`` (S + 1,): Gaussian given theta, so no Newton steps."""
    centred = centre(seen.curvature, prior)
    theta = theta if fixed_theta else maximise(centred, prior, theta)
    return _finish(centred, prior, theta, 0.0, True, 0, fixed_theta)


def _finish(
    centred: Curvature,
    prior: PartPrior,
    theta: FloatArray,
    offset: float,
    converged: bool,
    n_steps: int,
    fixed_theta: bool,
) -> LaplaceFit:
    root = np.zeros((len(theta), 0)) if fixed_theta else theta_root(centred, prior, theta)
    coef = np.asarray(_mode(centred, prior, theta))
    finite = bool(np.isfinite(coef).all() and np.isfinite(theta).all())
    return LaplaceFit(prior, centred, offset, theta, root, coef, converged and finite, n_steps)


_condition = jax.jit(condition)
_log_evidence = jax.jit(log_evidence)


@jax.jit
def _expand_jit(seen: Conversions, coef: jax.Array) -> Expansion:
    return seen.expand(coef)


def _expand(seen: Conversions, coef: jax.Array) -> Expansion:
    expansion = _expand_jit(seen, coef)
    if not np.isfinite(expansion.log_likelihood):
        raise EstimationError("conversion: the log likelihood is not finite; check covariates and outcomes")
    return expansion


def _mode(centred: Curvature, prior: PartPrior, theta: FloatArray) -> jax.Array:
    given = _condition(centred, prior, jnp.asarray(theta))
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
    scales, _ = split_theta(prior, jnp.asarray(theta))
    sd = prior.sd(scales)

    def penalised(at: jax.Array, log_likelihood: jax.Array) -> float:
        return float(log_likelihood - 0.5 * jnp.sum(((at - prior.mean) / sd) ** 2))

    floor = penalised(coef, expansion.log_likelihood)
    for _ in range(30):
        reached = _expand(seen, wanted)
        if penalised(wanted, reached.log_likelihood) >= floor - 1e-6 * abs(floor):
            return wanted, reached
        wanted = (wanted + coef) / 2
    return coef, expansion


def _posterior_distance(centred: Curvature, prior: PartPrior, theta: FloatArray, step: jax.Array) -> float:
    """Return the squared length of a step of coefficients, in posterior standard deviations."""
    given = _condition(centred, prior, jnp.asarray(theta))
    z = np.asarray(step).ravel() / np.asarray(given.sd)
    return float(np.sum((np.asarray(given.factor).T @ z) ** 2))


def _quadratic(centred: Curvature, delta: jax.Array) -> jax.Array:
    return centred.linear @ delta - 0.5 * delta @ centred.precision @ delta


def theta_points(fit: LaplaceFit, rng: np.random.Generator) -> ThetaPoints:
    """Return points of theta's Gaussian, weighted by evidence over Gaussian density."""
    if fit.theta_root.shape[1] == 0:
        return ThetaPoints(fit.theta[None], np.zeros(1))
    sampler = qmc.MultivariateNormalQMC(np.zeros(len(fit.theta)), rng=rng)
    normal = sampler.random(N_THETA_POINTS)
    points = fit.theta + normal @ fit.theta_root.T
    evidence = [float(_log_evidence(fit.centred, fit.prior, jnp.asarray(p))) for p in points]
    log_weights = np.array(evidence) + 0.5 * np.sum(normal**2, axis=1)
    return ThetaPoints(points, log_weights - logsumexp(log_weights))


def draw(fit: LaplaceFit, at: ThetaPoints, n: int, rng: np.random.Generator) -> PartDraws:
    """Draw ``n`` sets of coefficients, theta's points taken in proportion to their weights."""
    return _draw_at(fit, at, _systematic_counts(np.exp(at.log_weights), n, rng), rng)


def khat(
    fit: LaplaceFit,
    seen: Conversions | Severities,
    at: ThetaPoints,
    n: int,
    rng: np.random.Generator,
) -> float:
    """Return PSIS k-hat of the approximation of coefficients and theta together, from ``n`` draws.

    Vehtari, Simpson, Gelman, Yao and Gabry (2024), section 3. Without weights to smooth (the severity
    part with theta held fixed is exact) the result is minus infinity.
    """
    counts = _systematic_counts(np.ones(len(at.points)), n, rng)
    draws = _draw_at(fit, at, counts, rng)
    ratios = _log_ratios(fit, seen, draws, np.repeat(at.log_weights, counts))
    if np.ptp(ratios) == 0:
        return -np.inf
    return float(array_stats.psislw(ratios)[1])


def _draw_at(
    fit: LaplaceFit, at: ThetaPoints, counts: NDArray[np.intp], rng: np.random.Generator
) -> PartDraws:
    coefs = [_draw_given(fit, point, n, rng) for point, n in zip(at.points, counts, strict=True) if n]
    theta = np.repeat(at.points, counts, axis=0)
    noise = np.exp(theta[:, -1]) if fit.prior.has_noise else np.ones(len(theta))
    return PartDraws(np.concatenate(coefs), noise, theta)


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


def _log_ratios(
    fit: LaplaceFit, seen: Conversions | Severities, draws: PartDraws, log_weights: FloatArray
) -> FloatArray:
    """Return the log importance ratios (n,) of draws: posterior over approximation, up to a constant.

    ``log_weights`` (n,) are those of each draw's theta point. The severity part is Gaussian given
    theta, so only theta's own weights are left.
    """
    if isinstance(seen, Severities):
        return log_weights
    delta = (draws.coef - np.asarray(fit.prior.mean)).reshape(len(draws.coef), -1)
    precision, linear = np.asarray(fit.centred.precision), np.asarray(fit.centred.linear)
    approximate = delta @ linear - 0.5 * np.einsum("ij,ij->i", delta @ precision, delta) + fit.offset
    exact = np.asarray(_log_likelihoods(seen, jnp.asarray(draws.coef)))
    return log_weights + exact - approximate


@jax.jit
def _log_likelihoods(seen: Conversions, coefs: jax.Array) -> jax.Array:
    return seen.log_likelihoods(coefs)

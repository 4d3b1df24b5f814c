"""The marginal likelihood of scales and sigma, given a quadratic log likelihood of the coefficients.

With coef = mean + sd * z, z ~ Normal(0, I) and a quadratic log likelihood, everything about z given
theta (the logarithms of scales and sigma) is Gaussian in closed form (Rasmussen and Williams 2006,
equation 2.30; MacKay 1992): precision A = I + S H S, mean A^-1 S g', with S = diag(sd). The evidence
is what is left of theta. Call under x64.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize
from jax.scipy.linalg import cho_solve, solve_triangular

from sbcflow.data import FloatArray
from sbcflow.errors import EstimationError
from sbcflow.likelihood import Curvature
from sbcflow.model import PartPrior, log_prior_theta, split_theta

SMALLEST_SCALE, LARGEST_SCALE = 1e-4, 1e2
BOX = 2.0
MAX_BOXES = 10
GRADIENT_STEP = 1e-3
WIDEST_ROOT = 1.5


def centre(curvature: Curvature, prior: PartPrior) -> Curvature:
    """Return the quadratic as a function of coef - prior mean."""
    mean = prior.mean.ravel()
    shifted = curvature.linear - curvature.precision @ mean
    squares = curvature.squares - (curvature.linear + shifted) @ mean
    return replace(curvature, linear=shifted, squares=squares)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Conditional:
    """The Gaussian of z given theta: Cholesky factor of A (D, D) lower, mean z (D,), sd (D,)."""

    factor: jax.Array
    mean: jax.Array
    sd: jax.Array


def condition(centred: Curvature, prior: PartPrior, theta: jax.Array) -> Conditional:
    """Return the Gaussian of z given ``theta``, for a centred quadratic."""
    scales, noise = split_theta(prior, theta)
    sd = prior.sd(scales).ravel()
    scaled = sd[:, None] * centred.precision * sd / noise**2
    factor = jnp.linalg.cholesky(scaled + jnp.eye(len(sd)))
    mean = cho_solve((factor, True), sd * centred.linear / noise**2)
    return Conditional(factor, mean, sd)


def log_evidence(centred: Curvature, prior: PartPrior, theta: jax.Array) -> jax.Array:
    """Return log p(theta) + log of the integrated likelihood (), up to a constant."""
    return _log_evidence_given(centred, condition(centred, prior, theta), prior, theta)


def _log_evidence_given(
    centred: Curvature, given: Conditional, prior: PartPrior, theta: jax.Array
) -> jax.Array:
    _, noise = split_theta(prior, theta)
    fitted = given.mean @ (given.sd * centred.linear) / noise**2
    data = 0.5 * fitted - 0.5 * centred.squares / noise**2 - centred.n * jnp.log(noise)
    return data - jnp.sum(jnp.log(jnp.diag(given.factor))) + log_prior_theta(prior, theta)


@jax.jit
def evidence_and_gradient(
    centred: Curvature, prior: PartPrior, theta: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the log evidence () and its gradient, by MacKay's (1992) closed form: sum z^2 + var z - 1."""
    given = condition(centred, prior, theta)
    root = solve_triangular(given.factor, jnp.eye(len(given.sd)), lower=True)
    variance = jnp.sum(root**2, axis=0)
    explained = given.mean**2 + variance - 1.0
    index = prior.scale_index.ravel()
    gradient = jax.ops.segment_sum(explained, jnp.where(index < 0, prior.n_scales, index), prior.n_scales + 1)
    gradient = gradient[: prior.n_scales]
    if prior.has_noise:
        gradient = jnp.append(gradient, _noise_gradient(centred, given, variance, prior, theta))
    value = _log_evidence_given(centred, given, prior, theta)
    return value, gradient + jax.grad(lambda t: log_prior_theta(prior, t))(theta)


def _noise_gradient(
    centred: Curvature, given: Conditional, variance: jax.Array, prior: PartPrior, theta: jax.Array
) -> jax.Array:
    _, noise = split_theta(prior, theta)
    pull = given.mean @ (given.sd * centred.linear) / noise**2
    quadratic = pull - given.mean @ given.mean
    effective = jnp.sum(1.0 - variance)
    return -centred.n + (centred.squares / noise**2) - 2 * pull + quadratic + effective


def maximise(centred: Curvature, prior: PartPrior, start: FloatArray) -> FloatArray:
    """Return the theta (S or S + 1,) of largest evidence, searched from ``start``.

    The search moves a box of half-width BOX, so that no step leaves what float64 can factor.

    Raises:
        EstimationError: the evidence is not finite, or no top is found in MAX_BOXES boxes.
    """

    def objective(theta: FloatArray) -> tuple[float, FloatArray]:
        value, gradient = evidence_and_gradient(centred, prior, jnp.asarray(theta))
        return -float(value), -np.asarray(gradient)

    theta = start
    for _ in range(MAX_BOXES):
        low = np.maximum(theta - BOX, np.log(SMALLEST_SCALE))
        high = np.minimum(theta + BOX, np.log(LARGEST_SCALE))
        bounds = list(zip(low, high, strict=True))
        found = scipy.optimize.minimize(objective, theta, jac=True, method="L-BFGS-B", bounds=bounds)
        theta = np.asarray(found.x)
        if not np.isfinite(found.fun):
            raise EstimationError("the evidence of the scales is not finite; check covariates and outcomes")
        inner = (theta > low) | (low == np.log(SMALLEST_SCALE))
        if np.all(inner & (theta < high)):
            return theta
    raise EstimationError(f"the evidence of the scales has no top after {MAX_BOXES} searches")


def theta_root(centred: Curvature, prior: PartPrior, theta: FloatArray) -> FloatArray:
    """Return the root (T, T) of the covariance of theta in its Gaussian approximation at the mode.

    Curvature by central differences of the gradient. Directions that the data say nothing about
    are held to a standard deviation of WIDEST_ROOT, as wide as a HalfNormal is on a log scale.
    """
    steps = GRADIENT_STEP * np.eye(len(theta))
    ahead = [evidence_and_gradient(centred, prior, jnp.asarray(theta + s))[1] for s in steps]
    behind = [evidence_and_gradient(centred, prior, jnp.asarray(theta - s))[1] for s in steps]
    hessian = -(np.array(ahead) - np.array(behind)) / (2 * GRADIENT_STEP)
    curvature, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    return np.asarray(vectors / np.sqrt(np.maximum(curvature, WIDEST_ROOT**-2)))

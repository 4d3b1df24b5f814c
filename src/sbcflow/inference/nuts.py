"""NUTS on one part, the reference: NumPyro's sampler in coordinates that the Laplace fit whitened.

The sampler moves in (u, v), u about standard normal and v somewhat narrower. v gives the hyperparameters
through normal scores, in which a HalfNormal scale has a standard normal prior and no long tail. u gives the
coefficients, by the Gaussian that the Laplace fit's quadratic H ~ F F' leaves them at these very
hyperparameters: with S = diag(prior sd / sigma), G = S F and L the Cholesky factor of I + G'G,

    z = mean + B u,   B = I - G L^-T (L + I)^-1 G',   B B' = (I + G G')^-1,   |B| = 1 / |L|.

So u and v are all but independent, where coefficients and scales are a funnel, centred or not (Betancourt
and Girolami 2015). The map is a bijection whatever the quality of that fit, which changes speed only: the
density is the NumPyro model's own plus the log Jacobian (Parno and Marzouk 2018).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
import scipy.stats
from arviz_stats.base.array import array_stats
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import erfinv, ndtr, ndtri
from numpyro.infer.hmc import HMCState, hmc
from numpyro.infer.util import log_density

from sbcflow.data import FloatArray
from sbcflow.design import Design
from sbcflow.inference.evidence import condition
from sbcflow.inference.laplace import LaplaceFit, PartDraws
from sbcflow.likelihood import Conversions, Severities
from sbcflow.model import PartPrior, part_model, split_theta
from sbcflow.params import NutsSettings

Position = dict[str, jax.Array]

# Columns of F: those directions of which the data say more than LEFT_OUT of what the prior says, in a number
# that is this one times a power of two, so that few programs are compiled.
SMALLEST_RANK = 64
LEFT_OUT = 0.5
# Theta's posterior is skewed, and wider than its mode's curvature tells.
THETA_SPREAD = 1.7


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Target:
    """The posterior of one part in whitened coordinates.

    ``root`` (D, r) is F and ``linear`` (D,) the linear term, both in coef - prior mean; ``grams``
    (S + 1, r, r) what the coefficients of each scale, and those of none, add to G'G where it is 1;
    ``scores`` (T,) and ``scores_root`` (T, T) centre and spread of theta's normal scores, (T, 0) where
    theta is held fixed.
    """

    prior: PartPrior
    seen: Conversions | Severities
    root: jax.Array
    linear: jax.Array
    grams: jax.Array
    scores: jax.Array
    scores_root: jax.Array

    def locate(self, position: Position) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return theta (T,), z (K, n_columns) and log |d(theta, z) / d(v, u)|, up to a constant."""
        scores = self.scores + self.scores_root @ position["v"]
        theta = _theta_at(self.prior, scores)
        z, log_volume = self._coefficients_at(theta, position["u"])
        return theta, z, log_volume + _log_theta_jacobian(self.prior, theta, scores)

    def _coefficients_at(self, theta: jax.Array, u: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return z (K, n_columns) and log |dz/du| given theta."""
        scales, noise = split_theta(self.prior, theta)
        sd, identity = self.prior.sd(scales).ravel() / noise, jnp.eye(self.root.shape[1])
        gram = jnp.tensordot(jnp.append(scales**2, 1.0) / noise**2, self.grams, 1)
        factor = jnp.linalg.cholesky(identity + gram)
        pull = sd * self.linear / noise
        inner = solve_triangular(factor, self.root.T @ (sd * pull), lower=True)
        inner += solve_triangular(factor + identity, self.root.T @ (sd * u), lower=True)
        z = pull + u - sd * (self.root @ solve_triangular(factor, inner, trans="T", lower=True))
        return z.reshape(self.prior.mean.shape), -jnp.sum(jnp.log(jnp.diagonal(factor)))

    def log_density(self, position: Position) -> jax.Array:
        """Return the log posterior density () at a position, up to a constant."""
        theta, z, log_jacobian = self.locate(position)
        scales, noise = split_theta(self.prior, theta)
        sites = {"scales": scales, "z": z}
        if self.prior.has_noise:
            sites["noise"] = noise
        model_density, _ = log_density(part_model, (self.prior, self.seen), {}, sites)
        return model_density + log_jacobian + jnp.sum(theta)

    def coefficients(self, position: Position) -> tuple[jax.Array, jax.Array]:
        """Return coefficients (K, n_columns) and theta (T,) at a position."""
        theta, z, _ = self.locate(position)
        scales, _ = split_theta(self.prior, theta)
        return self.prior.sd(scales) * z + self.prior.mean, theta


def _theta_at(prior: PartPrior, scores: jax.Array) -> jax.Array:
    """Return theta (T,) at normal scores: log scales at their prior quantiles, log sigma as it is."""
    of_scales = scores[: prior.n_scales]
    low, high = jnp.minimum(of_scales, 0.0), jnp.maximum(of_scales, 0.0)
    # Two forms of one function, each exact in its own tail.
    widths = jnp.where(of_scales < 0, math.sqrt(2) * erfinv(ndtr(low)), -ndtri(ndtr(-high) / 2))
    return jnp.concatenate([jnp.log(prior.widths * widths), scores[prior.n_scales :]])


def _scores_of(prior: PartPrior, theta: FloatArray) -> FloatArray:
    """Return the normal scores (T,) of theta."""
    tail = scipy.stats.halfnorm.logsf(np.exp(theta[: prior.n_scales]) / prior.widths)
    return np.concatenate([-scipy.special.ndtri_exp(tail), theta[prior.n_scales :]])


def _log_theta_jacobian(prior: PartPrior, theta: jax.Array, scores: jax.Array) -> jax.Array:
    """Return log |dtheta / dscores| up to a constant: of log scales, Normal over HalfNormal density."""
    log_widths = theta[: prior.n_scales] - jnp.log(prior.widths)
    squares = jnp.exp(2 * log_widths) - scores[: prior.n_scales] ** 2
    return jnp.sum(squares / 2 - log_widths)


def _whiten(fit: LaplaceFit, seen: Conversions | Severities) -> Target:
    prior, sd = fit.prior, condition(fit.centred, fit.prior, fit.theta).sd
    variance = np.exp(2 * fit.theta[-1]) if prior.has_noise else 1.0
    values, vectors = np.linalg.eigh(sd[:, None] * fit.centred.precision * sd)
    rank = _rank(int(np.sum(values > LEFT_OUT * variance)))
    root = (vectors * np.sqrt(np.maximum(values, 0.0)))[:, -rank:] / sd[:, None]
    of_unit_scales, scale = prior.fixed_sd.reshape(-1, 1) * root, prior.scale_index.ravel()
    members = [of_unit_scales[scale == j] for j in (*range(prior.n_scales), -1)]
    scores = _scores_of(prior, fit.theta)
    slope = np.diag(jax.jacfwd(partial(_theta_at, prior))(jnp.asarray(scores)))
    arrays = (root, fit.centred.linear, np.stack([m.T @ m for m in members]), scores)
    return Target(prior, seen, *map(jnp.asarray, (*arrays, THETA_SPREAD * fit.theta_root / slope[:, None])))


def _rank(n_informed: int) -> int:
    return max(SMALLEST_RANK, 1 << (n_informed - 1).bit_length()) if n_informed else SMALLEST_RANK


@dataclass(frozen=True)
class NutsRun:
    """Draws of all chains one after another, and what the sampler says of them.

    ``rhat`` and ``ess`` are the worst over the sampler's coordinates and theta; coefficients, of which there
    are as many as coordinates, have the same smallest ESS within a tenth on the pilot's fits.
    """

    draws: PartDraws
    rhat: float
    ess: float
    n_divergent: int


def sample(fit: LaplaceFit, seen: Conversions | Severities, settings: NutsSettings, seed: int) -> NutsRun:
    """Sample a part's posterior, whitened by its Laplace fit; theta moves unless that fit held it."""
    if isinstance(seen, Conversions):
        seen = Conversions(_materialised(seen.design))
    target = _whiten(fit, seen)
    keys = jax.random.split(jax.random.key(seed), settings.n_chains)
    coef, theta, coordinates, diverging = _chains(target, keys, settings)
    moving = target.scores_root.shape[1] > 0
    watched = np.concatenate([coordinates, theta] if moving else [coordinates], axis=-1)
    flat_theta = np.asarray(theta).reshape(-1, len(fit.theta))
    noise = np.exp(flat_theta[:, -1]) if fit.prior.has_noise else np.ones(len(flat_theta))
    return NutsRun(
        PartDraws(np.asarray(coef).reshape(-1, *fit.prior.mean.shape), noise, flat_theta),
        rhat=float(np.max(array_stats.rhat(watched, chain_axis=0, draw_axis=1))),
        ess=float(np.min(array_stats.ess(watched, chain_axis=0, draw_axis=1))),
        n_divergent=int(np.sum(diverging)),
    )


@jax.jit
def _materialised(design: Design) -> Design:
    return design.materialised()


@partial(jax.jit, static_argnames="settings")
def _chains(target: Target, keys: jax.Array, settings: NutsSettings) -> tuple[jax.Array, ...]:
    """Run the chains as one batch; arrays lead with (n_chains, n_samples)."""
    return jax.vmap(lambda key: _chain(target, key, settings))(keys)


def _chain(target: Target, key: jax.Array, settings: NutsSettings) -> tuple[jax.Array, ...]:
    """Return coefficients, theta, whitened position and divergence of each kept iteration."""
    start_key, run_key = jax.random.split(key)
    n_u, n_v = len(target.linear), target.scores_root.shape[1]
    start = jax.random.normal(start_key, (n_u + n_v,))
    init_kernel, sample_kernel = hmc(lambda position: -target.log_density(position), algo="NUTS")
    state = init_kernel(
        {"u": start[:n_u], "v": start[n_u:]},
        num_warmup=settings.n_warmup,
        target_accept_prob=settings.target_accept,
        # The coordinates are as white as the Laplace fit can make them; some 100 draws only know less.
        adapt_mass_matrix=False,
        max_tree_depth=settings.max_tree_depth,
        rng_key=run_key,
    )

    def one(state: HMCState, _: None) -> tuple[HMCState, tuple[jax.Array, ...]]:
        state = sample_kernel(state)
        position = jnp.concatenate([state.z["u"], state.z["v"]])
        return state, (*target.coefficients(state.z), position, state.diverging)

    # One loop for warm-up and draws, since a kernel in two loops is compiled twice.
    _, chain = jax.lax.scan(one, state, length=settings.n_warmup + settings.n_samples)
    return jax.tree.map(lambda leaf: leaf[settings.n_warmup :], chain)

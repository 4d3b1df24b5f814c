"""NUTS on one part, the reference: NumPyro's sampler in the coordinates that Laplace whitened.

The sampler moves in (u, v), both about standard normal: theta = mode + root @ v, and z from u by the
conditional Gaussian at that theta (``evidence.unwhiten``). The map is a bijection for any quadratic,
so its quality changes speed only: the density is the NumPyro model's own plus the log Jacobian.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from arviz_stats.base.array import array_stats
from numpyro.infer.hmc import hmc
from numpyro.infer.util import log_density

from sbcflow.data import FloatArray
from sbcflow.inference.evidence import unwhiten
from sbcflow.inference.laplace import LaplaceFit, PartDraws
from sbcflow.likelihood import Conversions, Curvature, Severities
from sbcflow.model import PartPrior, part_model, split_theta
from sbcflow.params import NutsSettings


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Target:
    """The posterior of one part in whitened coordinates."""

    prior: PartPrior
    centred: Curvature
    theta: jax.Array
    root: jax.Array
    seen: Conversions | Severities

    def locate(self, position: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return theta (T,), z (K, n_columns) and log |dz/du| at a position {u (D,), v (T or 0,)}."""
        theta = self.theta + self.root @ position["v"]
        z, log_jacobian = unwhiten(self.centred, self.prior, theta, position["u"])
        return theta, z.reshape(self.prior.mean.shape), log_jacobian

    def log_density(self, position: dict[str, jax.Array]) -> jax.Array:
        """Return the log posterior density () at a position, up to a constant."""
        theta, z, log_jacobian = self.locate(position)
        scales, noise = split_theta(self.prior, theta)
        sites = {"scales": scales, "z": z}
        if self.prior.has_noise:
            sites["noise"] = noise
        model_density, _ = log_density(part_model, (self.prior, self.seen), {}, sites)
        return model_density + log_jacobian + (jnp.sum(theta) if self.root.shape[1] else 0.0)


@dataclass(frozen=True)
class NutsRun:
    """Draws of all chains one after another, and what the sampler says of them."""

    draws: PartDraws
    rhat: float
    ess: float
    n_divergent: int


def sample(fit: LaplaceFit, seen: Conversions | Severities, settings: NutsSettings, seed: int) -> NutsRun:
    """Sample a part's posterior, whitened by its Laplace fit; theta moves unless that fit held it."""
    target = Target(fit.prior, fit.centred, jnp.asarray(fit.theta), jnp.asarray(fit.theta_root), seen)
    keys = jax.random.split(jax.random.key(seed), settings.n_chains)
    theta, coef, coordinates, diverging = _chains(target, keys, settings)
    coordinates = np.asarray(coordinates)
    flat_theta = np.asarray(theta).reshape(-1, len(fit.theta))
    noise = np.exp(flat_theta[:, -1]) if fit.prior.has_noise else np.ones(len(flat_theta))
    return NutsRun(
        PartDraws(np.asarray(coef).reshape(-1, *fit.prior.mean.shape), noise, flat_theta),
        rhat=_worst(array_stats.rhat, coordinates, np.max),
        ess=_worst(array_stats.ess, coordinates, np.min),
        n_divergent=int(np.sum(diverging)),
    )


def _worst(statistic: object, coordinates: FloatArray, worst: object) -> float:
    values = statistic(coordinates, chain_axis=0, draw_axis=1)  # type: ignore[operator]
    return float(worst(values))  # type: ignore[operator]


@partial(jax.jit, static_argnames="settings")
def _chains(
    target: Target, keys: jax.Array, settings: NutsSettings
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Run the chains as one batch; arrays lead with (n_chains, n_samples)."""
    return jax.vmap(lambda key: _chain(target, key, settings))(keys)


def _chain(
    target: Target, key: jax.Array, settings: NutsSettings
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    start_key, run_key = jax.random.split(key)
    init_kernel, sample_kernel = hmc(lambda p: -target.log_density(p), algo="NUTS")
    n_u, n_v = target.prior.mean.size, target.root.shape[1]
    start = jax.random.normal(start_key, (n_u + n_v,))
    state = init_kernel(
        {"u": start[:n_u], "v": start[n_u:]},
        num_warmup=settings.n_warmup,
        target_accept_prob=settings.target_accept,
        max_tree_depth=settings.max_tree_depth,
        rng_key=run_key,
    )
    state = jax.lax.fori_loop(0, settings.n_warmup, lambda _, s: sample_kernel(s), state)

    def one(state, _):  # type: ignore[no-untyped-def]
        state = sample_kernel(state)
        theta, z, _ = target.locate(state.z)
        scales, _ = split_theta(target.prior, theta)
        coef = target.prior.mean + target.prior.sd(scales) * z
        return state, (theta, coef, jnp.concatenate([state.z["u"], state.z["v"]]), state.diverging)

    return jax.lax.scan(one, state, length=settings.n_samples)[1]

"""NUTS on one part, the reference: NumPyro's sampler in coordinates that the Laplace fit whitened.

The sampler moves in (u, v), both about standard normal. Theta = mode + root @ v. The coefficients are
centred as far as the data speak of them (Gorinova, Moore and Hoffman 2020): with share l of a
coefficient's information coming from the data, and s its prior sd, z = w (s_mode / s)^l, where
w = mean + L^-T u has the Laplace fit's Gaussian at theta's mode. The map is a bijection whatever the
quality of that fit, which changes speed only: the density is the NumPyro model's own plus the log
Jacobian.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
from arviz_stats.base.array import array_stats
from numpyro.infer.hmc import HMCState, hmc
from numpyro.infer.util import log_density

from sbcflow.design import Design
from sbcflow.inference.evidence import condition
from sbcflow.inference.laplace import LaplaceFit, PartDraws
from sbcflow.likelihood import Conversions, Severities
from sbcflow.model import PartPrior, part_model, split_theta
from sbcflow.params import NutsSettings

Position = dict[str, jax.Array]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Target:
    """The posterior of one part in whitened coordinates.

    ``mean`` (D,) and ``root`` (D, D) of w; ``data_share`` (D,) in 0..1, ``sd`` (D,) at theta's mode;
    ``theta`` (T,) and ``theta_root`` (T, T), or (T, 0) where theta is held fixed.
    """

    prior: PartPrior
    seen: Conversions | Severities
    mean: jax.Array
    root: jax.Array
    data_share: jax.Array
    sd: jax.Array
    theta: jax.Array
    theta_root: jax.Array

    def locate(self, position: Position) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return theta (T,), z (K, n_columns) and log |dz/du| up to a constant, at a position."""
        theta = self.theta + self.theta_root @ position["v"]
        scales, _ = split_theta(self.prior, theta)
        log_shrink = self.data_share * jnp.log(self.sd / self.prior.sd(scales).ravel())
        w = self.mean + self.root @ position["u"]
        z = (w * jnp.exp(log_shrink)).reshape(self.prior.mean.shape)
        return theta, z, jnp.sum(log_shrink)

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


def _whiten(fit: LaplaceFit, seen: Conversions | Severities) -> Target:
    given = condition(fit.centred, fit.prior, fit.theta)
    root = scipy.linalg.solve_triangular(given.factor, np.eye(len(given.sd)), trans="T", lower=True)
    return Target(
        prior=fit.prior,
        seen=seen,
        mean=jnp.asarray(given.mean),
        root=jnp.asarray(root),
        data_share=jnp.asarray(np.clip(1.0 - np.sum(root**2, axis=1), 0.0, 1.0)),
        sd=jnp.asarray(given.sd),
        theta=jnp.asarray(fit.theta),
        theta_root=jnp.asarray(fit.theta_root),
    )


@dataclass(frozen=True)
class NutsRun:
    """Draws of all chains one after another, and what the sampler says of them."""

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
    coordinates = np.asarray(coordinates)
    flat_theta = np.asarray(theta).reshape(-1, len(fit.theta))
    noise = np.exp(flat_theta[:, -1]) if fit.prior.has_noise else np.ones(len(flat_theta))
    return NutsRun(
        PartDraws(np.asarray(coef).reshape(-1, *fit.prior.mean.shape), noise, flat_theta),
        rhat=float(np.max(array_stats.rhat(coordinates, chain_axis=0, draw_axis=1))),
        ess=float(np.min(array_stats.ess(coordinates, chain_axis=0, draw_axis=1))),
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
    n_u, n_v = len(target.mean), target.theta_root.shape[1]
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

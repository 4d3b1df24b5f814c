"""Treatment effects from posterior draws of the hurdle model, a chunk of points at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from sbcflow.basis import Basis
from sbcflow.data import TestPoints
from sbcflow.inference.laplace import PartDraws
from sbcflow.likelihood import arm_coefficients
from sbcflow.runtime import numerics

CHUNK = 512


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OutcomeDraws:
    """Coefficients in each arm, (K, n_columns, n_draws) float32, and the log of E[exp(noise)] (n_draws,)."""

    conversion: jax.Array
    severity: jax.Array
    log_noise_mean: jax.Array

    @classmethod
    def of(cls, conversion: PartDraws, severity: PartDraws) -> OutcomeDraws:
        """Pair the draws of the two parts, which are independent."""
        return cls(
            conversion=_by_arm(conversion.coef),
            severity=_by_arm(severity.coef),
            log_noise_mean=jax.device_put((severity.noise**2 / 2).astype(np.float32)),
        )


@jax.jit
def _by_arm(coef: jax.Array) -> jax.Array:
    coefs = jax.vmap(arm_coefficients)(coef)
    return jnp.moveaxis(coefs, 0, -1).astype(jnp.float32)


@dataclass(frozen=True)
class CateChunk:
    """CATE draws (stop - start, n_draws) float32 of the points start..stop-1."""

    start: int
    stop: int
    cate: jax.Array


def cate_chunks(basis: Basis, draws: OutcomeDraws, points: TestPoints) -> Iterator[CateChunk]:
    """Yield the CATE draws of points in chunks of one shape, so that memory does not grow with them."""
    for start in range(0, len(points), CHUNK):
        stop = min(start + CHUNK, len(points))
        padding = CHUNK - (stop - start)
        values = np.pad(points.covariates.values[start:stop], ((0, padding), (0, 0)), mode="edge")
        arm = np.pad(points.arm[start:stop], (0, padding), mode="edge")
        with numerics():
            cate = _cate(basis, draws, values, arm)
        yield CateChunk(start, stop, cate[: stop - start])


@jax.jit
def _cate(basis: Basis, draws: OutcomeDraws, values: jax.Array, arm: jax.Array) -> jax.Array:
    """Return p_k m_k - p_0 m_0 (n, n_draws) float32 at covariates (n, n_features), k the arm (n,)."""
    columns = basis.columns(values)
    revenue = jnp.stack([_revenue_per_visitor(columns, draws, k) for k in range(draws.conversion.shape[0])])
    treated = jnp.take_along_axis(revenue, arm[None, :, None], axis=0)[0]
    return treated - revenue[0]


def _revenue_per_visitor(columns: jax.Array, draws: OutcomeDraws, arm: int) -> jax.Array:
    rate = jax.nn.sigmoid(columns.T @ draws.conversion[arm])
    return rate * jnp.exp(columns.T @ draws.severity[arm] + draws.log_noise_mean)

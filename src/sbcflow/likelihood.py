"""Blocked passes over a trial: log likelihoods, normal equations, moments.

Columns are float32 and made a block at a time; every sum over visitors is float64. The structure
of the design is used: a visitor adds to the Gram matrix of their own arm only, n_columns wide.
Call under x64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from sbcflow.design import Block, Design

Sums = TypeVar("Sums")

_nodes, _weights = np.polynomial.hermite_e.hermegauss(9)
HERMITE_NODES = _nodes.astype(np.float32)
HERMITE_WEIGHTS = (_weights / _weights.sum()).astype(np.float32)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Curvature:
    """A quadratic log likelihood of D = K x n_columns coefficients c: -c'Hc/2 + g'c - squares/2.

    ``precision`` H (D, D), ``linear`` g (D,), ``squares`` () and ``n`` () float64. With sigma all
    three are divided by sigma^2 and n log(sigma) is taken off; without (conversion) both are 0.
    """

    precision: jax.Array
    linear: jax.Array
    squares: jax.Array
    n: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Expansion:
    """The conversion part at a point, by arm: log likelihood (K,), score (K, d), Gram (K, d, d)."""

    log_likelihood: jax.Array
    score: jax.Array
    gram: jax.Array


def arm_coefficients(coef: jax.Array) -> jax.Array:
    """Return the coefficients (K, d) that hold in each arm, from common row and deviations (K, d)."""
    return coef.at[1:].add(coef[0])


def _sum_by_arm(design: Design, n_arms: int, one: Callable[[Block, jax.Array], Sums]) -> Sums:
    """Sum ``one(block, columns)`` over the blocks of each arm: leaves (n_arms, ...) float64."""

    def step(total: Sums, block: Block) -> tuple[Sums, None]:
        added = one(block, design.columns(block))
        return jax.tree.map(lambda t, a: t.at[block.arm].add(a.astype(t.dtype)), total, added), None

    first = jax.tree.map(lambda leaf: leaf[0], design.blocks)
    shapes = jax.eval_shape(lambda block: one(block, design.columns(block)), first)
    zero = jax.tree.map(lambda leaf: jnp.zeros((n_arms, *leaf.shape)), shapes)
    return jax.lax.scan(step, zero, design.blocks)[0]


def _bernoulli(block: Block, predictor: jax.Array) -> jax.Array:
    """Weighted log likelihood (block,) of converted given the logit."""
    return block.weight * (block.outcome * predictor - jax.nn.softplus(predictor))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Conversions:
    """Converted or not, as a likelihood: outcome 0/1 in ``design``."""

    design: Design

    def log_likelihood(self, coef: jax.Array, noise: jax.Array) -> jax.Array:
        """Return the log likelihood () float64 of coefficients (K, d); conversion has no ``noise``."""
        del noise
        by_arm = arm_coefficients(coef).astype(jnp.float32)

        def one(block: Block, columns: jax.Array) -> jax.Array:
            return jnp.sum(_bernoulli(block, columns @ by_arm[block.arm]))

        return jnp.sum(_sum_by_arm(self.design, len(coef), one))

    def log_likelihoods(self, coefs: jax.Array) -> jax.Array:
        """Return the log likelihoods (m,) float64 of m sets of coefficients (m, K, d), in one pass."""
        by_arm = jax.vmap(arm_coefficients)(coefs).astype(jnp.float32)

        def one(block: Block, columns: jax.Array) -> jax.Array:
            predictors = by_arm[:, block.arm] @ columns.T
            return jnp.sum(jax.vmap(lambda p: _bernoulli(block, p))(predictors), axis=1)

        return jnp.sum(_sum_by_arm(self.design, coefs.shape[1], one), axis=0)

    def expand(self, coef: jax.Array) -> Expansion:
        """Return log likelihood, score and Gram at coefficients (K, d): one Newton pass."""
        by_arm = arm_coefficients(coef).astype(jnp.float32)

        def one(block: Block, columns: jax.Array) -> Expansion:
            predictor = columns @ by_arm[block.arm]
            rate = jax.nn.sigmoid(predictor)
            return _expansion(block, columns, _bernoulli(block, predictor), (rate, rate * (1 - rate)))

        return _sum_by_arm(self.design, len(coef), one)

    def expand_expected(self, coef: jax.Array, covariance: jax.Array) -> Expansion:
        """Return the same in expectation over coefficients ~ Normal(``coef``, ``covariance`` (D, D)).

        The predictor of a visitor is Normal, so each expectation is a Gauss-Hermite sum.
        """
        by_arm = arm_coefficients(coef).astype(jnp.float32)
        arm_covariance = _arm_covariances(covariance, *coef.shape).astype(jnp.float32)

        def one(block: Block, columns: jax.Array) -> Expansion:
            variance = jnp.sum((columns @ arm_covariance[block.arm]) * columns, axis=1)
            spread = jnp.sqrt(jnp.maximum(variance, 0.0))
            nodes = columns @ by_arm[block.arm] + spread * HERMITE_NODES[:, None]
            rate = jax.nn.sigmoid(nodes)
            log_likelihood = jax.vmap(lambda node: _bernoulli(block, node))(nodes)
            moments = HERMITE_WEIGHTS @ rate, HERMITE_WEIGHTS @ (rate * (1 - rate))
            return _expansion(block, columns, HERMITE_WEIGHTS @ log_likelihood, moments)

        return _sum_by_arm(self.design, len(coef), one)


def _expansion(
    block: Block, columns: jax.Array, log_likelihood: jax.Array, moments: tuple[jax.Array, jax.Array]
) -> Expansion:
    """What a block adds, given each visitor's log likelihood, rate and variance (block,)."""
    rate, variance = moments
    weighted = columns * (block.weight * variance)[:, None]
    return Expansion(
        log_likelihood=jnp.sum(log_likelihood),
        score=columns.T @ (block.weight * (block.outcome - rate)),
        gram=columns.T @ weighted,
    )


def _arm_covariances(covariance: jax.Array, n_arms: int, width: int) -> jax.Array:
    """Return the covariance (K, d, d) of the coefficients that hold in each arm."""
    c = covariance.reshape(n_arms, width, n_arms, width)
    return jnp.stack(
        [c[0, :, 0], *(c[0, :, 0] + c[0, :, k] + c[k, :, 0] + c[k, :, k] for k in range(1, n_arms))]
    )


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Severities:
    """Log revenues of converters, as a likelihood: Normal, so their moments say everything."""

    curvature: Curvature

    def log_likelihood(self, coef: jax.Array, noise: jax.Array) -> jax.Array:
        """Return the log likelihood () float64 of coefficients (K, d) and sigma ``noise``."""
        c, flat = self.curvature, coef.ravel()
        squares = c.squares - 2 * c.linear @ flat + flat @ c.precision @ flat
        return -0.5 * squares / noise**2 - c.n * (jnp.log(noise) + 0.5 * jnp.log(2 * jnp.pi))


@partial(jax.jit, static_argnames="n_arms")
def severity_moments(design: Design, n_arms: int) -> Severities:
    """Return the moments of log revenues: one pass over the converters."""

    def one(block: Block, columns: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        outcome = block.weight * block.outcome
        kept = columns * block.weight[:, None]
        return jnp.sum(outcome**2), columns.T @ outcome, kept.T @ columns

    squares, linear, gram = _sum_by_arm(design, n_arms, one)
    n = design.n.astype(jnp.float64)
    return Severities(Curvature(join_gram(gram), join_score(linear), jnp.sum(squares), n))


def join_score(score: jax.Array) -> jax.Array:
    """Return the gradient (D,) by common row and deviations, from that of each arm (K, d)."""
    return score.at[0].set(score.sum(axis=0)).ravel()


def join_gram(gram: jax.Array) -> jax.Array:
    """Return the precision (D, D) of common row and deviations, from the arms' Grams (K, d, d)."""
    n_arms, width, _ = gram.shape
    joined = jnp.zeros((n_arms, width, n_arms, width), gram.dtype)
    joined = joined.at[0, :, 0, :].set(gram.sum(axis=0))
    for k in range(1, n_arms):
        joined = joined.at[0, :, k, :].set(gram[k])
        joined = joined.at[k, :, 0, :].set(gram[k].T)
        joined = joined.at[k, :, k, :].set(gram[k])
    return joined.reshape(n_arms * width, n_arms * width)


def conversion_curvature(expansion: Expansion, coef: jax.Array) -> Curvature:
    """Return the quadratic that touches the conversion log likelihood at ``coef``, constant dropped."""
    precision = join_gram(expansion.gram)
    linear = join_score(expansion.score) + precision @ coef.ravel()
    return Curvature(precision, linear, jnp.zeros(()), jnp.zeros(()))

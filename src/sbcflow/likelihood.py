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

from sbcflow.design import Block, Design

Sums = TypeVar("Sums")


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
    """The conversion part at a point: log likelihood (), score (K, d) per arm, Gram (K, d, d) per arm."""

    log_likelihood: jax.Array
    score: jax.Array
    gram: jax.Array


def arm_coefficients(coef: jax.Array) -> jax.Array:
    """Return the coefficients (K, d) that hold in each arm, from common row and deviations (K, d)."""
    return coef.at[1:].add(coef[0])


def _sum_blocks(design: Design, zero: Sums, one: Callable[[Block, jax.Array], Sums]) -> Sums:
    """Sum ``one(block, columns)`` over blocks into the float64 ``zero``."""

    def step(total: Sums, block: Block) -> tuple[Sums, None]:
        added = one(block, design.columns(block))
        return jax.tree.map(lambda t, a: t + a.astype(t.dtype), total, added), None

    return jax.lax.scan(step, zero, design.blocks)[0]


def _at_arm(block: Block, n_arms: int, value: jax.Array) -> jax.Array:
    """Put a block's sum in the row of its arm: (n_arms, *value.shape)."""
    return jnp.zeros((n_arms, *value.shape), value.dtype).at[block.arm].set(value)


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

        return _sum_blocks(self.design, jnp.zeros(()), one)

    def log_likelihoods(self, coefs: jax.Array) -> jax.Array:
        """Return the log likelihoods (m,) float64 of m sets of coefficients (m, K, d), in one pass."""
        by_arm = jax.vmap(arm_coefficients)(coefs).astype(jnp.float32)

        def one(block: Block, columns: jax.Array) -> jax.Array:
            predictors = by_arm[:, block.arm] @ columns.T
            return jnp.sum(jax.vmap(lambda p: _bernoulli(block, p))(predictors), axis=1)

        return _sum_blocks(self.design, jnp.zeros(coefs.shape[0]), one)

    def expand(self, coef: jax.Array) -> Expansion:
        """Return log likelihood, score and Gram at coefficients (K, d): one Newton pass."""
        n_arms, width = coef.shape
        by_arm = arm_coefficients(coef).astype(jnp.float32)

        def one(block: Block, columns: jax.Array) -> Expansion:
            predictor = columns @ by_arm[block.arm]
            rate = jax.nn.sigmoid(predictor)
            weighted = columns * (block.weight * rate * (1 - rate))[:, None]
            return Expansion(
                log_likelihood=jnp.sum(_bernoulli(block, predictor)),
                score=_at_arm(block, n_arms, columns.T @ (block.weight * (block.outcome - rate))),
                gram=_at_arm(block, n_arms, columns.T @ weighted),
            )

        zero = Expansion(jnp.zeros(()), jnp.zeros((n_arms, width)), jnp.zeros((n_arms, width, width)))
        return _sum_blocks(self.design, zero, one)


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


@partial(jax.jit, static_argnames=("n_arms", "width"))
def severity_moments(design: Design, n_arms: int, width: int) -> Severities:
    """Return the moments of log revenues: one pass over the converters."""

    def one(block: Block, columns: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        outcome = block.weight * block.outcome
        kept = columns * block.weight[:, None]
        linear = _at_arm(block, n_arms, columns.T @ outcome)
        return jnp.sum(outcome**2), linear, _at_arm(block, n_arms, kept.T @ columns)

    zero = (jnp.zeros(()), jnp.zeros((n_arms, width)), jnp.zeros((n_arms, width, width)))
    squares, linear, gram = _sum_blocks(design, zero, one)
    return Severities(Curvature(join_gram(gram), join_score(linear), squares, design.n.astype(jnp.float64)))


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

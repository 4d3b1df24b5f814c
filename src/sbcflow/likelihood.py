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

from sbcflow.data import FloatArray
from sbcflow.design import Block, Design

Sums = TypeVar("Sums")

_nodes, _weights = np.polynomial.hermite_e.hermegauss(9)
HERMITE_NODES = _nodes.astype(np.float32)
HERMITE_WEIGHTS = (_weights / _weights.sum()).astype(np.float32)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Curvature:
    """A quadratic log likelihood of D = K x n_columns coefficients c: -c'Hc/2 + g'c - squares/2.

    ``precision`` H (D, D), ``linear`` g (D,), float64, ``squares`` and ``n``. With sigma all
    three are divided by sigma^2 and n log(sigma) is taken off; without (conversion) both are 0.
    """

    precision: FloatArray
    linear: FloatArray
    squares: float
    n: float


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Slope:
    """The conversion part at a point, by arm: log likelihood (K,) and score (K, d)."""

    log_likelihood: jax.Array
    score: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Expansion:
    """The conversion part at a point: its slope and, by arm, the Gram (K, d, d)."""

    slope: Slope
    gram: jax.Array


def arm_coefficients(coef: jax.Array) -> jax.Array:
    """Return the coefficients (K, d) that hold in each arm, from common row and deviations (K, d)."""
    return coef.at[1:].add(coef[0])


def _sum_by_arm(
    design: Design,
    n_arms: int,
    one: Callable[..., Sums],
    *of_visitors: jax.Array,
    stride: jax.Array | int = 1,
) -> Sums:
    """Sum ``one(block, columns, *of_visitors)`` over the blocks of each arm: leaves (n_arms, ...) float64.

    ``of_visitors`` are further arrays (n_blocks, block); ``stride`` takes every so many blocks only. Blocks
    without a visitor are not looked at.
    """

    def block_at(i: jax.Array | int) -> tuple[Block, *tuple[jax.Array, ...]]:
        return jax.tree.map(
            lambda leaf: jax.lax.dynamic_index_in_dim(leaf, i, keepdims=False), (design.blocks, *of_visitors)
        )

    def added(block: Block, *of_block: jax.Array) -> Sums:
        return one(block, design.columns(block), *of_block)

    def step(i: jax.Array, total: Sums) -> Sums:
        block, *of_block = block_at(i * stride)
        return jax.tree.map(
            lambda t, a: t.at[block.arm].add(a.astype(t.dtype)), total, added(block, *of_block)
        )

    shapes = jax.eval_shape(added, *block_at(0))
    zero = jax.tree.map(lambda leaf: jnp.zeros((n_arms, *leaf.shape)), shapes)
    return jax.lax.fori_loop(0, -(-design.n_filled // stride), step, zero)


def _bernoulli(block: Block, predictor: jax.Array) -> jax.Array:
    """Weighted log likelihood (block,) of converted given the logit."""
    return block.weight * (block.outcome * predictor - jax.nn.softplus(predictor))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Conversions:
    """Converted or not, as a likelihood: outcome 0/1 in ``design``."""

    design: Design

    def log_likelihood(self, coef: jax.Array, noise: jax.Array) -> jax.Array:
        """Return the log likelihood () float64 of coefficients (K, d); conversion has no ``noise``.

        Its gradient comes of the same pass.
        """
        del noise
        return _log_likelihood(self.design, coef)

    def log_likelihoods(self, coefs: jax.Array) -> jax.Array:
        """Return the log likelihoods (m,) float64 of m sets of coefficients (m, K, d), in one pass."""
        by_arm = jax.vmap(arm_coefficients)(coefs).astype(jnp.float32)

        def one(block: Block, columns: jax.Array) -> jax.Array:
            predictors = by_arm[:, block.arm] @ columns
            return jnp.sum(jax.vmap(lambda p: _bernoulli(block, p))(predictors), axis=1)

        return jnp.sum(_sum_by_arm(self.design, coefs.shape[1], one), axis=0)

    def expand(self, coef: jax.Array, stride: jax.Array | int = 1) -> Expansion:
        """Return log likelihood, score and Gram at coefficients (K, d): one Newton pass.

        With a ``stride`` they are those of the visitors in every so many blocks.
        """
        by_arm = arm_coefficients(coef).astype(jnp.float32)

        def one(block: Block, columns: jax.Array) -> Expansion:
            predictor = by_arm[block.arm] @ columns
            rate = jax.nn.sigmoid(predictor)
            slope = _slope(block, columns, _bernoulli(block, predictor), rate)
            return Expansion(slope, _gram(columns, block.weight * rate * (1 - rate)))

        return _sum_by_arm(self.design, len(coef), one, stride=stride)

    def predictor_sd(self, covariance: jax.Array, n_arms: int) -> jax.Array:
        """Return the sd (n_blocks, block) float32 of each visitor's logit.

        ``covariance`` (D, D) is that of the coefficients, common row and deviations.
        """
        width = covariance.shape[0] // n_arms
        by_arm = _arm_covariances(covariance, n_arms, width).astype(jnp.float32)

        def one(block: Block) -> jax.Array:
            columns = self.design.columns(block)
            # A product with ones: a sum is fused with the making of the columns, and takes twice as long.
            variance = jnp.ones(width, jnp.float32) @ ((by_arm[block.arm] @ columns) * columns)
            return jnp.sqrt(jnp.maximum(variance, 0.0))

        return jax.lax.map(one, self.design.blocks)

    def expand_expected(self, coef: jax.Array, predictor_sd: jax.Array) -> Expansion:
        """Return log likelihood, score and Gram in expectation over coefficients with mean ``coef`` (K, d).

        A visitor's logit is Normal, with ``predictor_sd`` (n_blocks, block), so each expectation is a
        Gauss-Hermite sum.
        """
        by_arm = arm_coefficients(coef).astype(jnp.float32)

        def one(block: Block, columns: jax.Array, spread: jax.Array) -> Expansion:
            nodes, rate = _at_nodes(by_arm[block.arm] @ columns, spread)
            slope = _expected_slope(block, columns, nodes, rate)
            return Expansion(slope, _gram(columns, block.weight * (HERMITE_WEIGHTS @ (rate * (1 - rate)))))

        return _sum_by_arm(self.design, len(coef), one, predictor_sd)

    def slope_expected(self, coef: jax.Array, predictor_sd: jax.Array) -> Slope:
        """Return the slope alone of :meth:`expand_expected`: a pass without its matrix product."""
        by_arm = arm_coefficients(coef).astype(jnp.float32)

        def one(block: Block, columns: jax.Array, spread: jax.Array) -> Slope:
            return _expected_slope(block, columns, *_at_nodes(by_arm[block.arm] @ columns, spread))

        return _sum_by_arm(self.design, len(coef), one, predictor_sd)


def _at_nodes(predictor: jax.Array, spread: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return logits and rates (n_nodes, block) at the nodes of Normal logits."""
    nodes = predictor + spread * HERMITE_NODES[:, None]
    return nodes, jax.nn.sigmoid(nodes)


def _slope(block: Block, columns: jax.Array, log_likelihood: jax.Array, rate: jax.Array) -> Slope:
    """What a block adds, given each visitor's log likelihood and rate (block,)."""
    return Slope(jnp.sum(log_likelihood), columns @ (block.weight * (block.outcome - rate)))


def _expected_slope(block: Block, columns: jax.Array, nodes: jax.Array, rate: jax.Array) -> Slope:
    log_likelihood = jax.vmap(lambda node: _bernoulli(block, node))(nodes)
    return _slope(block, columns, HERMITE_WEIGHTS @ log_likelihood, HERMITE_WEIGHTS @ rate)


def _gram(columns: jax.Array, weight: jax.Array) -> jax.Array:
    """Return the weighted Gram (d, d), the quarter below the diagonal mirrored from that above it."""
    half, weighted = len(columns) // 2, columns * weight
    upper = weighted[:half] @ columns.T
    corner = weighted[half:] @ columns[half:].T
    return jnp.block([[upper[:, :half], upper[:, half:]], [upper[:, half:].T, corner]])


def _arm_covariances(covariance: jax.Array, n_arms: int, width: int) -> jax.Array:
    """Return the covariance (K, d, d) of the coefficients that hold in each arm."""
    c = covariance.reshape(n_arms, width, n_arms, width)
    return jnp.stack(
        [c[0, :, 0], *(c[0, :, 0] + c[0, :, k] + c[k, :, 0] + c[k, :, k] for k in range(1, n_arms))]
    )


@jax.custom_vjp
def _log_likelihood(design: Design, coef: jax.Array) -> jax.Array:
    return _log_likelihood_forward(design, coef)[0]


def _log_likelihood_forward(design: Design, coef: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the log likelihood () and its gradient (K, d) by common row and deviations."""
    by_arm = arm_coefficients(coef).astype(jnp.float32)

    def one(block: Block, columns: jax.Array) -> Slope:
        predictor = by_arm[block.arm] @ columns
        return _slope(block, columns, _bernoulli(block, predictor), jax.nn.sigmoid(predictor))

    slope = _sum_by_arm(design, len(coef), one)
    gradient = slope.score.at[0].set(slope.score.sum(axis=0))
    return jnp.sum(slope.log_likelihood), gradient


def _log_likelihood_backward(gradient: jax.Array, cotangent: jax.Array) -> tuple[None, jax.Array]:
    return None, cotangent * gradient


_log_likelihood.defvjp(_log_likelihood_forward, _log_likelihood_backward)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Severities:
    """Log revenues of converters, as a likelihood: Normal, so their moments say everything."""

    curvature: Curvature

    def log_likelihood(self, coef: jax.Array, noise: jax.Array) -> jax.Array:
        """Return the log likelihood () float64 of coefficients (K, d) and sigma ``noise``."""
        c, flat = self.curvature, coef.ravel()
        squares = flat @ c.precision @ flat - 2 * (flat @ c.linear) + c.squares
        return -0.5 * squares / noise**2 - c.n * (jnp.log(noise) + 0.5 * jnp.log(2 * jnp.pi))


def severity_moments(design: Design, n_arms: int) -> Severities:
    """Return the moments of log revenues: one pass over the converters."""
    squares, linear, gram = map(np.asarray, _moments(design, n_arms))
    return Severities(Curvature(join_gram(gram), join_score(linear), float(squares.sum()), float(design.n)))


@partial(jax.jit, static_argnames="n_arms")
def _moments(design: Design, n_arms: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return squares (K,), products with the outcome (K, d) and Grams (K, d, d), by arm."""

    def one(block: Block, columns: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        outcome = block.weight * block.outcome
        return jnp.sum(outcome**2), columns @ outcome, _gram(columns, block.weight)

    return _sum_by_arm(design, n_arms, one)


def join_score(score: FloatArray) -> FloatArray:
    """Return the gradient (D,) by common row and deviations, from that of each arm (K, d)."""
    return np.concatenate([score.sum(axis=0), score[1:].ravel()])


def join_gram(gram: FloatArray) -> FloatArray:
    """Return the precision (D, D) of common row and deviations, from the arms' Grams (K, d, d)."""
    n_arms, width, _ = gram.shape
    joined = np.zeros((n_arms, width, n_arms, width))
    joined[0, :, 0, :] = gram.sum(axis=0)
    for k in range(1, n_arms):
        joined[0, :, k, :] = gram[k]
        joined[k, :, 0, :] = gram[k].T
        joined[k, :, k, :] = gram[k]
    return joined.reshape(n_arms * width, n_arms * width)


def conversion_curvature(expansion: Expansion, coef: FloatArray) -> Curvature:
    """Return the quadratic that touches the conversion log likelihood at ``coef``, constant dropped."""
    precision = join_gram(np.asarray(expansion.gram))
    linear = join_score(np.asarray(expansion.slope.score)) + precision @ coef.ravel()
    return Curvature(precision, linear, 0.0, 0.0)

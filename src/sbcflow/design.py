"""A trial laid out for blocked passes: visitors of one arm together, padded to blocks of one shape.

Shapes depend on the numbers of visitors and arms alone, not on how many fell in each arm, so that
two trials of one size share a compiled program.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import jax
import numpy as np
from numpy.typing import NDArray

from sbcflow.basis import Basis
from sbcflow.data import Float32Array, FloatArray, IntArray

SMALLEST_BLOCK, LARGEST_BLOCK = 128, 2048
BLOCKS_WANTED = 8
FEWEST_IN_BUCKET = 64


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Block:
    """Visitors of one arm: ``values`` (block, n_features), ``outcome`` and ``weight`` (block,).

    ``weight`` is 1 for a visitor and 0 for padding; a stack of blocks has one more leading axis. In a
    materialised design ``values`` are the columns, (n_columns, block).
    """

    values: jax.Array
    outcome: jax.Array
    weight: jax.Array
    arm: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Design:
    """A stack of blocks and the basis that turns their covariates into columns.

    ``basis`` is None where the values are columns already. ``n`` is the number of visitors, who are in the
    first ``n_filled`` blocks.
    """

    blocks: Block
    basis: Basis | None
    n: jax.Array
    n_filled: jax.Array

    def columns(self, block: Block) -> jax.Array:
        """Return the columns (n_columns, block) float32 of one block."""
        return block.values if self.basis is None else self.basis.columns(block.values)

    def materialised(self) -> Design:
        """Return the same design with its columns computed: n x n_columns floats of memory."""
        values = jax.lax.map(self.columns, self.blocks)
        return replace(self, blocks=replace(self.blocks, values=values), basis=None)


def make_design(
    values: Float32Array, outcome: FloatArray, arm: IntArray, *, n_arms: int, basis: Basis, bucket: bool
) -> Design:
    """Lay visitors out in blocks.

    Args:
        values: (n, n_features) covariates.
        outcome: (n,) converted as 0/1, or a log revenue.
        arm: (n,) in 0..n_arms-1.
        n_arms: K.
        basis: turns values into columns.
        bucket: small blocks, their number rounded up to a power of two, for subsets of random size.
    """
    size = _block_size(len(arm), bucket)
    n_blocks = math.ceil(len(arm) / size) + n_arms
    if bucket:
        n_blocks = max(FEWEST_IN_BUCKET, _next_power_of_two(n_blocks))
    order, slot, blocks_per_arm = _slots(arm, n_arms, size)

    def lay(source: NDArray[np.generic]) -> jax.Array:
        padded = np.zeros((n_blocks * size, *source.shape[1:]), dtype=np.float32)
        padded[slot] = source[order]
        return jax.device_put(padded.reshape(n_blocks, size, *source.shape[1:]))

    block_arm = np.repeat(np.arange(n_arms, dtype=np.int32), blocks_per_arm)
    block_arm = np.pad(block_arm, (0, n_blocks - len(block_arm)))
    return Design(
        Block(lay(values), lay(outcome), lay(np.ones(len(arm))), jax.device_put(block_arm)),
        basis,
        jax.device_put(np.float32(len(arm))),
        jax.device_put(np.int32(blocks_per_arm.sum())),
    )


def _slots(
    arm: IntArray, n_arms: int, size: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Return the visitors in order of arm, the row each goes to, and the blocks each arm fills."""
    counts = np.bincount(arm, minlength=n_arms)
    blocks_per_arm = -(-counts // size)
    first_row = (np.cumsum(blocks_per_arm) - blocks_per_arm) * size
    rank_in_arm = np.arange(len(arm)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.argsort(arm, kind="stable"), np.repeat(first_row, counts) + rank_in_arm, blocks_per_arm


def _block_size(n: int, bucket: bool) -> int:
    """Large blocks for speed, small ones where padding would cost more than the data."""
    if bucket:
        return SMALLEST_BLOCK
    wanted = _next_power_of_two(max(1, n // BLOCKS_WANTED))
    return min(max(wanted, SMALLEST_BLOCK), LARGEST_BLOCK)


def _next_power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()

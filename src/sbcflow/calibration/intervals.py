"""Intervals as corrections give them, the levels that they take, and draws in blocks that fit in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sbcflow.data import FloatArray
from sbcflow.errors import ParamsError
from sbcflow.scoring import Draws

# Draws are sorted as float64 in blocks of rows: 64 MiB at a time, however many visitors there are.
BLOCK_VALUES = 8 * 2**20

# Lower and upper ends (n_points,); and what gives those of a fit's points at a level.
Ends = tuple[FloatArray, FloatArray]
Reading = Callable[[float], Ends]


@dataclass(frozen=True)
class Intervals:
    """Intervals, ``lower`` and ``upper`` float64, and the ``regime`` that gave them.

    Their shape is that of the draws less its last axis: (n_points,) of draws (n_points, n_draws).
    """

    lower: FloatArray
    upper: FloatArray
    regime: str


def outer_ends(ends: Ends, raw: Ends) -> Ends:
    """Return the ends, moved out to the raw ones where those lie further out."""
    return np.minimum(ends[0], raw[0]), np.maximum(ends[1], raw[1])


def check_level(level: float) -> None:
    """Raise ParamsError unless the level lies in (0, 1)."""
    if not 0.0 < level < 1.0:
        raise ParamsError(f"level: must lie between 0 and 1, both excluded, got {level:g}")


def row_blocks(draws: Draws) -> list[Draws]:
    """Views of consecutive rows, at least one, so that a wrong shape still meets its check."""
    n_blocks = max(1, min(len(draws), -(-draws.size // BLOCK_VALUES)))
    return np.array_split(draws, n_blocks)

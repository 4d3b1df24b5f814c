"""The cell where coverage is furthest off, with an interval that holds though it was picked by its looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sbcflow.calibration.conditional.collect import SHOWN_LEVELS, Cell, Part
from sbcflow.calibration.conditional.dimensions import JUDGED
from sbcflow.calibration.shares import simultaneous_shares
from sbcflow.data import FloatArray
from sbcflow.scoring import SCORED_LEVEL

# With fewer, a standard error over fits says little, whatever quantile goes with it.
MIN_FITS_OF_CELL = 10


@dataclass(frozen=True)
class WorstCell:
    """The cell with the largest abs(coverage - 0.9), and its interval over all ``n_cells`` at once.

    ``n_off``: in how many of them that interval leaves out 0.9.
    """

    target: str
    dimension: str
    cell: str
    n_fits: int
    n_points: int
    coverage: float
    lower: float
    upper: float
    n_cells: int
    n_off: int

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name."""
        return dict(vars(self))


def worst_cell(
    parts: Mapping[Cell, Sequence[Part]], target: str, method: int, n_bootstrap: int, seed: int
) -> WorstCell | None:
    """Return the worst cell of a target under the method at that place; None where no cell has fits enough.

    Among cells of ``MIN_FITS_OF_CELL`` fits and more in the dimensions ``JUDGED``: not by true size, where
    coverage is off even of calibrated draws.
    """
    cells = [
        cell
        for cell in sorted(parts)
        if cell.target == target and cell.dimension in JUDGED and len(parts[cell]) >= MIN_FITS_OF_CELL
    ]
    if not cells:
        return None
    n_points, covered = _matrices([parts[cell] for cell in cells], method)
    coverage = covered.sum(axis=0) / n_points.sum(axis=0)
    lower, upper = simultaneous_shares(n_points, covered, n_bootstrap, seed)
    worst = int(np.argmax(np.abs(coverage - SCORED_LEVEL)))
    cell = cells[worst]
    return WorstCell(
        target,
        cell.dimension,
        cell.name,
        n_fits=len(parts[cell]),
        n_points=int(n_points[:, worst].sum()),
        coverage=float(coverage[worst]),
        lower=float(lower[worst]),
        upper=float(upper[worst]),
        n_cells=len(cells),
        n_off=int(np.sum((lower > SCORED_LEVEL) | (upper < SCORED_LEVEL))),
    )


def _matrices(cells: Sequence[Sequence[Part]], method: int) -> tuple[FloatArray, FloatArray]:
    """Points and covered points (n_fits, n_cells), of the fits that are in any of the cells."""
    level = SHOWN_LEVELS.index(SCORED_LEVEL)
    place = {fit: i for i, fit in enumerate(sorted({part.fit for parts in cells for part in parts}))}
    n_points, covered = np.zeros((2, len(place), len(cells)))
    for column, parts in enumerate(cells):
        for part in parts:
            n_points[place[part.fit], column] = part.n_points
            covered[place[part.fit], column] = part.coverage[method, level]
    return n_points, covered

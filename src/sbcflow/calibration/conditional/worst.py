"""The cell where coverage is furthest off, with an interval that holds though it was picked by its looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtr
from scipy.stats import t

from sbcflow.calibration.bootstrap import CONFIDENCE, resampled_means
from sbcflow.calibration.conditional.collect import SHOWN_LEVELS, Cell, Part
from sbcflow.calibration.conditional.dimensions import JUDGED
from sbcflow.calibration.conditional.shares import Z, wilson
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
    lower, upper = simultaneous(n_points, covered, n_bootstrap, seed)
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


def simultaneous(
    n_points: FloatArray, covered: FloatArray, n_bootstrap: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Return 95% intervals of the cells' coverages that hold all of them at once, (n_cells,) each.

    ``n_points`` and ``covered`` (n_fits, n_cells): of each fit the points in a cell, and how many intervals
    there held the truth. Cells share fits, which one bootstrap of whole fits respects: c is the 95% quantile
    over resamples of the largest abs(coverage* - coverage) / se (max-t; Romano and Wolf 2005), se that of a
    ratio of sums over fits (Cochran 1977, section 6.4). With G fits in a cell c is read in Student's t with
    G - 1 degrees of freedom, and the interval is Wilson's of as many independent points as have that se, for
    shares near 1 are skew, and coverage plus and minus c se holds too seldom
    (tests/unit/test_conditional_worst.py).
    """
    coverage, n_fits = covered.sum(axis=0) / n_points.sum(axis=0), (n_points > 0).sum(axis=0)
    n_effective = _effective_points(n_points, covered, n_fits)
    errors = np.sqrt(coverage * (1 - coverage) / n_effective)
    means = resampled_means(np.stack([n_points, covered], axis=1), n_bootstrap, seed)
    # A resample without a fit in a cell says nothing of it, nor does a cell that is covered all over.
    resampled = np.divide(
        means[:, 1], means[:, 0], out=np.tile(coverage, (n_bootstrap, 1)), where=means[:, 0] > 0
    )
    off = np.abs(resampled - coverage)
    c = np.quantile(np.max(np.divide(off, errors, out=0 * off, where=errors > 0), axis=1), CONFIDENCE)
    return wilson(coverage, n_effective, t.isf(ndtr(-max(c, Z)), n_fits - 1))


def _effective_points(n_points: FloatArray, covered: FloatArray, n_fits: FloatArray) -> FloatArray:
    """How many independent points say as much, (n_cells,): one a fit where all fits are alike."""
    total, held = n_points.sum(axis=0), covered.sum(axis=0)
    residual = covered - held / total * n_points
    variance = n_fits / (n_fits - 1) * np.sum(residual**2, axis=0) / total**2
    spread = held / total * (1 - held / total)
    found = np.divide(spread, variance, out=n_fits.astype(np.float64), where=(variance > 0) & (spread > 0))
    return np.minimum(found, total)


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

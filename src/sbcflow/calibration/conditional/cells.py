"""The table of cells: what the parts of each come to, with intervals from a bootstrap of whole fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from sbcflow.calibration.bootstrap import MIN_FITS, percentile_interval, resampled_means
from sbcflow.calibration.conditional.collect import SHOWN_LEVELS, Cell, Part
from sbcflow.calibration.shares import wilson
from sbcflow.data import FloatArray

QUANTITIES = (
    "coverage",
    "mean_width",
    "interval_score",
    "crps",
    "width_to_raw",
    "score_to_raw",
    "crps_to_raw",
)
COLUMNS = (
    *("target", "dimension", "cell", "n_fits", "n_points", "level", "method"),
    *(f"{name}{end}" for name in QUANTITIES for end in ("", "_lower", "_upper")),
)


def cells_table(
    parts: Mapping[Cell, Sequence[Part]], methods: Sequence[str], n_bootstrap: int, seed: int
) -> pd.DataFrame:
    """Return a row a cell, level and method, columns ``COLUMNS``; ``methods`` are the parts', raw first.

    Fits have different numbers of points in a cell, so every mean is a ratio of sums over fits, and each
    resample of whole fits has its own ratio. ``mean_width``, ``interval_score`` and ``crps`` are in revenue
    per visitor, so fits of large revenue carry them; ``..._to_raw`` are ratios to raw's with each fit in its
    own unit (``Part.unit``), so that every fit counts. ``crps`` is of no level: a cell's rows share it.
    Intervals are 95%, blank with a single fit; that of coverage is at least what as many independent points
    would have, or as many fits where all or none are covered and all resamples agree.
    """
    rows = [row for cell in sorted(parts) for row in _rows(cell, parts[cell], methods, n_bootstrap, seed)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(
    cell: Cell, parts: Sequence[Part], methods: Sequence[str], n_bootstrap: int, seed: int
) -> list[tuple[Any, ...]]:
    sums = _sums(parts)
    point = _quantities(sums.mean(axis=0))
    if len(parts) < MIN_FITS:
        lower = upper = np.full(point.shape, np.nan)
    else:
        lower, upper = percentile_interval(_quantities(resampled_means(sums, n_bootstrap, seed)))
        # Where all or none are covered nothing tells how alike the points of a fit are: each fit is one.
        n = np.where((point[0] > 0) & (point[0] < 1), sums[:, 0].sum(axis=0), len(parts))
        least = wilson(point[0], n)
        lower[0], upper[0] = np.minimum(lower[0], least[0]), np.maximum(upper[0], least[1])
    n_points = sum(part.n_points for part in parts)
    known = (cell.target, cell.dimension, cell.name, len(parts), n_points)
    ends = np.stack([point, lower, upper], axis=-1)
    return [
        (*known, level, method, *ends[:, m, a].ravel().tolist())
        for a, level in enumerate(SHOWN_LEVELS)
        for m, method in enumerate(methods)
    ]


def _sums(parts: Sequence[Part]) -> FloatArray:
    """(n_fits, 8, n_methods, n_levels): points, the four scores, and three of them in the fit's own unit."""
    n_methods, n_levels = parts[0].coverage.shape
    found = np.empty((len(parts), 8, n_methods, n_levels))
    for into, part in zip(found, parts, strict=True):
        scores = (part.width, part.score, np.repeat(part.crps[:, None], n_levels, axis=1))
        into[0], into[1], into[2:5] = part.n_points, part.coverage, scores
        into[5:8] = into[2:5] / part.unit
    return found


def _quantities(sums: FloatArray) -> FloatArray:
    """``QUANTITIES`` (..., 7, n_methods, n_levels) of means or sums over fits of what ``_sums`` has."""
    means = sums[..., 1:5, :, :] / sums[..., :1, :, :]
    of_raw = sums[..., 5:8, :1, :]
    to_raw = np.divide(
        sums[..., 5:8, :, :], of_raw, out=np.full(sums[..., 5:8, :, :].shape, np.nan), where=of_raw > 0
    )
    return np.concatenate([means, to_raw], axis=-3)

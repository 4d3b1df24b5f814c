"""Intervals of shares: of one, and of several at once, so that the one picked by its looks is honest."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr
from scipy.stats import t

from sbcflow.calibration.bootstrap import CONFIDENCE, resampled_means
from sbcflow.data import FloatArray

# The 97.5% quantile of the normal distribution.
Z = 1.959964


def wilson(share: FloatArray, n: FloatArray, z: FloatArray | float = Z) -> tuple[FloatArray, FloatArray]:
    """Return lower and upper ends (...) of the shares that a share of ``n`` independent points is no proof
    against, at ``z`` standard errors (Wilson 1927).

    ``n`` may be an effective number, that of a sample of clusters (Kott and Carr 1997).
    """
    total = n + np.square(z)
    centre = (n * share + np.square(z) / 2) / total
    reach = z * np.sqrt(n * share * (1 - share) + np.square(z) / 4) / total
    return centre - reach, centre + reach


def simultaneous_shares(
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

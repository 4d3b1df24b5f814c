"""Cluster bootstrap over fits (Field & Welsh 2007): whole fits are drawn again, never single points.

The test points of a fit share its data, so their errors are dependent; only fits are independent.
"""

from __future__ import annotations

import numpy as np

from sbcflow.data import FloatArray

CONFIDENCE = 0.95
# A single fit, drawn again, is itself: its interval would have no width and say nothing.
MIN_FITS = 2
# All n fits fall on one side of a median, or of no difference, by chance with probability 2 (1/2)^n:
# 0.0625 at 5 fits, 0.03125 at 6. With fewer than 6, fits say nothing at 95% confidence.
MIN_FITS_TO_TELL = 6


def resampled_means(per_fit: FloatArray, n_bootstrap: int, seed: int) -> FloatArray:
    """Return the mean over fits of each of ``n_bootstrap`` resamples.

    ``per_fit`` (n_fits, ...) float64 -> (n_bootstrap, ...) float64. The fits drawn depend on the seed
    and n_fits alone, so that calls with one seed resample the same fits and stay paired.
    """
    n_fits = len(per_fit)
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(n_fits, np.full(n_fits, 1.0 / n_fits), size=n_bootstrap)
    # No matrix product: its summation order may change with the number of cores.
    means: FloatArray = np.einsum("bf,f...->b...", counts / n_fits, per_fit, optimize=False)
    return means


def percentile_interval(replicates: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the pointwise 95% percentile interval of ``replicates`` (n_bootstrap, ...), as (...) each."""
    tail = (1.0 - CONFIDENCE) / 2.0
    lower, upper = np.quantile(replicates, [tail, 1.0 - tail], axis=0)
    return lower, upper


def interval_over_fits(per_fit: FloatArray, n_bootstrap: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Return the 95% interval of the mean over fits of ``per_fit`` (n_fits, ...); NaN below 2 fits."""
    if len(per_fit) < MIN_FITS:
        unknown = np.full(per_fit.shape[1:], np.nan)
        return unknown, unknown
    return percentile_interval(resampled_means(per_fit, n_bootstrap, seed))

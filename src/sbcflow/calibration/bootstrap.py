"""Cluster bootstrap over fits (Field & Welsh 2007): whole fits are drawn again, never single points.

The test points of a fit share its data, so their errors are dependent; only fits are independent.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def simultaneous_intervals(
    groups: Sequence[FloatArray], n_bootstrap: int, seed: int
) -> tuple[FloatArray, FloatArray]:
    """Return 95% intervals of the groups' means that hold all of them at once, (n_groups,) each.

    ``groups``: of each the values of its fits, (n_fits,). So the interval of whichever group looks worst is
    honest, though it was picked by its looks. Mean plus and minus c standard errors, with c the 95% quantile,
    over resamples of fits within groups, of the largest |mean* - mean| / se (max-t; Romano and Wolf 2005).
    NaN for a group of a single fit.
    """
    means = np.array([group.mean() for group in groups])
    errors = np.array([_standard_error(group) for group in groups])
    known = errors > 0
    if not known.any():
        return np.where(errors == 0, means, np.nan), np.where(errors == 0, means, np.nan)
    seeds = np.random.SeedSequence(seed).generate_state(len(groups))
    deviations = [
        np.abs(resampled_means(group, n_bootstrap, int(own)) - mean) / error
        for group, own, mean, error in zip(groups, seeds, means, errors, strict=True)
        if error > 0
    ]
    reach = float(np.quantile(np.max(deviations, axis=0), CONFIDENCE)) * errors
    return means - reach, means + reach


def _standard_error(values: FloatArray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) >= MIN_FITS else np.nan

"""Scores of one fit: its posterior draws at the test points against the truths.

Every interval is a central one: at level a it runs from the (1-a)/2 to the (1+a)/2 quantile of the
draws, quantiles interpolated linearly between order statistics (numpy's default, Hyndman & Fan 1996
type 7). A point's draws are sorted once and every quantile is read off the sorted row.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbcflow.data import FloatArray
from sbcflow.errors import DataError
from sbcflow.levels import LEVELS, coverage_metric

SCORED_LEVEL = 0.9
METRICS = (
    *(coverage_metric(level) for level in LEVELS),
    "rmse",
    "bias",
    "mean_width_90",
    "interval_score_90",
    "crps",
)

Draws = NDArray[np.floating[Any]]


def score_fit(draws: Draws, truth: NDArray[np.floating[Any]]) -> dict[str, float]:
    """Score a fit on its test points.

    ``draws`` (n_points, n_draws) floating, float32 in a sweep; ``truth`` (n_points,) floating; both in
    revenue per visitor, as are all scores but coverage. Returns, in this order: coverage at each of
    ``LEVELS`` (share of points), ``rmse`` and ``bias`` (mean of estimate minus truth) of the posterior
    mean, ``mean_width_90``, ``interval_score_90`` and ``crps`` (see :func:`sample_crps`).

    Raises:
        DataError: shapes that do not fit together, fewer than 2 draws, or values that are not finite.
    """
    ordered, target = order_draws(draws), checked_truth(truth, len(draws))
    scores = {coverage_metric(level): _coverage(ordered, target, level) for level in LEVELS}
    error = ordered.mean(axis=1) - target
    lower, upper = central_interval(ordered, SCORED_LEVEL)
    return {
        **scores,
        "rmse": float(np.sqrt(np.mean(error**2))),
        "bias": float(np.mean(error)),
        "mean_width_90": float(np.mean(upper - lower)),
        "interval_score_90": float(np.mean(interval_score(lower, upper, target, SCORED_LEVEL))),
        "crps": float(np.mean(sample_crps(ordered, target))),
    }


def order_draws(draws: Draws) -> FloatArray:
    """Return each point's draws in ascending order, (n_points, n_draws) float64.

    Raises:
        DataError: not two-dimensional, no point, fewer than 2 draws, or a draw that is not finite.
    """
    if draws.ndim != 2 or draws.shape[0] < 1 or draws.shape[1] < 2:
        raise DataError(
            f"draws: must have shape (n_points >= 1, n_draws >= 2), got {tuple(map(int, draws.shape))}"
        )
    if not np.issubdtype(draws.dtype, np.floating):
        raise DataError(f"draws: must be floating point, got {draws.dtype}")
    if not np.isfinite(draws).all():
        raise DataError("draws: must all be finite, found NaN or infinity")
    return np.sort(draws, axis=1).astype(np.float64, copy=False)


def checked_truth(truth: NDArray[np.floating[Any]], n_points: int) -> FloatArray:
    """Return the truths as (n_points,) float64.

    Raises:
        DataError: another shape, or a value that is not finite.
    """
    target = np.asarray(truth, dtype=np.float64)
    if target.shape != (n_points,):
        raise DataError(f"truth: must have shape ({n_points},), one a point of the draws, got {target.shape}")
    if not np.isfinite(target).all():
        raise DataError("truth: must all be finite, found NaN or infinity")
    return target


def quantile_of(ordered: FloatArray, probability: float) -> FloatArray:
    """Return the ``probability`` quantile of each row of :func:`order_draws`' result, (n_points,) float64."""
    position = probability * (ordered.shape[1] - 1)
    below = min(int(position), ordered.shape[1] - 2)
    low, high = ordered[:, below], ordered[:, below + 1]
    quantile: FloatArray = low + (high - low) * (position - below)
    return quantile


def central_interval(ordered: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    """Return lower and upper ends, (n_points,) float64 each, of the central interval at ``level``."""
    tail = (1.0 - level) / 2.0
    return quantile_of(ordered, tail), quantile_of(ordered, 1.0 - tail)


def covers(lower: FloatArray, upper: FloatArray, truth: FloatArray) -> NDArray[np.bool_]:
    """Return whether each closed interval holds its truth, (n_points,) bool."""
    return (lower <= truth) & (truth <= upper)


def interval_score(lower: FloatArray, upper: FloatArray, truth: FloatArray, level: float) -> FloatArray:
    """Return the interval score of each point, (n_points,) float64, in the truth's unit; smaller is better.

    Width plus 2/(1-level) times the distance by which the truth is missed (Gneiting & Raftery 2007,
    Strictly Proper Scoring Rules, equation 43).
    """
    missed = np.maximum(lower - truth, 0.0) + np.maximum(truth - upper, 0.0)
    score: FloatArray = (upper - lower) + 2.0 / (1.0 - level) * missed
    return score


def sample_crps(ordered: FloatArray, truth: FloatArray) -> FloatArray:
    """Return the CRPS of each point, (n_points,) float64, in the truth's unit; smaller is better.

    The probability-weighted-moments estimator (Zamo & Naveau 2018), also called fair: mean ``|x_i - y|``
    less sum_i (2i - S - 1) x_(i) / (S (S - 1)) over the S ``ordered`` draws. It is unbiased for the CRPS
    of the posterior the draws come from, whatever S, and costs O(S log S) for the sorting.
    """
    n_draws = ordered.shape[1]
    weights = (2.0 * np.arange(1, n_draws + 1) - n_draws - 1.0) / (n_draws * (n_draws - 1.0))
    distance = np.abs(ordered - truth[:, None]).mean(axis=1)
    # No matrix product: its summation order may change with the number of cores.
    crps: FloatArray = distance - (ordered * weights).sum(axis=1)
    return crps


def rank_of(truth: NDArray[np.floating[Any]], draws: Draws) -> NDArray[np.int64]:
    """Return how many of the draws lie below the truth: the rank statistic of SBC (Talts et al. 2018).

    ``draws`` (..., n_draws), ``truth`` (...); the ranks (...) run over 0..n_draws and are uniform
    where the truth is exchangeable with independent draws.
    """
    below: NDArray[np.bool_] = draws < np.asarray(truth)[..., None]
    ranks: NDArray[np.int64] = below.sum(axis=-1, dtype=np.int64)
    return ranks


def _coverage(ordered: FloatArray, truth: FloatArray, level: float) -> float:
    lower, upper = central_interval(ordered, level)
    return float(np.mean(covers(lower, upper, truth)))

"""Methods against each other on the same test fits: means with intervals, paired differences, a verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sbcflow.calibration.bootstrap import (
    CONFIDENCE,
    MIN_FITS,
    MIN_FITS_TO_TELL,
    percentile_interval,
    resampled_means,
)
from sbcflow.calibration.evaluate import FitScores
from sbcflow.data import FloatArray
from sbcflow.levels import LEVELS
from sbcflow.params import EvaluationSettings
from sbcflow.scoring import SCORED_LEVEL

COVERAGE_ERROR = "mean_absolute_coverage_error"
INTERVAL_SCORE = "interval_score_90"
CRPS = "crps"

BETTER = "better_than_raw"
NO_BETTER = "no_better_than_raw"
WORSE = "worse_than_raw"


@dataclass(frozen=True)
class Estimate:
    """A value over the test fits and its 95% interval from the cluster bootstrap, NaN below 2 fits."""

    value: float
    lower: float
    upper: float

    def to_json(self) -> dict[str, float | None]:
        """Return {value, lower, upper}, null where unknown."""
        named = {"value": self.value, "lower": self.lower, "upper": self.upper}
        return {name: v if math.isfinite(v) else None for name, v in named.items()}


@dataclass(frozen=True)
class Comparison:
    """``means[quantity][method]``, and ``differences[method][quantity]``: method minus raw, paired by fit.

    Smaller is better in every quantity, so a negative difference speaks for the method.
    """

    means: Mapping[str, Mapping[str, Estimate]]
    differences: Mapping[str, Mapping[str, Estimate]]


@dataclass(frozen=True)
class Verdict:
    """Whether a correction helped: one of the three codes, and a sentence with its reason."""

    code: str
    sentence: str


def compare(fits: tuple[FitScores, ...], methods: Sequence[str], settings: EvaluationSettings) -> Comparison:
    """Compare the methods of the scores, raw first, all from one set of resamples of whole fits.

    The coverage error of a resample is that of its own mean coverages. Chance adds to an absolute error
    near 0 more than to a large one, so the resamples' differences lean against the better method.
    """
    by_name = {name: quantity(fits, settings) for name, quantity in _REPLICATES.items()}
    means = {
        name: {m: _estimate(point[i], spread[:, i]) for i, m in enumerate(methods)}
        for name, (point, spread) in by_name.items()
    }
    differences = {
        method: {
            name: _estimate(point[i] - point[0], spread[:, i] - spread[:, 0])
            for name, (point, spread) in by_name.items()
        }
        for i, method in enumerate(methods)
        if i > 0
    }
    return Comparison(means, differences)


def coverage_error(coverage: FloatArray) -> FloatArray:
    """Return the mean over levels of abs(coverage - level), (...), of mean coverages (..., n_levels)."""
    error: FloatArray = np.abs(coverage - np.asarray(LEVELS)).mean(axis=-1)
    return error


def judge(comparison: Comparison, n_fits: int, method: str) -> Verdict:
    """Return the verdict on a method, decided by its mean absolute coverage error alone.

    Better (worse) where the paired 95% interval of its difference from raw lies below (above) 0; else,
    and always with fewer than ``MIN_FITS_TO_TELL`` fits, no better than raw.
    """
    difference = comparison.differences[method][COVERAGE_ERROR]
    raw, ours = (comparison.means[COVERAGE_ERROR][m].value for m in ("raw", method))
    facts = f"mean absolute coverage error {ours:.4f} against {raw:.4f} raw"
    if n_fits < MIN_FITS_TO_TELL:
        few = f"{n_fits} test fits are too few to tell (at least {MIN_FITS_TO_TELL})"
        return Verdict(NO_BETTER, f"The {method} correction is shown no better than raw: {facts}; {few}.")
    span = f"difference {difference.lower:+.4f} to {difference.upper:+.4f} ({CONFIDENCE:.0%} interval)"
    code, words = _decision(difference)
    return Verdict(code, f"The {method} correction is {words}: {facts}; {span}, {n_fits} test fits.")


def _decision(difference: Estimate) -> tuple[str, str]:
    if difference.upper < 0:
        return BETTER, "better than raw"
    if difference.lower > 0:
        return WORSE, "worse than raw"
    return NO_BETTER, "no better than raw, as far as these fits tell"


def _estimate(value: float, replicates: FloatArray) -> Estimate:
    lower, upper = percentile_interval(replicates) if replicates.size else (math.nan, math.nan)
    return Estimate(float(value), float(lower), float(upper))


def _resampled(per_fit: FloatArray, settings: EvaluationSettings) -> FloatArray:
    """Means of the resamples, none below 2 fits. One seed: the same fits for every quantity."""
    if len(per_fit) < MIN_FITS:
        return np.empty((0, *per_fit.shape[1:]))
    return resampled_means(per_fit, settings.n_bootstrap, settings.seed)


def _coverage_errors(
    fits: tuple[FitScores, ...], settings: EvaluationSettings
) -> tuple[FloatArray, FloatArray]:
    coverage = np.stack([fit.coverage for fit in fits])
    return coverage_error(coverage.mean(axis=0)), coverage_error(_resampled(coverage, settings))


def _interval_scores(
    fits: tuple[FitScores, ...], settings: EvaluationSettings
) -> tuple[FloatArray, FloatArray]:
    scores = np.stack([fit.score[:, LEVELS.index(SCORED_LEVEL)] for fit in fits])
    return scores.mean(axis=0), _resampled(scores, settings)


def _crps(fits: tuple[FitScores, ...], settings: EvaluationSettings) -> tuple[FloatArray, FloatArray]:
    crps = np.stack([fit.crps for fit in fits])
    return crps.mean(axis=0), _resampled(crps, settings)


# Each gives a quantity's value (n_methods,) and its replicates (n_bootstrap, n_methods).
_REPLICATES: Mapping[
    str, Callable[[tuple[FitScores, ...], EvaluationSettings], tuple[FloatArray, FloatArray]]
] = {COVERAGE_ERROR: _coverage_errors, INTERVAL_SCORE: _interval_scores, CRPS: _crps}

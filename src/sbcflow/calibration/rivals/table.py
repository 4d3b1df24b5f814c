"""The table of rivals: what each gains over raw, with 95% intervals over fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from sbcflow.calibration.bootstrap import percentile_interval, resampled_means
from sbcflow.calibration.comparison import COVERAGE_ERROR, coverage_error
from sbcflow.calibration.evaluate import FitScores
from sbcflow.calibration.shares import simultaneous_shares
from sbcflow.data import FloatArray
from sbcflow.levels import LEVELS
from sbcflow.scoring import SCORED_LEVEL

COVERAGE, SCORE_RATIO, WIDTH_RATIO = "coverage", "interval_score_to_raw", "mean_width_to_raw"
CRPS_RATIO, WORST_TEMPLATE = "crps_to_raw", "worst_template_coverage"
COLUMNS = ("method", "quantity", "level", "template", "value", "lower", "upper")

Row = tuple[str, str, float, str, float, float, float]


def rivals_table(
    fits: Sequence[FitScores], methods: Sequence[str], n_bootstrap: int, seed: int
) -> pd.DataFrame:
    """Return a row a method and quantity, columns ``COLUMNS``; ``methods`` are the scores', raw first.

    Quantities: the mean over levels of abs(coverage - level); the mean CRPS as a ratio to raw's; at each
    level coverage, and mean interval score and width as ratios to raw's; the coverage at 0.9 of the template
    where it is lowest. Intervals come from one bootstrap of whole fits, that of the worst template from one
    that holds all templates at once.
    """
    rows: list[Row] = []
    resampled = _Resampled(fits, n_bootstrap, seed)
    for m, method in enumerate(methods):
        rows += [(method, *row) for row in _rows_of(resampled, m)]
        rows.append((method, *_worst_template(fits, m, n_bootstrap, seed)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


class _Resampled:
    """Means over fits, (n_methods, n_levels) of each quantity, and (n_bootstrap, ...) those of resamples."""

    def __init__(self, fits: Sequence[FitScores], n_bootstrap: int, seed: int) -> None:
        self.point: dict[str, FloatArray] = {}
        self.spread: dict[str, FloatArray] = {}
        for name in ("coverage", "width", "score", "crps"):
            values = np.stack([getattr(fit, name) for fit in fits])
            self.point[name] = values.mean(axis=0)
            self.spread[name] = resampled_means(values, n_bootstrap, seed)

    def to_raw(self, name: str, m: int) -> tuple[FloatArray, FloatArray]:
        """Return a quantity of method ``m`` over raw's, and that of each resample."""
        point, spread = self.point[name], self.spread[name]
        return point[m] / point[0], spread[:, m] / spread[:, 0]


def _rows_of(means: _Resampled, m: int) -> Iterator[tuple[str, float, str, float, float, float]]:
    coverage, spread = means.point["coverage"][m], means.spread["coverage"][:, m]
    error = float(coverage_error(coverage))
    yield COVERAGE_ERROR, np.nan, "", error, *_interval(coverage_error(spread))
    crps, of_resamples = means.to_raw("crps", m)
    yield CRPS_RATIO, np.nan, "", float(crps), *_interval(of_resamples)
    for a, level in enumerate(LEVELS):
        yield COVERAGE, level, "", float(coverage[a]), *_interval(spread[:, a])
    for quantity, name in ((SCORE_RATIO, "score"), (WIDTH_RATIO, "width")):
        point, ratios = means.to_raw(name, m)
        for a, level in enumerate(LEVELS):
            yield quantity, level, "", float(point[a]), *_interval(ratios[:, a])


def _worst_template(
    fits: Sequence[FitScores], m: int, n_bootstrap: int, seed: int
) -> tuple[str, float, str, float, float, float]:
    at = LEVELS.index(SCORED_LEVEL)
    names = sorted({fit.template for fit in fits})
    # All fits have as many points: each counts as one.
    member = np.array([[float(fit.template == name) for name in names] for fit in fits])
    covered = member * np.array([[fit.coverage[m, at]] for fit in fits])
    lower, upper = simultaneous_shares(member, covered, n_bootstrap, seed)
    means = covered.sum(axis=0) / member.sum(axis=0)
    worst = int(np.argmin(means))
    ends = float(lower[worst]), float(upper[worst])
    return WORST_TEMPLATE, SCORED_LEVEL, names[worst], float(means[worst]), *ends


def _interval(replicates: FloatArray) -> tuple[float, float]:
    lower, upper = percentile_interval(replicates)
    return float(lower), float(upper)

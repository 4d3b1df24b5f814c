"""The scorecard of a correction on a test sweep: its tables, its summary and its printed form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sbcflow.calibration.bootstrap import CONFIDENCE, interval_over_fits
from sbcflow.calibration.comparison import COVERAGE_ERROR, Comparison, compare, coverage_error, judge
from sbcflow.calibration.corrections import Corrections, methods_of
from sbcflow.calibration.evaluate import CRPS_LEVELS, TestFit, TestScores, score_test_fits
from sbcflow.calibration.groups import Group, groups_of
from sbcflow.calibration.layered import METHODS
from sbcflow.data import FloatArray
from sbcflow.errors import ArtifactError
from sbcflow.files import read_json
from sbcflow.levels import LEVELS
from sbcflow.params import EvaluationSettings

TABLE_FILE = "scorecard.csv"
SUMMARY_FILE = "scorecard.json"
TABLE_COLUMNS = (
    "group_kind",
    "group",
    "n_fits",
    "level",
    "method",
    "coverage",
    "coverage_lower",
    "coverage_upper",
    "mean_width",
    "interval_score",
)


# What the printed form needs of scorecard.json.
SUMMARY_KEYS = (
    "n_fits",
    "n_excluded",
    "default_method",
    COVERAGE_ERROR,
    "crps",
    "worst_template",
    "anchor",
    "verdict",
)


@dataclass(frozen=True)
class Scorecard:
    """``table`` is scorecard.csv (columns ``TABLE_COLUMNS``), ``summary`` scorecard.json, and
    ``curves`` the plot's data: nominal, method, coverage over all fits."""

    table: pd.DataFrame
    curves: pd.DataFrame
    summary: dict[str, Any]

    @property
    def methods(self) -> tuple[str, ...]:
        """Every method that was scored, raw first."""
        return methods_in(self.table)

    @property
    def default_method(self) -> str:
        """The method that intervals of visitors are corrected by unless another is asked for."""
        found: str = self.summary["default_method"]
        return found

    @classmethod
    def load(cls, directory: Path | str) -> Scorecard:
        """Read a scorecard from the folder of an evaluation.

        Raises:
            ArtifactError: a file is missing, damaged, or lacks what a scorecard has.
        """
        folder = Path(directory)
        table = _read_table(folder / TABLE_FILE)
        summary = read_json(folder / SUMMARY_FILE)
        missing = [key for key in SUMMARY_KEYS if not isinstance(summary, dict) or key not in summary]
        if missing:
            raise ArtifactError(f"{folder / SUMMARY_FILE}: is missing {', '.join(missing)}")
        return cls(table, _curves(table), summary)


def evaluate(
    fits: Iterable[TestFit],
    corrections: Corrections,
    settings: EvaluationSettings,
) -> Scorecard:
    """Score every method on the fits of a test sweep, one fit's draws in memory at a time.

    The verdict is on the corrections' default method.

    Equal inputs give equal scorecards, to the last digit. Coverage intervals come from a bootstrap of
    whole fits within each group, blank where a group has a single fit.

    Raises:
        ArtifactError: no converged fit, or one whose draws or truth cannot be scored, by name.
    """
    methods = methods_of(corrections)
    scores = score_test_fits(fits, methods)
    table = _table(scores, tuple(methods), settings)
    return Scorecard(table, _curves(table), _summary(scores, tuple(methods), table, corrections, settings))


def methods_in(table: pd.DataFrame) -> tuple[str, ...]:
    """Return the methods of a scorecard's table, in its order: raw first."""
    return tuple(str(method) for method in table["method"].unique())


def _curves(table: pd.DataFrame) -> pd.DataFrame:
    overall = table[table["group_kind"] == "all"]
    curves = overall[["level", "method", "coverage"]].rename(columns={"level": "nominal"})
    return curves.reset_index(drop=True)


def _read_table(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path)
    except FileNotFoundError:
        raise ArtifactError(f"{path}: no such file; the folder of an evaluation holds it") from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be read as a table: {' '.join(str(error).split())}") from None
    missing = [name for name in TABLE_COLUMNS if name not in table]
    if missing:
        raise ArtifactError(f"{path}: is missing the columns {', '.join(missing)}")
    methods = methods_in(table)
    missing = [name for name in METHODS if name not in methods]
    if missing:
        raise ArtifactError(f"{path}: has no rows of the methods {', '.join(missing)}")
    n_overall, expected = int((table["group_kind"] == "all").sum()), len(LEVELS) * len(methods)
    if n_overall != expected:
        raise ArtifactError(f"{path}: has {n_overall} rows over all fits; must have {expected}")
    return table


def _table(scores: TestScores, methods: tuple[str, ...], settings: EvaluationSettings) -> pd.DataFrame:
    rows = [row for group in groups_of(scores.fits) for row in _group_rows(group, methods, settings)]
    return pd.DataFrame(rows, columns=list(TABLE_COLUMNS))


def _group_rows(
    group: Group, methods: tuple[str, ...], settings: EvaluationSettings
) -> list[tuple[Any, ...]]:
    coverage = np.stack([fit.coverage for fit in group.fits])
    lower, upper = interval_over_fits(coverage, settings.n_bootstrap, settings.seed)
    means = [coverage.mean(axis=0), lower, upper]
    means += [np.stack([getattr(f, name) for f in group.fits]).mean(axis=0) for name in ("width", "score")]
    return [
        (group.kind, group.name, len(group.fits), level, method, *(float(v[m, a]) for v in means))
        for a, level in enumerate(LEVELS)
        for m, method in enumerate(methods)
    ]


def _summary(
    scores: TestScores,
    methods: tuple[str, ...],
    table: pd.DataFrame,
    corrections: Corrections,
    settings: EvaluationSettings,
) -> dict[str, Any]:
    correction, default = corrections.layered, corrections.default_method
    comparison = compare(scores.fits, methods, settings)
    verdict = judge(comparison, len(scores.fits), default)
    return {
        "verdict": {"code": verdict.code, "sentence": verdict.sentence},
        "n_fits": len(scores.fits),
        "n_excluded": scores.n_excluded,
        "default_method": default,
        **_comparison_json(comparison),
        "worst_template": worst_template(table, default),
        "anchor": {
            "usable": correction.scale.anchor_usable,
            "reason": correction.scale.anchor_reason,
            "nominal": correction.scale.max_recorded_nominal,
            "median_actual": correction.scale.median_actual,
        },
        "layered_regimes": {str(level): correction.rule(level).regime for level in LEVELS},
        "trained_on": correction.trained_on,
        "n_train_fits": correction.curve.n_fits,
        "n_train_excluded": correction.n_excluded,
        "crps_n_levels": len(CRPS_LEVELS),
        "bootstrap": {
            "n_bootstrap": settings.n_bootstrap,
            "seed": settings.seed,
            "confidence": CONFIDENCE,
        },
    }


def _comparison_json(comparison: Comparison) -> dict[str, Any]:
    means = {
        quantity: {method: estimate.to_json() for method, estimate in by_method.items()}
        for quantity, by_method in comparison.means.items()
    }
    differences = {
        method: {quantity: estimate.to_json() for quantity, estimate in by_quantity.items()}
        for method, by_quantity in comparison.differences.items()
    }
    return {**means, "differences_from_raw": differences}


def worst_template(table: pd.DataFrame, default: str) -> dict[str, Any]:
    """Return the template where the default method errs most: its name, fits, and error by method."""
    methods = methods_in(table)
    templates = table[table["group_kind"] == "template"]
    errors = {
        str(name): {method: float(coverage_error(_coverage(rows, method))) for method in methods}
        for name, rows in templates.groupby("group", sort=True)
    }
    worst = max(errors, key=lambda name: errors[name][default])
    n_fits = templates.loc[templates["group"] == worst, "n_fits"].iloc[0]
    return {"template": worst, "n_fits": int(n_fits), COVERAGE_ERROR: errors[worst]}


def _coverage(rows: pd.DataFrame, method: str) -> FloatArray:
    """The coverages of a method in one group's rows, (n_levels,) in the order of ``LEVELS``."""
    coverage: FloatArray = rows.loc[rows["method"] == method, "coverage"].to_numpy(dtype=np.float64)
    return coverage


def render(scorecard: Scorecard) -> str:
    """Return the scorecard as a plain-text table, for a terminal."""
    summary, methods = scorecard.summary, scorecard.methods
    columns = {m: _coverage(scorecard.table[scorecard.table["group_kind"] == "all"], m) for m in methods}
    lines = [
        f"Coverage of {summary['n_fits']} test fits ({summary['n_excluded']} unconverged, left out)",
        _line("nominal", methods),
        *(_line(str(a), [f"{columns[m][i]:.4f}" for m in methods]) for i, a in enumerate(LEVELS)),
        _line("mean |error|", [f"{_value(summary[COVERAGE_ERROR][m]):.4f}" for m in methods]),
        _line("CRPS", [f"{_value(summary['crps'][m]):.4g}" for m in methods]),
        _worst_line(summary["worst_template"], methods),
        *_anchor_lines(summary["anchor"]),
        summary["verdict"]["sentence"],
    ]
    return "\n".join(lines) + "\n"


def _line(label: str, cells: Iterable[str]) -> str:
    return f"{label:<14}" + "".join(f"{cell:>12}" for cell in cells)


def _value(estimate: dict[str, float]) -> float:
    return estimate["value"]


def _worst_line(worst: dict[str, Any], methods: Iterable[str]) -> str:
    errors = ", ".join(f"{method} {worst[COVERAGE_ERROR][method]:.4f}" for method in methods)
    return f"Worst template: {worst['template']} ({worst['n_fits']} fits), mean |error| {errors}"


def _anchor_lines(anchor: dict[str, Any]) -> list[str]:
    if anchor["usable"]:
        return []
    return [f"Layered uses R(p) alone: {anchor['reason']}"]

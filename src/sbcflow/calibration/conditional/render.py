"""A conditional scorecard in words and as a plain-text table, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from sbcflow.calibration.conditional.card import ConditionalCard
from sbcflow.calibration.conditional.dimensions import ATE, SEGMENT, VISITOR
from sbcflow.scoring import SCORED_LEVEL

EFFECTS = {
    VISITOR: "effects on single visitors",
    ATE: "average effects",
    SEGMENT: "average effects of segments",
}
LABELS = {
    "template": "template",
    "n_visitors": "visitors",
    "conversion_rate": "conversion rate",
    "segment_size": "share of visitors",
    "effect_size": "size of the true effect, in posterior sds",
    "estimated_size": "size of the estimated effect, in posterior sds",
}
READ_AS = {
    "effect_size": "Nobody sees a true effect; of calibrated intervals too, small ones are held more often."
}


def render_cells(card: ConditionalCard, dimension: str, target: str) -> str:
    """Return the cells of a target by a dimension: at 90%, each method's coverage, width and scores to raw.

    Raises:
        ArtifactError: the scorecard has no such cells.
    """
    rows = card.cells(dimension, target)
    at = rows[rows["level"] == SCORED_LEVEL]
    names = at["cell"].drop_duplicates().tolist()
    width = 2 + max(len(name) for name in names)
    lines = [f"{SCORED_LEVEL:.0%} intervals of {EFFECTS[target]}, by {LABELS[dimension]}"]
    for method in card.summary["methods"]:
        lines += ["", f"{method:<{width}}{_HEAD}"]
        lines += [f"{row['cell']:<{width}}{_cells(row)}" for _, row in at[at["method"] == method].iterrows()]
    lines += ["", "In brackets 95% intervals over fits; width, score and CRPS as ratios to raw."]
    lines += [READ_AS[dimension]] if dimension in READ_AS else []
    return "\n".join([*lines, *worst_lines(card.summary, target)]) + "\n"


_HEAD = f"{'fits':>6}{'points':>9}   {'coverage':<24}{'width':>7}{'score':>8}{'CRPS':>8}"


def _cells(row: pd.Series[Any]) -> str:
    ends = "" if row["n_fits"] == 1 else f"({row['coverage_lower']:.3f} to {row['coverage_upper']:.3f})"
    covered = f"{row['coverage']:.3f} {ends}"
    ratios = f"{row['width_to_raw']:>7.3f}{row['score_to_raw']:>8.3f}{row['crps_to_raw']:>8.3f}"
    return f"{row['n_fits']:>6}{row['n_points']:>9}   {covered:<24}{ratios}"


def worst_lines(summary: Mapping[str, Any], target: str) -> list[str]:
    """Return a line a method: its worst cell of a target, and how sure that is."""
    return [
        f"Worst cell, {method}: {_worst(summary['worst_cells'][target][method], summary)}"
        for method in summary["methods"]
        if target in summary["worst_cells"]
    ]


def render_worst(summary: Mapping[str, Any]) -> str:
    """Return the lines of the worst cells of single visitors' effects, for below a scorecard."""
    return "".join(f"{line}\n" for line in worst_lines(summary, VISITOR))


def worst_words(worst: Mapping[str, Any]) -> str:
    """Return a worst cell of conditional.json in words."""
    return f"{worst['target']} by {worst['dimension']}, {worst['cell']} ({worst['n_fits']} fits)"


def _worst(worst: Mapping[str, Any] | None, summary: Mapping[str, Any]) -> str:
    if worst is None:
        return f"none, no cell has {summary['worst_cells_are']['min_fits']} fits"
    return (
        f"{worst_words(worst)}, {SCORED_LEVEL:.0%} intervals hold {worst['coverage']:.3f} "
        f"({worst['lower']:.3f} to {worst['upper']:.3f}); "
        f"{worst['n_off']} of {worst['n_cells']} cells are off beyond chance"
    )

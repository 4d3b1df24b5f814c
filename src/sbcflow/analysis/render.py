"""An analysis as plain text, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from sbcflow.analysis.changes import INTERVAL_LEVELS, SHOWN_LEVEL, Widths, on_averages, on_visitors
from sbcflow.analysis.effects import Regime
from sbcflow.calibration.corrections import LAYERED
from sbcflow.data import EVERYBODY
from sbcflow.levels import level_suffix

NO_CORRECTION = (
    "No correction given (--correction DIR): calibrated columns are empty, raw intervals may cover less."
)


def render(
    effects: pd.DataFrame,
    regime: Regime,
    widths: Widths,
    notes: Sequence[str],
    next_step: str = "",
    method: str = LAYERED,
) -> str:
    """Return the tables of effects.csv and all that the reader must know beside them."""
    calibrated = regime.ok is not None
    shown = level_suffix(SHOWN_LEVEL)
    everybody = effects[effects["segment"] == EVERYBODY]
    segments = effects[effects["segment"] != EVERYBODY]
    parts = [
        "Effect on everybody, in revenue per visitor",
        _aligned([_heading(level=True), *(r for _, row in everybody.iterrows() for r in _by_level(row))]),
        f"Effect on segments, {shown}% intervals",
        _aligned([_heading(level=False), *(_segment(row) for _, row in segments.iterrows())]),
        *(
            [on_averages(effects), on_visitors(widths, method), *_regime_lines(regime, next_step)]
            if calibrated
            else [NO_CORRECTION]
        ),
        *(f"Note: {note}" for note in notes),
    ]
    return "\n".join(parts) + "\n"


def _heading(*, level: bool) -> list[str]:
    own = ["level"] if level else ["segment", "visitors"]
    return ["arm", *own, "diff in means (se)", "effect (sd)", "raw interval", "calibrated interval"]


def _by_level(row: pd.Series) -> list[list[str]]:
    return [
        [str(row["arm"]), f"{level_suffix(level)}%", *_estimates(row), *_intervals(row, level)]
        for level in INTERVAL_LEVELS
    ]


def _segment(row: pd.Series) -> list[str]:
    span = f" ({row['segment_range']})" if row["segment_range"] else ""
    n = int(row["n_control"]) + int(row["n_treatment"])
    return [
        str(row["arm"]),
        f"{row['segment']}{span}",
        f"{n:,}",
        *_estimates(row),
        *_intervals(row, SHOWN_LEVEL),
    ]


def _estimates(row: pd.Series) -> list[str]:
    return [
        f"{row['diff_in_means']:.4f} ({row['diff_in_means_se']:.4f})",
        f"{row['ate']:.4f} ({row['sd']:.4f})",
    ]


def _intervals(row: pd.Series, level: float) -> list[str]:
    return [_interval(row, kind, level_suffix(level)) for kind in ("raw", "calibrated")]


def _interval(row: pd.Series, kind: str, suffix: str) -> str:
    lower, upper = row[f"{kind}_lower_{suffix}"], row[f"{kind}_upper_{suffix}"]
    return "-" if pd.isna(lower) else f"{lower:.4f} to {upper:.4f}"


def _regime_lines(regime: Regime, next_step: str) -> list[str]:
    beyond = [f"Beyond the train sweep: {message}" for message in regime.beyond]
    if regime.ok:
        return ["The experiment lies inside the regime that the correction was fitted on.", *beyond]
    outside = [f"Outside the correction's regime: {message}" for message in regime.messages]
    return [*outside, *beyond, f"To be sure, {regime.advice}", *filter(None, [next_step])]


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns parted by two spaces: text to the left, figures to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if j < 2 else cell.rjust(width)
            for j, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )

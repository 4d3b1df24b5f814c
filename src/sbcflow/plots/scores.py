"""What the corrections do to the scores: paired differences from raw, in percent of raw."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from sbcflow.plots.style import (
    INK,
    METHOD_COLOURS,
    METHOD_LABELS,
    METHOD_MARKERS,
    MUTED,
    canvas,
    figure_of,
    legend_above,
    spread,
)

QUANTITIES: Mapping[str, str] = MappingProxyType(
    {
        "mean_absolute_coverage_error": "coverage error",
        "interval_score_90": "interval score, 90%",
        "crps": "CRPS",
    }
)


def plot_scores(summary: Mapping[str, Any], axes: Axes | None = None) -> Figure:
    """Draw the change of each score from raw, in percent of raw, with its paired 95% interval.

    ``summary`` is a scorecard.json. To the left of 0 the correction is better.
    """
    with canvas(axes, height=2.7) as on:
        on.axvline(0, color=MUTED, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
        drawn = [name for name in METHOD_LABELS if name in summary["differences_from_raw"]]
        for method, shift in zip(drawn, spread(len(drawn)), strict=True):
            place = np.arange(len(QUANTITIES)) + shift
            value, lower, upper = _relative(summary, method)
            colour = METHOD_COLOURS[method]
            on.hlines(place, lower, upper, color=colour, linewidth=1.6, alpha=0.75)
            label, marker = METHOD_LABELS[method], METHOD_MARKERS[method]
            on.plot(value, place, marker, color=colour, linestyle="", label=label)
        on.set_yticks(range(len(QUANTITIES)), list(QUANTITIES.values()))
        on.tick_params(axis="y", labelcolor=INK)
        on.set(ylim=(len(QUANTITIES) - 0.5, -0.5), xlabel="change from raw (left is better)")
        on.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+.0f}%" if value else "0"))
        on.grid(axis="y", visible=False)
        legend_above(on)
        return figure_of(on)


def _relative(summary: Mapping[str, Any], method: str) -> np.ndarray:
    """Value, lower and upper end of each quantity's difference, in percent of raw: (3, n_quantities)."""
    found = [
        [
            100
            * _number(summary["differences_from_raw"][method][quantity][end])
            / summary[quantity]["raw"]["value"]
            for quantity in QUANTITIES
        ]
        for end in ("value", "lower", "upper")
    ]
    return np.array(found)


def _number(value: float | None) -> float:
    return np.nan if value is None else value

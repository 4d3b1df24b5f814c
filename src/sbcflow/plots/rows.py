"""Coverage in rows, of groups and of cells alike: a mark a method, with its interval."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

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

ROW_INCHES, FRAME_INCHES = 0.3, 1.05


def coverage_rows(
    rows: pd.DataFrame, column: str, labels: Mapping[str, str], level: float, axes: Axes | None
) -> Figure:
    """Draw a row for each name in ``labels``: what each method covers of it, with its 95% interval.

    ``rows`` has the columns method, coverage, coverage_lower, coverage_upper, and the names in ``column``;
    R(p), which the layered rule is nearly everywhere, is left out.
    """
    with canvas(axes, FRAME_INCHES + ROW_INCHES * len(labels)) as on:
        on.axvline(level, color=MUTED, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
        drawn = [name for name in METHOD_LABELS if name != "r_of_p" and (rows["method"] == name).any()]
        for method, shift in zip(drawn, spread(len(drawn)), strict=True):
            of_method = rows[rows["method"] == method]
            by_name = of_method.set_index(of_method[column].astype(str))
            _draw_method(on, by_name.loc[list(labels)], method, shift)
        on.set_yticks(range(len(labels)), list(labels.values()))
        on.set(ylim=(len(labels) - 0.5, -0.5), xlabel=f"coverage of {level:.0%} intervals")
        on.tick_params(axis="y", labelcolor=INK)
        on.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
        on.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        on.grid(axis="y", visible=False)
        legend_above(on)
        return figure_of(on)


def _draw_method(axes: Axes, rows: pd.DataFrame, method: str, shift: float) -> None:
    place, colour = np.arange(len(rows)) + shift, METHOD_COLOURS[method]
    axes.hlines(
        place, rows["coverage_lower"], rows["coverage_upper"], color=colour, linewidth=1.4, alpha=0.75
    )
    axes.plot(
        rows["coverage"],
        place,
        METHOD_MARKERS[method],
        color=colour,
        label=METHOD_LABELS[method],
        linestyle="",
    )

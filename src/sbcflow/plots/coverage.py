"""Coverage against nominal level: raw, by R(p) and layered, with bands over fits."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from sbcflow.plots.style import (
    METHOD_COLOURS,
    METHOD_LABELS,
    METHOD_MARKERS,
    MUTED,
    canvas,
    figure_of,
    legend_above,
)


def plot_coverage(table: pd.DataFrame, axes: Axes | None = None) -> Figure:
    """Draw coverage against nominal level, with the pointwise 95% band of the bootstrap over fits.

    ``table`` holds rows of scorecard.csv; those of the group ``all`` are drawn.
    """
    with canvas(axes) as on:
        on.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
        for method, rows in _by_method(table):
            _line(on, method, rows["level"], rows["coverage"])
            _band(on, method, rows["level"], rows["coverage_lower"], rows["coverage_upper"])
        on.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="nominal level", ylabel="coverage of the truth")
        for axis in (on.xaxis, on.yaxis):
            axis.set_major_formatter(PercentFormatter(1))
        legend_above(on)
        return figure_of(on)


def plot_coverage_error(table: pd.DataFrame, axes: Axes | None = None) -> Figure:
    """Draw coverage less nominal level, in percentage points, level by level, evenly spaced.

    The tail, where a picture of coverage shows nothing, has as much room as the middle. Below 0 the
    intervals are too narrow. ``table`` as in :func:`plot_coverage`.
    """
    with canvas(axes) as on:
        on.axhline(0, color=MUTED, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
        levels = sorted(table["level"].unique())
        for method, rows in _by_method(table):
            places = [levels.index(level) for level in rows["level"]]
            errors = [
                100 * (rows[name] - rows["level"])
                for name in ("coverage", "coverage_lower", "coverage_upper")
            ]
            _line(on, method, places, errors[0])
            _band(on, method, places, errors[1], errors[2])
        on.set_xticks(range(len(levels)), [f"{100 * level:g}" for level in levels])
        on.tick_params(axis="x", labelsize=7.5)
        on.set(xlabel="nominal level, %", ylabel="coverage less nominal, points")
        on.grid(axis="x", visible=False)
        legend_above(on)
        return figure_of(on)


def _by_method(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    overall = table[table["group_kind"] == "all"]
    for method in METHOD_LABELS:
        rows = overall[overall["method"] == method]
        if not rows.empty:
            yield method, rows.sort_values("level")


def _line(axes: Axes, method: str, x: object, y: object) -> None:
    # Layered often equals R(p): a wide line with a narrow, dashed one on it shows both.
    wide = method == "layered"
    axes.plot(
        np.asarray(x, dtype=float),
        np.asarray(y, dtype=float),
        color=METHOD_COLOURS[method],
        marker=METHOD_MARKERS[method],
        linewidth=3.2 if wide else 1.6,
        markersize=6 if wide else 3.6,
        linestyle=(0, (4, 2)) if method == "r_of_p" else "-",
        label=METHOD_LABELS[method],
        zorder=3 if wide else 4,
    )


def _band(axes: Axes, method: str, x: object, lower: pd.Series, upper: pd.Series) -> None:
    if method == "r_of_p" or lower.isna().all():
        return
    axes.fill_between(
        np.asarray(x, dtype=float),
        lower.to_numpy(dtype=float),
        upper.to_numpy(dtype=float),
        color=METHOD_COLOURS[method],
        alpha=0.16,
        linewidth=0,
    )

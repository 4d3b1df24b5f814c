"""Coverage by group of fits, and the scores of single fits against what they were like."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from sbcflow.levels import coverage_column
from sbcflow.plots.fits import draw_fits
from sbcflow.plots.rows import FRAME_INCHES, ROW_INCHES, coverage_rows
from sbcflow.plots.style import INK, canvas, figure_of

COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "conversion_rate": "diagnostics.conversion_rate",
        "coverage": coverage_column(0.9),
        "rmse": "metrics.rmse",
        "width": "metrics.mean_width_90",
    }
)
LABELS: Mapping[str, str] = MappingProxyType(
    {
        "n_visitors": "visitors",
        "diagnostics.conversion_rate": "conversion rate",
        coverage_column(0.9): "coverage of raw 90% intervals",
        "metrics.rmse": "RMSE, revenue per visitor",
        "metrics.mean_width_90": "raw 90% width, revenue per visitor",
        "wall_seconds": "seconds",
    }
)
LOGARITHMIC = ("n_visitors", "diagnostics.conversion_rate", "metrics.rmse", "metrics.mean_width_90")
MOST_TICKS = 5


def plot_groups(
    table: pd.DataFrame, level: float = 0.9, kind: str = "template", axes: Axes | None = None
) -> Figure:
    """Draw the raw and the corrected coverage of each group of fits at one level, with 95% intervals.

    ``table`` holds rows of scorecard.csv; ``kind`` is a ``group_kind``: template, n_visitors or
    conversion_rate. A group of a single fit has no interval.

    Raises:
        ValueError: the table has no such group or level.
    """
    rows = table[(table["group_kind"] == kind) & np.isclose(table["level"], level)]
    if rows.empty:
        raise ValueError(f"the table has no group of the kind {kind!r} at the level {level:g}")
    n_fits = rows.drop_duplicates("group").set_index("group")["n_fits"]
    labels = {str(name): _group_label(name, n) for name, n in n_fits.items()}
    return coverage_rows(rows, "group", labels, level, axes)


def _group_label(name: object, n_fits: int) -> str:
    text = f"{int(str(name)):,}" if str(name).isdigit() else str(name).replace("_", " ")
    return f"{text} ({n_fits})"


def plot_against(aggregate: pd.DataFrame, x: str, y: str, axes: Axes | None = None) -> Figure:
    """Draw a point a fit: ``y`` against ``x``; fits that went to NUTS and unconverged ones are marked.

    ``aggregate`` is an aggregate.csv; ``x`` and ``y`` are columns of it, or short for one:
    conversion_rate, coverage (raw, at 90%), rmse, width (raw, at 90%). Against the template, which is
    no number, each template has a row.
    """
    across, up = COLUMNS.get(x, x), COLUMNS.get(y, y)
    if across == "template":
        return _by_template(aggregate, up, axes)
    with canvas(axes) as on:
        draw_fits(on, aggregate, aggregate[across], aggregate[up])
        on.set(xlabel=LABELS.get(across, across), ylabel=LABELS.get(up, up))
        _scale(on, "x", across, aggregate[across])
        _scale(on, "y", up, aggregate[up])
        return figure_of(on)


def _by_template(aggregate: pd.DataFrame, column: str, axes: Axes | None) -> Figure:
    names = sorted(aggregate["template"].unique())
    place = aggregate["template"].map(names.index)
    with canvas(axes, FRAME_INCHES + ROW_INCHES * len(names)) as on:
        draw_fits(on, aggregate, aggregate[column], place)
        on.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
        on.tick_params(axis="y", labelcolor=INK)
        on.set(ylim=(len(names) - 0.5, -0.5), xlabel=LABELS.get(column, column))
        _scale(on, "x", column, aggregate[column])
        return figure_of(on)


def _scale(axes: Axes, side: str, column: str, values: pd.Series) -> None:
    """Logarithmic where a quantity spans factors; a few round ticks, as people write them."""
    axis = axes.xaxis if side == "x" else axes.yaxis
    if column in LOGARITHMIC and (values > 0).all():
        (axes.set_xscale if side == "x" else axes.set_yscale)("log")
        low, high = values.min() / 1.25, values.max() * 1.25
        (axes.set_xlim if side == "x" else axes.set_ylim)(low, high)
        own = sorted(values.unique()) if column == "n_visitors" else []
        axis.set_major_locator(FixedLocator(own if 0 < len(own) <= MOST_TICKS else _round_ticks(low, high)))
        axis.set_minor_locator(NullLocator())
        axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: _shown(column, value)))


def _round_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten in [low, high]; over two decades, powers of ten alone."""
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    steps = (1,) if high / low > 200 else (1, 2, 5)
    ticks = [step * 10.0**decade for decade in decades for step in steps]
    return [tick for tick in ticks if low <= tick <= high]


def _shown(column: str, value: float) -> str:
    if column.endswith("conversion_rate") or "coverage" in column:
        return f"{100 * value:.3g}%"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"

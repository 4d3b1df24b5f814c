"""How long fits took, and which of them went another way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sbcflow.plots.style import INK, LAYERED, RAW, canvas, figure_of, legend_above

# More points than these are drawn as pixels: a file of a size that does not grow with the sweep.
MOST_VECTORS = 2000


def plot_times(aggregate: pd.DataFrame, axes: Axes | None = None) -> Figure:
    """Draw the seconds of each fit, shortest first; fits that went to NUTS and unconverged ones are marked.

    ``aggregate`` is an aggregate.csv, or several under each other.
    """
    ordered = aggregate.sort_values("wall_seconds", kind="stable").reset_index(drop=True)
    with canvas(axes, height=2.7) as on:
        draw_fits(on, ordered, pd.Series(np.arange(1, len(ordered) + 1)), ordered["wall_seconds"])
        on.set(xlabel="fits, shortest first", ylabel="seconds", ylim=(0, None))
        on.grid(axis="x", visible=False)
        return figure_of(on)


def draw_fits(axes: Axes, aggregate: pd.DataFrame, x: pd.Series, y: pd.Series) -> None:
    """Draw a point a row of an aggregate.csv; those that went to NUTS or did not converge look otherwise."""
    many = len(aggregate) > MOST_VECTORS
    escalated = aggregate["diagnostics.escalated"].astype(bool)
    failed = ~aggregate["diagnostics.converged"].astype(bool)
    axes.plot(
        x[~escalated], y[~escalated], "o", color=LAYERED, alpha=0.75, mew=0, label="fit", rasterized=many
    )
    if escalated.any():
        axes.plot(x[escalated], y[escalated], "^", color=RAW, label="went to NUTS", rasterized=many)
    if failed.any():
        ring: dict[str, Any] = {"mfc": "none", "ms": 9, "rasterized": many}
        axes.plot(x[failed], y[failed], "o", color=INK, label="not converged", **ring)
    if escalated.any() or failed.any():
        legend_above(axes)

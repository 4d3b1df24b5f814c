"""R(p): what coverage the train sweep had at each nominal level."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from sbcflow.calibration.layered import LayeredCorrection
from sbcflow.plots.style import CURVE, INK, MUTED, canvas, figure_of, legend_above

SHOWN_LEVEL = 0.9


def plot_correction(correction: LayeredCorrection, axes: Axes | None = None) -> Figure:
    """Draw R(p) with its bootstrap band, where the file holds one, and how a 90% interval is read off it."""
    curve = correction.curve
    with canvas(axes) as on:
        on.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
        lower, upper = (np.array(band, dtype=float) for band in (curve.band_lower, curve.band_upper))
        if np.isfinite(lower).all():
            label = "95% band over fits"
            on.fill_between(
                curve.x_thresholds, lower, upper, color=CURVE, alpha=0.18, linewidth=0, label=label
            )
        on.plot(curve.x_thresholds, curve.y_values, color=CURVE, marker="s", markersize=3.6, label="R(p)")
        _reading(on, curve.invert(SHOWN_LEVEL))
        on.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="nominal level", ylabel="actual coverage, train sweep")
        for axis in (on.xaxis, on.yaxis):
            axis.set_major_formatter(PercentFormatter(1))
        legend_above(on)
        return figure_of(on)


def _reading(axes: Axes, nominal: float) -> None:
    """The way from a wanted coverage to the nominal level that has it."""
    axes.plot([0, nominal, nominal], [SHOWN_LEVEL, SHOWN_LEVEL, 0], color=INK, linewidth=1)
    words = f"for {SHOWN_LEVEL:.0%} ask for {nominal:.1%}"
    axes.annotate(words, (nominal, 0.06), (-6, 0), textcoords="offset points", ha="right", color=INK)

"""Whether an experiment is like those that the correction was fitted on, as a picture."""

from __future__ import annotations

from math import log2, sqrt

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from sbcflow.calibration.regime import LABELS, TOLERANCES, Observed, Range, Regime, shown
from sbcflow.plots.style import ALARM, CURVE, INK, LAYERED, canvas, figure_of

SMALLEST = 1e-9
SHORT = {**LABELS, "severity_sd": "sd of log revenue"}


def plot_regime(regime: Regime, observed: Observed, axes: Axes | None = None) -> Figure:
    """Draw each quantity of an experiment against its range over the train fits.

    Each row is in factors of the middle of its own range: the dark bar is what the correction was
    fitted on, the light one what is tolerated beyond it.
    """
    outside = regime.outside(observed)
    with canvas(axes, height=3.3) as on:
        for row, name in enumerate(TOLERANCES):
            _draw(on, row, name, getattr(regime, name), getattr(observed, name), name in outside)
        low, high = on.get_xlim()
        on.set(xlim=(min(low, -1.2), max(high, 1.2)), ylim=(len(TOLERANCES) - 0.35, -0.75), yticks=[])
        on.set_xlabel("factor from the middle of the trained range")
        on.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
        on.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _factor(value)))
        on.grid(axis="y", visible=False)
        return figure_of(on)


def _draw(axes: Axes, row: int, name: str, trained: Range, value: float, is_outside: bool) -> None:
    middle, tolerance = max(sqrt(trained.low * trained.high), SMALLEST), TOLERANCES[name]
    ends = [trained.low / tolerance, trained.low, trained.high, trained.high * tolerance]
    wide_low, low, high, wide_high = (_log(end / middle) for end in ends)
    axes.hlines(row, wide_low, wide_high, color=CURVE, alpha=0.28, linewidth=8)
    axes.hlines(row, low - 0.012, high + 0.012, color=CURVE, linewidth=8)
    colour, marker = (ALARM, "X") if is_outside else (LAYERED, "o")
    axes.plot(_log(value / middle), row, marker, color=colour, ms=8, mec="white", mew=0.8, zorder=4)
    axes.annotate(
        _words(name, trained, value, is_outside),
        (0, row),
        (3, 11),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        color=colour if is_outside else INK,
        fontsize=9,
    )


def _words(name: str, trained: Range, value: float, is_outside: bool) -> str:
    span = " to ".join(dict.fromkeys(shown(name, end) for end in (trained.low, trained.high)))
    verdict = " - outside" if is_outside else ""
    return f"{SHORT[name]} {shown(name, value)}, trained on {span}{verdict}"


def _log(ratio: float) -> float:
    return log2(max(ratio, SMALLEST))


def _factor(value: float) -> str:
    return f"×{2**value:g}" if value >= 0 else f"÷{2**-value:g}"

"""Effects of a real experiment: raw and calibrated intervals, segments ranked."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sbcflow.data import EVERYBODY
from sbcflow.levels import level_suffix
from sbcflow.plots.labels import row_labels
from sbcflow.plots.style import INK, LAYERED, MUTED, RAW, canvas, figure_of, legend_above

MOST_ROWS = 40
ROW_INCHES, TALL_ROW_INCHES, FRAME_INCHES = 0.3, 0.4, 1.15


def plot_effects(
    effects: pd.DataFrame, arm: str | None = None, level: float = 0.9, axes: Axes | None = None
) -> Figure:
    """Draw a treatment's effect on everybody and, ranked, on each segment, with raw and calibrated intervals.

    ``effects`` is an effects.csv with intervals at ``level``; ``arm`` may be left out where there is
    one treatment. Of more than ``MOST_ROWS`` segments the largest and the smallest effects are drawn.

    Raises:
        ValueError: the table has no such arm, or several and none is named.
    """
    rows = ranked(effects, _only_arm(effects) if arm is None else arm)
    labels = row_labels([_label(segment) for segment in rows["segment"]])
    row_inches = TALL_ROW_INCHES if any("\n" in label for label in labels) else ROW_INCHES
    with canvas(axes, FRAME_INCHES + row_inches * len(rows)) as on:
        on.axvline(0, color=MUTED, linewidth=1, linestyle=(0, (1, 2)), zorder=1)
        _intervals(on, rows, level)
        on.plot(rows["diff_in_means"], range(len(rows)), "|", color=MUTED, label="plain difference", ms=9)
        on.set_yticks(range(len(rows)), labels, linespacing=1.0)
        on.tick_params(axis="y", labelcolor=INK)
        on.axhline(0.5, color=MUTED, linewidth=0.6)
        on.set(ylim=(len(rows) - 0.4, -0.6), xlabel=f"effect in revenue per visitor, {level:.0%} intervals")
        on.grid(axis="y", visible=False)
        legend_above(on)
        return figure_of(on)


def ranked(effects: pd.DataFrame, arm: str, most: int = MOST_ROWS) -> pd.DataFrame:
    """Return an arm's rows: everybody, then at most ``most`` segments by effect, those in the middle cut.

    Raises:
        ValueError: the table has no such arm.
    """
    rows = effects[effects["arm"].astype(str) == arm]
    if rows.empty:
        raise ValueError(f"no arm {arm!r}; the table has {', '.join(map(str, effects['arm'].unique()))}")
    everybody, rest = (rows[(rows["segment"] == EVERYBODY) == whole] for whole in (True, False))
    rest = rest.sort_values("ate", ascending=False, kind="stable")
    if len(rest) > most:
        rest = pd.concat([rest.head(most // 2), rest.tail(most // 2)])
    return pd.concat([everybody, rest]).reset_index(drop=True)


def _only_arm(effects: pd.DataFrame) -> str:
    arms = list(map(str, effects["arm"].unique()))
    if len(arms) != 1:
        raise ValueError(f"name an arm: one of {', '.join(arms)}")
    return arms[0]


def _intervals(axes: Axes, rows: pd.DataFrame, level: float) -> None:
    suffix, place = level_suffix(level), np.arange(len(rows))
    calibrated = rows[[f"calibrated_lower_{suffix}", f"calibrated_upper_{suffix}"]].astype(float)
    raw = rows[[f"raw_lower_{suffix}", f"raw_upper_{suffix}"]].astype(float)
    known = bool(calibrated.notna().to_numpy().all())
    if known:
        ends = calibrated.to_numpy().T
        axes.hlines(place + 0.12, *ends, color=LAYERED, linewidth=3.4, label="calibrated")
    shift = -0.14 if known else 0.0
    axes.hlines(place + shift, *raw.to_numpy().T, color=RAW, linewidth=1.6, label="raw")
    axes.plot(rows["ate"], place + (0.12 if known else 0.0), "o", color=INK, ms=3.6, zorder=4)


def _label(segment: str) -> str:
    return "everybody" if segment == EVERYBODY else segment.replace("=", ": ", 1)

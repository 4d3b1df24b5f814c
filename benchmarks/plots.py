"""The plots of docs/performance.md; a plot is the same bytes for the same figures."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

mpl.rcParams.update({"svg.hashsalt": "sbcflow", "svg.fonttype": "none", "font.size": 9})
PLOTTED_VISITORS = 20_000


def plot_visitors(path: Path, rows: list[dict[str, Any]], gram_seconds: list[float]) -> None:
    """Draw seconds and memory of scale.py's fits against visitors; ``gram_seconds`` are of Grams alone."""
    figure = Figure(figsize=(7.5, 3), layout="constrained")
    seconds, memory = figure.subplots(1, 2)
    visitors = [row["n_visitors"] for row in rows]
    seconds.loglog(visitors, [median(row["fit_seconds"]) for row in rows], "o-", label="laplace, one core")
    seconds.loglog(visitors, gram_seconds, ":", label="Gram arithmetic alone")
    seconds.set(xlabel="visitors", ylabel="seconds a fit")
    millions = [n / 1e6 for n in visitors]
    memory.plot(millions, [row["peak_mib"] for row in rows], "o-", label="peak of the process")
    memory.plot(millions, [row["data_mib"] for row in rows], ":", label="data")
    memory.set(xlabel="million visitors", ylabel="MiB", ylim=(0, None))
    save(path, figure)


def plot_configs(path: Path, found: dict[str, Any]) -> None:
    """Draw seconds of the sweeps of costs.py, measured and by the model, against configs."""
    figure = Figure(figsize=(4.5, 3), layout="constrained")
    axes = figure.subplots()
    sweeps = found["fitted"] + found["predicted"]
    rows = sorted((row for row in sweeps if row["visitors"] == PLOTTED_VISITORS), key=by_configs)
    configs = [row["configs"] for row in rows]
    axes.plot(configs, [row["seconds"] for row in rows], "o", label="measured")
    axes.plot(configs, [row["predicted"] for row in rows], ":", label="by the model")
    label = f"configs of {PLOTTED_VISITORS:,} visitors"
    axes.set(xlabel=label, ylabel="seconds a sweep", xlim=(0, None), ylim=(0, None))
    save(path, figure)


def by_configs(row: dict[str, Any]) -> int:
    return int(row["configs"])


def save(path: Path, figure: Figure) -> None:
    """Write a figure with its legends."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None, "Creator": None})

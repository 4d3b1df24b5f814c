"""Ranks and PIT values that should be uniform: their ECDF with a simultaneous band.

The band is of independent values. The test points of a fit share its data, so one value a fit is
what may be put in: the rank of one effect, in each fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from sbcflow.data import FloatArray
from sbcflow.plots.style import ALARM, LAYERED, MUTED, canvas, figure_of, legend_above

CONFIDENCE = 0.95
N_SIMULATIONS = 2000
SEED = 0
# With fewer values the band says nothing.
MIN_VALUES = 3
MOST_POINTS = 200


@dataclass(frozen=True)
class Uniformity:
    """The ECDF of n values less the uniform one, and its band, at ``at`` (see :func:`grid`); ``n`` values."""

    n: int
    at: FloatArray
    deviation: FloatArray
    lower: FloatArray
    upper: FloatArray

    @property
    def inside(self) -> bool:
        """Whether the whole ECDF lies in the band: with uniform values it does with ``CONFIDENCE``."""
        slack = 1e-12
        within = (self.lower - slack <= self.deviation) & (self.deviation <= self.upper + slack)
        return bool(within.all())

    @property
    def largest(self) -> float:
        """The largest deviation, with its sign: positive where too many values are small."""
        return float(self.deviation[np.argmax(np.abs(self.deviation))])


def pit_of_ranks(ranks: ArrayLike, n_draws: int, seed: int = SEED) -> FloatArray:
    """Return (rank + u) / (n_draws + 1), u uniform: uniform on (0, 1) where the ranks are on 0..n_draws.

    ``ranks`` (n,) integers -> (n,) float64.

    Raises:
        ValueError: a rank is outside 0..n_draws.
    """
    whole = np.asarray(ranks, dtype=np.float64)
    if ((whole < 0) | (whole > n_draws)).any():
        raise ValueError(f"ranks must lie in 0..{n_draws}, got {whole.min():g} to {whole.max():g}")
    u = np.random.default_rng(seed).random(whole.shape)
    pit: FloatArray = (whole + u) / (n_draws + 1)
    return pit


def uniformity(pit: ArrayLike, seed: int = SEED) -> Uniformity:
    """Return the ECDF of PIT values (n,) less the uniform one, with its simultaneous 95% band.

    Taken over the whole of (0, 1), wherever the values lie.

    Raises:
        ValueError: fewer than ``MIN_VALUES`` values, or one outside [0, 1].
    """
    values = np.sort(np.asarray(pit, dtype=np.float64))
    n = len(values)
    if n < MIN_VALUES or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"PIT values must be {MIN_VALUES} or more, in [0, 1]")
    at = grid(n)
    ecdf = np.searchsorted(values, at, side="right") / n
    lower, upper = simultaneous_band(n, seed)
    return Uniformity(n, at, ecdf - at, lower - at, upper - at)


def grid(n: int) -> FloatArray:
    """Return where the ECDF of n values is looked at: k/n, k = 1..n-1; k/``MOST_POINTS`` for a larger n."""
    cells = min(n, MOST_POINTS)
    return np.arange(1, cells) / cells


@cache
def simultaneous_band(n: int, seed: int = SEED) -> tuple[FloatArray, FloatArray]:
    """Return the ends of the band that holds the ECDF of n uniform values on all of ``grid(n)`` with 95%.

    Pointwise binomial intervals, all at the one level that simulations of uniform values ask for
    (Säilynoja, Bürkner & Vehtari 2022, algorithm 1), by ``arviz_stats``.
    """
    from arviz_stats.ecdf_utils import get_pointwise_confidence_band, simulate_confidence_bands

    at, rng = grid(n), np.random.default_rng(seed)
    pointwise = simulate_confidence_bands(n, 1, at, CONFIDENCE, N_SIMULATIONS, rng)
    lower, upper = get_pointwise_confidence_band(pointwise, n, at)
    return lower, upper


def plot_pit(pit: ArrayLike, axes: Axes | None = None, label: str = "PIT value") -> Figure:
    """Draw the ECDF of PIT values (n,) less the uniform one, in the simultaneous 95% band.

    The values must be independent: one a fit.
    """
    found = uniformity(pit)
    x = np.concatenate([[0.0], found.at, [1.0]])
    deviation, lower, upper = (
        np.concatenate([[0.0], values, [0.0]]) for values in (found.deviation, found.lower, found.upper)
    )
    with canvas(axes, height=2.9) as on:
        on.fill_between(x, lower, upper, color=MUTED, alpha=0.2, linewidth=0, label="95% band")
        on.axhline(0, color=MUTED, linewidth=1, linestyle=(0, (1, 2)))
        colour = LAYERED if found.inside else ALARM
        words = "inside the band" if found.inside else "leaves the band"
        on.plot(x, deviation, color=colour, drawstyle="steps-mid", label=f"{found.n} fits: {words}")
        on.set(xlim=(0, 1), xlabel=label, ylabel="ECDF less uniform")
        legend_above(on)
        return figure_of(on)


def plot_ranks(
    ranks: ArrayLike, n_draws: int, axes: Axes | None = None, label: str = "rank of the truth, scaled"
) -> Figure:
    """Draw the ECDF of ranks (n,) among ``n_draws`` draws less the uniform one; one rank a fit."""
    return plot_pit(pit_of_ranks(ranks, n_draws), axes, label)

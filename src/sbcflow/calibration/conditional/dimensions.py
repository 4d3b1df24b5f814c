"""What the points of a fit are told apart by: of the fit, of the segment, of the effect's size.

**Size of an effect** is measured in raw posterior standard deviations of that very effect, so it has no unit
and says whether the effect stands out of what the data leave open. ``effect_size`` bands the size of the
*true* effect, ``estimated_size`` that of the posterior mean. They read differently. Whoever has an
experiment sees the second, and intervals of a calibrated posterior cover at their level in each of its bands.
Nobody sees the first, and a prior that shrinks covers small true effects too often and large ones too seldom,
although it is calibrated: with truths N(0, t^2) and estimates N(truth, s^2) the central interval at level a
covers a truth of x posterior sds with probability Phi(q_a / sqrt(b) + u) - Phi(-q_a / sqrt(b) + u), where q_a
is the normal quantile at (1+a)/2, b = t^2 / (t^2 + s^2) and u = x (1 - b) / sqrt(b). So ``effect_size`` shows
whom shrinkage costs, and is no sign of miscalibration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from sbcflow.calibration.evaluate import TestFit
from sbcflow.calibration.groups import rate_band
from sbcflow.data import FloatArray

SIZE_EDGES = (0.5, 1.0, 2.0, 3.0)
SHARE_EDGES = (0.1, 0.25, 0.5)
VISITOR, ATE, SEGMENT = TARGETS = ("visitor", "ate", "segment")

# The order of a band among those of its dimension, and its name.
Band = tuple[int, str]


@dataclass(frozen=True)
class Points:
    """Effects of one fit that are scored alike: a target's.

    ``ordered`` (n_points, n_draws) float64 raw draws, ascending; ``truth`` (n_points,); ``share`` (n_points,)
    of the visitors that each effect is the average of, None for single visitors.
    """

    target: str
    fit: TestFit
    ordered: FloatArray
    truth: FloatArray
    share: FloatArray | None = None

    @cached_property
    def sd(self) -> FloatArray:
        """The raw posterior standard deviation of each effect, (n_points,)."""
        return np.asarray(self.ordered.std(axis=1))


def bands_of(points: Points, dimension: str) -> list[Band]:
    """Return the band of each point in a dimension of ``DIMENSIONS``; empty where it does not apply."""
    return DIMENSIONS[dimension](points)


def _of_fit(key_of: Callable[[TestFit], Band]) -> Callable[[Points], list[Band]]:
    return lambda points: [key_of(points.fit)] * len(points.truth)


def _segment_sizes(points: Points) -> list[Band]:
    if points.target != SEGMENT or points.share is None:
        return []
    names = (
        f"under {SHARE_EDGES[0]:.0%}",
        *(f"{low:.0%} to {high:.0%}" for low, high in pairwise(SHARE_EDGES)),
        f"{SHARE_EDGES[-1]:.0%} and over",
    )
    return _banded(points.share, SHARE_EDGES, names)


def _sizes(effect_of: Callable[[Points], FloatArray]) -> Callable[[Points], list[Band]]:
    names = (
        f"under {SIZE_EDGES[0]:g} sd",
        *(f"{low:g} to {high:g} sd" for low, high in pairwise(SIZE_EDGES)),
        f"{SIZE_EDGES[-1]:g} sd and over",
    )

    def bands(points: Points) -> list[Band]:
        sd = points.sd
        # Draws that do not spread put any effect infinitely far out.
        in_sds = np.divide(np.abs(effect_of(points)), sd, out=np.full(len(sd), np.inf), where=sd > 0)
        return _banded(in_sds, SIZE_EDGES, names)

    return bands


def _banded(values: FloatArray, edges: tuple[float, ...], names: tuple[str, ...]) -> list[Band]:
    """The band of each value; a band holds its lower edge."""
    return [(int(order), names[order]) for order in np.searchsorted(edges, values, side="right")]


DIMENSIONS: Mapping[str, Callable[[Points], list[Band]]] = MappingProxyType(
    {
        "all": _of_fit(lambda _: (0, "all")),
        "template": _of_fit(lambda fit: (0, fit.template)),
        "n_visitors": _of_fit(lambda fit: (fit.n_visitors, str(fit.n_visitors))),
        "conversion_rate": _of_fit(lambda fit: rate_band(fit.conversion_rate)),
        "segment_size": _segment_sizes,
        "effect_size": _sizes(lambda points: points.truth),
        "estimated_size": _sizes(lambda points: np.asarray(points.ordered.mean(axis=1))),
    }
)
# Of these a user knows the cell of an experiment, or could; by true size even calibrated draws are off.
JUDGED = tuple(name for name in DIMENSIONS if name not in ("all", "effect_size"))

"""The average effects of a fit, and the methods that may correct their intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sbcflow.calibration.intervals import Ends, Reading, outer_ends
from sbcflow.data import Float32Array, FloatArray
from sbcflow.scoring import central_interval

Reader = Callable[[FloatArray], Reading]


@dataclass(frozen=True)
class AverageEffects:
    """The average effects of a fit, everybody's first and then each segment's, in revenue per visitor.

    ``draws`` (S, K-1, n_draws) float32, ``truth`` (S, K-1), ``share`` (S,) of the visitors.
    """

    draws: Float32Array
    truth: FloatArray
    share: FloatArray


def never_narrowed(methods: Mapping[str, Reader]) -> dict[str, Reader]:
    """Return each method as ``sbcflow analyze`` applies it to averages: no end nearer than the raw one.

    A correction is learnt on single points, and averages err less (docs/decisions/0009).
    """
    return {name: _no_narrower(method) for name, method in methods.items()}


def _no_narrower(method: Reader) -> Reader:
    def see(ordered: FloatArray) -> Reading:
        corrected = method(ordered)

        def ends(level: float) -> Ends:
            return outer_ends(corrected(level), central_interval(ordered, level))

        return ends

    return see

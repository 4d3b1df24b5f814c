"""Shapes of the treatment effect over customers, one per template, each of root mean square 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from sbcflow.data import FloatArray
from sbcflow.generators.covariates import Drivers
from sbcflow.streams import Purpose, rng_for

# Rows of Drivers.continuous that are independent of each other: only the two scores (3, 4) are tied.
INDEPENDENT_PAIRS = ((0, 2), (1, 3), (2, 4), (0, 1), (3, 2), (4, 1), (2, 0), (1, 2))


@dataclass(frozen=True)
class Modifiers:
    """Which continuous drivers modify the effect, and how: drawn once, used as a shape needs them.

    ``first`` and ``second`` are rows of Drivers.continuous, ``direction`` a sign for each;
    ``threshold`` is in standard deviations, ``frequency`` in radians per standard deviation, ``phase``
    in radians; ``share`` is the share of customers in a sparse region, which lies past ``cutoffs``.
    """

    first: int
    second: int
    direction: tuple[int, int]
    threshold: float
    frequency: float
    phase: float
    share: float
    cutoffs: tuple[float, float]

    def pair(self, drivers: Drivers) -> tuple[FloatArray, FloatArray]:
        """Return the two modifying drivers, (n,) each, turned to their directions."""
        first, second = drivers.continuous[self.first], drivers.continuous[self.second]
        return self.direction[0] * first, self.direction[1] * second


RawShape = Callable[[Modifiers, Drivers, FloatArray], FloatArray]


@dataclass(frozen=True)
class Shape:
    """A shape over customers: ``raw`` under its drawn modifiers, divided by ``size``."""

    raw: RawShape
    modifiers: Modifiers
    size: float

    def at(self, drivers: Drivers, cluster_effect: FloatArray) -> FloatArray:
        """Return the shape at n customers, (n,) float64, given their clusters' effects (n,)."""
        return self.raw(self.modifiers, drivers, cluster_effect) / self.size


def draw_shape(seed: int, template: str, reference: Drivers, cluster_effect: FloatArray) -> Shape:
    """Draw a template's shape, of root mean square 1 over the reference sample."""
    modifiers = _draw_modifiers(rng_for(seed, Purpose.SHAPE))
    modifiers = replace(modifiers, cutoffs=_sparse_cutoffs(modifiers, reference))
    shape = Shape(SHAPES[template], modifiers, size=1.0)
    return replace(shape, size=float(np.sqrt(np.mean(shape.at(reference, cluster_effect) ** 2))))


def _draw_modifiers(rng: np.random.Generator) -> Modifiers:
    first, second = INDEPENDENT_PAIRS[rng.integers(len(INDEPENDENT_PAIRS))]
    signs = 2 * rng.integers(0, 2, size=2) - 1
    return Modifiers(
        first=first,
        second=second,
        direction=(int(signs[0]), int(signs[1])),
        threshold=float(rng.uniform(-0.6, 0.6)),
        frequency=float(rng.uniform(1.5, 2.5)),
        phase=float(rng.uniform(0, 2 * np.pi)),
        share=float(rng.uniform(0.10, 0.15)),
        cutoffs=(0.0, 0.0),
    )


def _sparse_cutoffs(modifiers: Modifiers, reference: Drivers) -> tuple[float, float]:
    """Cutoffs past which each of two independent drivers keeps the root of the region's share."""
    first, second = modifiers.pair(reference)
    quantile = 1 - np.sqrt(modifiers.share)
    return float(np.quantile(first, quantile)), float(np.quantile(second, quantile))


def _constant(_m: Modifiers, _drivers: Drivers, cluster_effect: FloatArray) -> FloatArray:
    return np.ones_like(cluster_effect)


def _reversal(m: Modifiers, drivers: Drivers, _effect: FloatArray) -> FloatArray:
    """One sign below the threshold of a driver, the other above it, within a quarter deviation."""
    first, _ = m.pair(drivers)
    return np.tanh((first - m.threshold) / 0.25)


def _sparse_benefit(m: Modifiers, drivers: Drivers, _effect: FloatArray) -> FloatArray:
    """A sharp corner of two drivers that benefits, and nothing elsewhere."""
    first, second = m.pair(drivers)
    return ((first > m.cutoffs[0]) & (second > m.cutoffs[1])).astype(np.float64)


def _nonlinear(m: Modifiers, drivers: Drivers, _effect: FloatArray) -> FloatArray:
    """Smooth waves in two drivers, monotone in neither."""
    first, second = m.pair(drivers)
    return np.sin(m.frequency * first + m.phase) + 0.6 * np.cos(1.5 * second)


def _monotone_gradient(m: Modifiers, drivers: Drivers, _effect: FloatArray) -> FloatArray:
    """From nothing to twice the middle, rising along one driver."""
    first, _ = m.pair(drivers)
    return 1 + np.tanh(0.75 * first)


def _interaction_only(m: Modifiers, drivers: Drivers, _effect: FloatArray) -> FloatArray:
    """A product of odd functions of independent, symmetric drivers: its mean along either one is 0."""
    first, second = m.pair(drivers)
    return np.tanh(1.2 * first) * np.tanh(1.2 * second)


def _clustered(_m: Modifiers, _drivers: Drivers, cluster_effect: FloatArray) -> FloatArray:
    return cluster_effect


def _clustered_realistic(m: Modifiers, drivers: Drivers, cluster_effect: FloatArray) -> FloatArray:
    """The effects of overlapping clusters, and a gradient within them."""
    first, _ = m.pair(drivers)
    return cluster_effect + 0.5 * np.tanh(first)


SHAPES: Mapping[str, RawShape] = MappingProxyType(
    {
        "constant": _constant,
        "reversal": _reversal,
        "sparse_benefit": _sparse_benefit,
        "nonlinear": _nonlinear,
        "monotone_gradient": _monotone_gradient,
        "interaction_only": _interaction_only,
        "clustered": _clustered,
        "clustered_realistic": _clustered_realistic,
    }
)

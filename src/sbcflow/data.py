"""Randomised trials with a hurdle outcome, their segments, and the truths of simulated ones.

Plain frozen values around numpy arrays: everything that simulates, reads, fits or scores a trial
meets here, so this module imports nothing else of the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Float32Array = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int32]

FeatureKind = Literal["continuous", "binary", "categorical"]
N_BANDS = 3
EVERYBODY = "all"


@dataclass(frozen=True)
class Feature:
    """A covariate: its name, its kind and, where categorical, the names of its levels in code order."""

    name: str
    kind: FeatureKind
    levels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Covariates:
    """Covariates of n visitors.

    ``values`` has shape (n, n_features), float32; a categorical feature holds the code of its level,
    a binary one 0 or 1.
    """

    features: tuple[Feature, ...]
    values: Float32Array

    def __len__(self) -> int:
        return len(self.values)

    def take(self, index: slice | NDArray[np.integer]) -> Covariates:
        """Return the covariates of the visitors at ``index``."""
        return Covariates(self.features, self.values[index])


@dataclass(frozen=True)
class Trial:
    """A randomised experiment of n visitors.

    ``arm`` (n,) int32 in 0..K-1, 0 is control; ``converted`` (n,) bool; ``revenue`` (n,) float64 in
    the currency's unit, positive exactly where converted; ``arm_names`` has length K.
    """

    covariates: Covariates
    arm: IntArray
    converted: BoolArray
    revenue: FloatArray
    arm_names: tuple[str, ...]

    @property
    def n_visitors(self) -> int:
        return len(self.arm)

    @property
    def n_arms(self) -> int:
        return len(self.arm_names)

    @property
    def conversion_rate(self) -> float:
        """The share of visitors, of all arms, who converted."""
        return float(self.converted.mean())

    @property
    def severity_sd(self) -> float:
        """The standard deviation of converters' log revenue."""
        return float(np.std(np.log(self.revenue[self.converted]), ddof=1))


@dataclass(frozen=True)
class TestPoints:
    """Points whose CATE is asked for: covariates, and the treatment ``arm`` (n_test,) in 1..K-1."""

    __test__ = False

    covariates: Covariates
    arm: IntArray

    def __len__(self) -> int:
        return len(self.arm)


@dataclass(frozen=True)
class Simulation:
    """A simulated trial with its truths, exact from the generator's surfaces.

    ``test_cate`` (n_test,) float64 is the true CATE of each test point, ``visitor_cate``
    (n, K-1) float64 that of each visitor under each treatment, both in revenue per visitor.
    ``parameters`` holds the drawn parameters of the model where the family has them, by site name.
    """

    trial: Trial
    test_points: TestPoints
    test_cate: FloatArray
    visitor_cate: FloatArray
    parameters: Mapping[str, FloatArray]


@dataclass(frozen=True)
class Segment:
    """A named set of visitors: ``member`` (n,) bool."""

    name: str
    member: BoolArray


def everybody(covariates: Covariates) -> Segment:
    """Return the segment that all visitors are in."""
    return Segment(EVERYBODY, np.ones(len(covariates), dtype=np.bool_))


def segments_of(covariates: Covariates) -> tuple[Segment, ...]:
    """Return the segments of a set of visitors: each level of a feature, and thirds of a continuous one.

    Levels that nobody has are left out, as are bands that ties make empty.
    """
    found = []
    for column, feature in enumerate(covariates.features):
        values = covariates.values[:, column]
        for label, member in _memberships(feature, values):
            if member.any():
                found.append(Segment(f"{feature.name}={label}", member))
    return tuple(found)


def _memberships(feature: Feature, values: Float32Array) -> list[tuple[str, BoolArray]]:
    if feature.kind == "categorical":
        return [(level, values == code) for code, level in enumerate(feature.levels)]
    if feature.kind == "binary":
        return [("0", values == 0), ("1", values == 1)]
    edges = np.quantile(values, np.arange(1, N_BANDS) / N_BANDS)
    band = np.searchsorted(edges, values, side="left")
    return [(f"third {b + 1} of {N_BANDS}", band == b) for b in range(N_BANDS)]


def average_effects(visitor_cate: FloatArray, segments: tuple[Segment, ...]) -> FloatArray:
    """Return the mean CATE of each segment, (n_segments, K-1), from that of each visitor (n, K-1)."""
    return np.stack([visitor_cate[segment.member].mean(axis=0) for segment in segments])

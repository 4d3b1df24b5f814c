"""Clusters of customers: a deterministic, hard or overlapping, function of their drivers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sbcflow.data import FloatArray
from sbcflow.generators.covariates import Drivers
from sbcflow.generators.knobs import Knobs
from sbcflow.streams import Purpose, rng_for

OVERLAP = 1.2


@dataclass(frozen=True)
class Clusters:
    """C clusters: ``centroids`` (C, 5) among the continuous drivers, and what sets each apart, (C,).

    ``effect`` multiplies the treatment effect, ``conversion`` and ``severity`` add to the logit of
    conversion and the log mean spend. ``soft``: memberships overlap; otherwise the nearest one has all.
    """

    centroids: FloatArray
    effect: FloatArray
    conversion: FloatArray
    severity: FloatArray
    soft: bool

    def shares(self, drivers: Drivers) -> FloatArray:
        """Return each customer's share in each cluster, (C, n) float64, summing to 1 over clusters."""
        distance = np.stack([_squared_distance(drivers.continuous, centre) for centre in self.centroids])
        if not self.soft:
            nearest = np.argmin(distance, axis=0) == np.arange(len(distance))[:, None]
            return np.asarray(nearest, dtype=np.float64)
        weight: FloatArray = np.exp((distance.min(axis=0) - distance) / (2 * OVERLAP**2))
        weight /= weight.sum(axis=0)
        return weight


def draw_clusters(seed: int, knobs: Knobs, reference: Drivers) -> Clusters | None:
    """Draw a config's clusters, centred on customers of the reference sample; None where it has none."""
    if knobs.n_clusters == 0:
        return None
    rng = rng_for(seed, Purpose.CLUSTERS)
    chosen = rng.choice(reference.continuous.shape[1], size=knobs.n_clusters, replace=False)
    effect, conversion, severity = rng.standard_normal((3, knobs.n_clusters))
    return Clusters(
        centroids=reference.continuous[:, chosen].T.copy(),
        effect=1 + knobs.cluster_effect_sd * effect,
        conversion=knobs.cluster_baseline_sd * conversion,
        severity=knobs.cluster_baseline_sd * severity / 2,
        soft=knobs.template == "clustered_realistic",
    )


def mix(shares: FloatArray, values: FloatArray) -> FloatArray:
    """Return the values of clusters (C,) averaged by each customer's shares (C, n): (n,) float64.

    A plain sum in cluster order rather than a matrix product, whose order a BLAS may choose by load.
    """
    total = np.zeros(shares.shape[1])
    for share, value in zip(shares, values, strict=True):
        total += share * value
    return total


def _squared_distance(points: FloatArray, centre: FloatArray) -> FloatArray:
    total = np.zeros(points.shape[1])
    for coordinate, middle in zip(points, centre, strict=True):
        total += (coordinate - middle) ** 2
    return total

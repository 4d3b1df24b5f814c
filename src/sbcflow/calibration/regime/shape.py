"""The distribution of residuals: empirical in its body, generalised Pareto in either tail.

A residual is a standardised error less its location, over its scale. Past the outer ``TAIL_SHARE`` on either
side, residuals beyond the threshold u follow P(R > u + y) = share (1 + xi y / beta)^(-1/xi) (Pickands 1975),
by maximum likelihood with xi in [0, 0.5]. A tail with xi < 0 would end somewhere, which no number of fits
shows; one with xi > 0.5 has no variance. So there is a quantile at every level, and they grow with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

from sbcflow.calibration.fields import increasing, mapping, number, number_list
from sbcflow.data import FloatArray
from sbcflow.errors import ArtifactError

TAIL_SHARE = 0.05
XI_BOUNDS = (0.0, 0.5)
# Below this xi the exponential distribution is the same to the last digits.
EXPONENTIAL = 1e-6
N_BODY = 361


@dataclass(frozen=True)
class Tail:
    """One tail: residuals past ``threshold``, as a generalised Pareto distribution of ``xi`` and ``beta``."""

    threshold: float
    xi: float
    beta: float

    def probability(self, beyond: FloatArray) -> FloatArray:
        """Return P(R > threshold + beyond), (n,), for ``beyond`` >= 0."""
        if self.xi < EXPONENTIAL:
            return np.asarray(TAIL_SHARE * np.exp(-beyond / self.beta))
        return np.asarray(TAIL_SHARE * np.exp(-np.log1p(self.xi * beyond / self.beta) / self.xi))

    def quantile(self, probability: float) -> float:
        """Return the value with P(R > value) = ``probability``, in (0, ``TAIL_SHARE``]."""
        ratio = -np.log(probability / TAIL_SHARE)
        grown = ratio if self.xi < EXPONENTIAL else np.expm1(self.xi * ratio) / self.xi
        return float(self.threshold + self.beta * grown)

    def to_json(self) -> dict[str, float]:
        """Return the tail's three numbers."""
        return {"threshold": self.threshold, "xi": self.xi, "beta": self.beta}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Tail:
        """Rebuild a tail from :meth:`to_json`'s values.

        Raises:
            ArtifactError: a key is missing, xi is out of bounds or beta not positive.
        """
        tail = cls(number(values, "threshold"), number(values, "xi"), number(values, "beta"))
        if not XI_BOUNDS[0] <= tail.xi <= XI_BOUNDS[1]:
            raise ArtifactError(f"xi must lie in [{XI_BOUNDS[0]:g}, {XI_BOUNDS[1]:g}], got {tail.xi:g}")
        if tail.beta <= 0:
            raise ArtifactError(f"beta must be positive, got {tail.beta:g}")
        return tail


@dataclass(frozen=True)
class Shape:
    """Residuals' distribution: ``body``, their quantiles at equal steps of probability from ``TAIL_SHARE`` to
    1 - ``TAIL_SHARE``, and the two tails, ``lower`` that of the residuals' negatives."""

    body: tuple[float, ...]
    lower: Tail
    upper: Tail

    def quantile(self, probability: float) -> float:
        """Return the value with P(R <= value) = ``probability``, in (0, 1)."""
        if probability < TAIL_SHARE:
            return -self.lower.quantile(probability)
        if probability > 1 - TAIL_SHARE:
            return self.upper.quantile(1 - probability)
        return float(np.interp(probability, _grid(len(self.body)), self.body))

    def depth(self, residuals: FloatArray) -> FloatArray:
        """Return 2 min(P(R <= r), P(R >= r)) of residuals of any shape, in [0, 1]: 1 at the median."""
        below = np.interp(residuals, self.body, _grid(len(self.body)))
        depth = 2 * np.minimum(below, 1 - below)
        for tail, outward in ((self.upper, residuals), (self.lower, -residuals)):
            past = outward > tail.threshold
            depth[past] = 2 * tail.probability(outward[past] - tail.threshold)
        return np.asarray(depth)

    def to_json(self) -> dict[str, Any]:
        """Return the distribution as plain JSON values."""
        return {"body": list(self.body), "lower": self.lower.to_json(), "upper": self.upper.to_json()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Shape:
        """Rebuild a distribution from :meth:`to_json`'s values.

        Raises:
            ArtifactError: a key is missing, or a value cannot be.
        """
        body = number_list(values, "body")
        if len(body) < 2 or not increasing(body):
            raise ArtifactError("body must be at least two ascending numbers")
        shape = cls(body, Tail.from_json(mapping(values, "lower")), Tail.from_json(mapping(values, "upper")))
        if (-shape.lower.threshold, shape.upper.threshold) != (body[0], body[-1]):
            raise ArtifactError("the thresholds of lower and upper must be where the body ends")
        return shape


def fit_shape(residuals: FloatArray) -> Shape:
    """Fit the distribution of residuals of any shape."""
    pooled = residuals.ravel()
    body = tuple(map(float, np.quantile(pooled, _grid(N_BODY))))
    return Shape(body, _fit_tail(-pooled, -body[0]), _fit_tail(pooled, body[-1]))


def _grid(size: int) -> FloatArray:
    return np.linspace(TAIL_SHARE, 1 - TAIL_SHARE, size)


def _fit_tail(values: FloatArray, threshold: float) -> Tail:
    beyond = values[values > threshold] - threshold
    start = float(beyond.mean()) if beyond.size else np.finfo(float).tiny

    def loss(at: FloatArray) -> float:
        xi, beta = at[0], start * np.exp(at[1])
        if xi < EXPONENTIAL:
            return float(at[1] + np.mean(beyond) / beta)
        return float(at[1] + (1 + 1 / xi) * np.mean(np.log1p(xi * beyond / beta)))

    if not beyond.size:
        return Tail(threshold, 0.0, start)
    found = minimize(loss, np.array([0.1, 0.0]), bounds=[XI_BOUNDS, (-5.0, 5.0)], method="L-BFGS-B").x
    return Tail(threshold, float(found[0]), float(start * np.exp(found[1])))

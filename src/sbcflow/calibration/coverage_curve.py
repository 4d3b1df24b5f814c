"""R(p): the monotone map from nominal to actual coverage, learned over a train sweep, and its inverse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from sbcflow.calibration.bootstrap import interval_over_fits, percentile_interval, resampled_means
from sbcflow.calibration.fields import increasing, number_list, whole_number
from sbcflow.data import FloatArray
from sbcflow.errors import ArtifactError
from sbcflow.levels import LEVELS

# The bounds that the published contract (pytyche 0.2.1, invert_correction) clips the nominal level to.
MIN_NOMINAL = 0.01
MAX_NOMINAL = 0.999


@dataclass(frozen=True)
class CoverageCurve:
    """R(p) at its thresholds, with a pointwise 95% band from a cluster bootstrap over fits.

    ``x_thresholds`` nominal levels, strictly increasing; ``y_values`` actual coverage there, never
    decreasing; ``band_lower`` and ``band_upper`` of the same length (NaN with a single fit).
    """

    x_thresholds: tuple[float, ...]
    y_values: tuple[float, ...]
    band_lower: tuple[float, ...]
    band_upper: tuple[float, ...]
    n_fits: int
    n_bootstrap: int
    seed: int

    @property
    def ceiling(self) -> float:
        """The largest actual coverage that the curve knows."""
        return self.y_values[-1]

    def actual(self, nominal: float) -> float:
        """Return R(nominal), interpolated linearly between thresholds and constant beyond them."""
        return float(np.interp(nominal, self.x_thresholds, self.y_values))

    def invert(self, wanted: float) -> float:
        """Return the nominal level to ask for so that the actual coverage is ``wanted``.

        Linear between thresholds, a flat stretch read at its left end, constant beyond the curve,
        clipped to [``MIN_NOMINAL``, ``MAX_NOMINAL``]: the contract of pytyche 0.2.1's invert_correction.
        """
        y, first = np.unique(np.asarray(self.y_values), return_index=True)
        nominal = np.interp(wanted, y, np.asarray(self.x_thresholds)[first])
        return float(np.clip(nominal, MIN_NOMINAL, MAX_NOMINAL))

    def to_json(self) -> dict[str, Any]:
        """Return the curve as plain JSON values; an unknown band is a list of nulls."""
        return {
            "x_thresholds": list(self.x_thresholds),
            "y_values": list(self.y_values),
            "band_lower": [_or_null(v) for v in self.band_lower],
            "band_upper": [_or_null(v) for v in self.band_upper],
            "n_fits": self.n_fits,
            "n_bootstrap": self.n_bootstrap,
            "seed": self.seed,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> CoverageCurve:
        """Rebuild a curve from :meth:`to_json`'s values.

        Raises:
            ArtifactError: a key is missing or of the wrong kind, or the curve is not monotone.
        """
        x, y = number_list(values, "x_thresholds"), number_list(values, "y_values")
        _check_curve(x, y)
        return cls(
            x_thresholds=x,
            y_values=y,
            band_lower=_band(values, "band_lower", len(x)),
            band_upper=_band(values, "band_upper", len(x)),
            n_fits=whole_number(values, "n_fits"),
            n_bootstrap=whole_number(values, "n_bootstrap"),
            seed=whole_number(values, "seed"),
        )


def fit_coverage_curve(actual: FloatArray, n_bootstrap: int, seed: int) -> CoverageCurve:
    """Fit R(p) to the actual coverages of a train sweep.

    ``actual`` (n_fits, n_levels) float64: the coverage of each fit at each of ``LEVELS``. The band
    refits the curve to ``n_bootstrap`` resamples of whole fits.
    """
    lower, upper = _band_over_fits(actual, n_bootstrap, seed)
    return CoverageCurve(
        x_thresholds=LEVELS,
        y_values=_floats(isotonic(actual.mean(axis=0))),
        band_lower=_floats(lower),
        band_upper=_floats(upper),
        n_fits=len(actual),
        n_bootstrap=n_bootstrap,
        seed=seed,
    )


def isotonic(means: FloatArray) -> FloatArray:
    """Return the isotonic least-squares fit to the level means (n_levels,), by pool-adjacent-violators.

    Every fit has every level, so the regression pooled over all (nominal, actual) pairs is the
    regression of the level means with equal weights (Barlow et al. 1972).
    """
    fitted: FloatArray = isotonic_regression(means).x
    # PAVA's block means can pass [0, 1] by a rounding error, and a coverage cannot.
    return np.clip(fitted, 0.0, 1.0)


def _band_over_fits(actual: FloatArray, n_bootstrap: int, seed: int) -> tuple[FloatArray, FloatArray]:
    if len(actual) == 1:
        return interval_over_fits(actual, n_bootstrap, seed)
    means = resampled_means(actual, n_bootstrap, seed)
    return percentile_interval(np.stack([isotonic(replicate) for replicate in means]))


def _check_curve(x: tuple[float, ...], y: tuple[float, ...]) -> None:
    if len(x) != len(y) or not x:
        raise ArtifactError("x_thresholds and y_values must have the same length, at least 1")
    if not increasing(x, strictly=True) or not (x[0] > 0 and x[-1] < 1):
        raise ArtifactError("x_thresholds must increase strictly inside (0, 1)")
    if not increasing(y) or not (y[0] >= 0 and y[-1] <= 1):
        raise ArtifactError("y_values must never decrease and lie in [0, 1]")


def _band(values: Mapping[str, Any], key: str, length: int) -> tuple[float, ...]:
    band = number_list(values, key, null=True)
    if len(band) != length:
        raise ArtifactError(f"{key} must have the length of x_thresholds, {length}, got {len(band)}")
    return band


def _floats(values: FloatArray) -> tuple[float, ...]:
    return tuple(float(v) for v in values)


def _or_null(value: float) -> float | None:
    return value if np.isfinite(value) else None

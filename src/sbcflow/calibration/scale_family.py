"""The scale family: actual(p) = 2 Phi(c Phi^-1((1+p)/2)) - 1, and the anchor that carries R(p) outward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import ndtr, ndtri
from scipy.stats import binom

from sbcflow.calibration.bootstrap import CONFIDENCE, MIN_FITS_TO_TELL
from sbcflow.calibration.fields import flag, number, text, whole_number
from sbcflow.data import FloatArray
from sbcflow.errors import ArtifactError
from sbcflow.levels import LEVELS

FIT_METHOD = "gaussian_scale_lsq"
# The published contract's bounds: intervals 20 times too narrow, and 5 times too wide.
C_BOUNDS = (0.05, 5.0)
# Above every level that can be asked for, so the published rule, too, then uses R(p) alone.
NO_ANCHOR_ACTUAL = 1.0


@dataclass(frozen=True)
class ScaleFamily:
    """The scale family fitted to a train sweep.

    ``c`` is the posterior's sd over the sd of the actual errors: under 1, intervals are too narrow.
    ``median_actual`` is the median actual coverage at the largest nominal level. ``max_recorded_actual``
    is the anchor's actual that the layered rule works with: that median where the anchor is usable,
    else ``NO_ANCHOR_ACTUAL``; ``anchor_reason`` says why not, and is empty where it is.
    """

    c: float
    max_recorded_nominal: float
    max_recorded_actual: float
    median_actual: float
    n_points_fit: int
    n_fits: int
    anchor_usable: bool
    anchor_reason: str

    def stretch(self, wanted: float) -> float:
        """Return Phi^-1((1+wanted)/2) / Phi^-1((1+anchor actual)/2), by which half-widths grow."""
        return z_of(wanted) / z_of(self.max_recorded_actual)

    def to_json(self) -> dict[str, Any]:
        """Return the family as plain JSON values."""
        return {
            "c": self.c,
            "max_recorded_nominal": self.max_recorded_nominal,
            "max_recorded_actual": self.max_recorded_actual,
            "fit_method": FIT_METHOD,
            "n_points_fit": self.n_points_fit,
            "n_fits": self.n_fits,
            "median_actual": self.median_actual,
            "anchor_usable": self.anchor_usable,
            "anchor_reason": self.anchor_reason,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> ScaleFamily:
        """Rebuild a family from :meth:`to_json`'s values.

        Raises:
            ArtifactError: a key is missing or holds a value that cannot be.
        """
        if text(values, "fit_method") != FIT_METHOD:
            raise ArtifactError(f"fit_method must be {FIT_METHOD}, got {values['fit_method']!r}")
        family = cls(
            c=number(values, "c"),
            max_recorded_nominal=number(values, "max_recorded_nominal"),
            max_recorded_actual=number(values, "max_recorded_actual"),
            median_actual=number(values, "median_actual"),
            n_points_fit=whole_number(values, "n_points_fit"),
            n_fits=whole_number(values, "n_fits"),
            anchor_usable=flag(values, "anchor_usable"),
            anchor_reason=text(values, "anchor_reason"),
        )
        _check_anchor(family)
        return family


def z_of(level: float) -> float:
    """Return Phi^-1((1+level)/2), the half-width of a central normal interval in standard deviations."""
    return float(ndtri((1.0 + level) / 2.0))


def actual_of(c: float, nominal: float) -> float:
    """Return the family's actual coverage 2 Phi(c z(nominal)) - 1."""
    return float(2.0 * ndtr(c * z_of(nominal)) - 1.0)


def fit_scale_family(actual: FloatArray) -> ScaleFamily:
    """Fit c by least squares over every (nominal, actual) pair, and judge the anchor.

    ``actual`` (n_fits, n_levels) float64: the coverage of each fit at each of ``LEVELS``.
    Contract: pytyche 0.2.1's fit_scale_family_correction (same objective, same bounds).
    """
    at_anchor = actual[:, -1]
    median = float(np.median(at_anchor))
    reason = why_unusable(at_anchor)
    return ScaleFamily(
        c=_least_squares_c(actual),
        max_recorded_nominal=LEVELS[-1],
        max_recorded_actual=NO_ANCHOR_ACTUAL if reason else median,
        median_actual=median,
        n_points_fit=actual.size,
        n_fits=len(actual),
        anchor_usable=not reason,
        anchor_reason=reason,
    )


def why_unusable(at_anchor: FloatArray) -> str:
    """Return why the anchor cannot carry the layered rule, or "" where it can.

    ``at_anchor`` (n_fits,) float64: actual coverage at the largest nominal level. The rule divides by
    z(median), infinite at a median of 1, so it needs a median known to be under 1: the upper end of
    the median's distribution-free 95% interval (sign test) must be under 1.
    """
    n_fits, median = len(at_anchor), float(np.median(at_anchor))
    if median >= 1.0:
        return f"the median actual coverage at nominal {LEVELS[-1]} is 1.0, where the z-ratio is infinite"
    if median <= 0.0:
        return f"the median actual coverage at nominal {LEVELS[-1]} is 0.0, where the z-ratio is infinite"
    if n_fits < MIN_FITS_TO_TELL:
        return f"{n_fits} fits are too few for a median at 95% confidence (at least {MIN_FITS_TO_TELL})"
    if _median_upper(at_anchor) >= 1.0:
        return (
            f"{n_fits} fits are too few to tell the median actual coverage at nominal {LEVELS[-1]}, "
            f"{median:.4g}, from 1.0 at 95% confidence"
        )
    return ""


def _median_upper(values: FloatArray) -> float:
    """Upper end of the sign-test interval: the k-th largest, k the binomial(n, 1/2) quantile of the tail."""
    k = int(binom.ppf((1.0 - CONFIDENCE) / 2.0, len(values), 0.5))
    return float(np.sort(values)[len(values) - k])


def _least_squares_c(actual: FloatArray) -> float:
    def squared_error(c: float) -> float:
        expected = np.array([actual_of(c, level) for level in LEVELS])
        return float(np.sum((actual - expected) ** 2))

    found = minimize_scalar(squared_error, bounds=C_BOUNDS, method="bounded", options={"xatol": 1e-9})
    return float(found.x)


def _check_anchor(family: ScaleFamily) -> None:
    if not 0 < family.max_recorded_nominal < 1:
        raise ArtifactError(f"max_recorded_nominal must lie in (0, 1), got {family.max_recorded_nominal}")
    limit_ok = family.max_recorded_actual < 1 if family.anchor_usable else family.max_recorded_actual == 1
    if not (limit_ok and family.max_recorded_actual > 0):
        raise ArtifactError(
            "max_recorded_actual must lie in (0, 1) where anchor_usable is true and be 1 where it is "
            f"false, got {family.max_recorded_actual}"
        )

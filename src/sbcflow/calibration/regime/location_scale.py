"""Location and scale of standardised errors, given observables: a robust additive regression.

An error is truth less posterior mean, in posterior sds. It is taken to be location(x) + scale(x) T with T of
Student's t, location and log scale additive in a linear spline of each observable. By penalised maximum
likelihood: Lange, Little and Taylor (1989), Robust statistical modeling using the t distribution, with a
ridge on the standardised line and bends of each spline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from scipy.optimize import minimize

from sbcflow.calibration.fields import increasing, mapping, number, number_list
from sbcflow.calibration.regime.observables import OBSERVABLES
from sbcflow.data import FloatArray
from sbcflow.errors import ArtifactError

# Measured on sweeps of 304 fits (docs/decisions/0017): scores are flat about these values.
DEGREES_OF_FREEDOM = 8.0
# Splines end at the outer two, where little is known beyond, and go on as constants.
KNOT_QUANTILES = (0.02, 0.2, 0.4, 0.6, 0.8, 0.98)
# Of an observable's line, and of its bends at the inner knots: what is straight costs little.
RIDGE = (0.05, *[2.0] * (len(KNOT_QUANTILES) - 2))
MAX_STEPS = 500


@dataclass(frozen=True)
class Spline:
    """The linear spline of one observable: ``knots`` ascending; ``location`` and ``scale`` have a slope for
    each piece between two knots, the piece's change of either function per unit of the observable."""

    knots: tuple[float, ...]
    location: tuple[float, ...]
    scale: tuple[float, ...]

    def to_json(self) -> dict[str, list[float]]:
        """Return the spline as lists."""
        return {"knots": list(self.knots), "location": list(self.location), "scale": list(self.scale)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Spline:
        """Rebuild a spline from :meth:`to_json`'s values.

        Raises:
            ArtifactError: a list is missing or of another length, or the knots do not ascend.
        """
        spline = cls(*(number_list(values, name) for name in ("knots", "location", "scale")))
        if not increasing(spline.knots) or len(spline.knots) < 2:
            raise ArtifactError("knots must be at least two ascending numbers")
        if not len(spline.location) == len(spline.scale) == len(spline.knots) - 1:
            raise ArtifactError("location and scale must have a slope for each piece between two knots")
        return spline


@dataclass(frozen=True)
class LocationScale:
    """The fitted regression: intercepts of location and log scale, and a spline an observable."""

    location: float
    log_scale: float
    splines: Mapping[str, Spline]

    def predict(self, observables: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return location and scale (n_points,) of errors, in posterior sds.

        ``observables`` (n_points, 4) float64, in the order of ``OBSERVABLES``. Beyond a spline's outer knots
        an observable counts as the knot.
        """
        location = np.full(len(observables), self.location)
        log_scale = np.full(len(observables), self.log_scale)
        for values, name in zip(observables.T, OBSERVABLES, strict=True):
            spline = self.splines[name]
            for piece, *slopes in zip(
                _pieces(values, spline.knots), spline.location, spline.scale, strict=True
            ):
                location += slopes[0] * piece
                log_scale += slopes[1] * piece
        return location, np.exp(log_scale)

    def to_json(self) -> dict[str, Any]:
        """Return the regression as plain JSON values."""
        splines = {name: spline.to_json() for name, spline in self.splines.items()}
        return {"location": self.location, "log_scale": self.log_scale, "splines": splines}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> LocationScale:
        """Rebuild a regression from :meth:`to_json`'s values.

        Raises:
            ArtifactError: a key is missing or holds a value that cannot be.
        """
        splines = mapping(values, "splines")
        return cls(
            number(values, "location"),
            number(values, "log_scale"),
            {name: Spline.from_json(mapping(splines, name)) for name in OBSERVABLES},
        )


def fit_location_scale(observables: FloatArray, errors: FloatArray) -> LocationScale:
    """Fit the regression to points (n_points, 4) and their standardised errors (n_points,)."""
    knots = [_knots_of(values) for values in observables.T]
    columns = np.concatenate([_columns(values, k) for values, k in zip(observables.T, knots, strict=True)])
    centre, spread = columns.mean(axis=1), columns.std(axis=1)
    spread[spread == 0] = 1.0
    standard = (columns - centre[:, None]) / spread[:, None]
    n_columns = len(standard)
    found = minimize(
        _loss,
        np.zeros(2 + 2 * n_columns),
        args=(standard, np.tile(RIDGE, len(knots)), errors),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": MAX_STEPS},
    ).x
    coefficients = found[2:].reshape(2, n_columns) / spread
    intercepts = found[:2] - (coefficients * centre).sum(axis=1)
    # A line and the bends up to a piece make up the piece's slope.
    slopes = coefficients.reshape(2, len(knots), -1).cumsum(axis=2).tolist()
    splines = {
        name: Spline(own, tuple(slopes[0][i]), tuple(slopes[1][i]))
        for i, (name, own) in enumerate(zip(OBSERVABLES, knots, strict=True))
    }
    return LocationScale(float(intercepts[0]), float(intercepts[1]), splines)


def _knots_of(values: FloatArray) -> tuple[float, ...]:
    """Knots of one observable; a piece between two equal ones has no width and no effect."""
    return tuple(map(float, np.quantile(values, KNOT_QUANTILES)))


def _pieces(values: FloatArray, knots: tuple[float, ...]) -> list[FloatArray]:
    """How far into each piece between two knots a value (n_points,) reaches, in the observable's unit."""
    return [np.clip(values, low, high) - low for low, high in pairwise(knots)]


def _columns(values: FloatArray, knots: tuple[float, ...]) -> FloatArray:
    """The line of an observable, and its bends at the inner knots: (n_pieces, n_points)."""
    pieces = np.stack(_pieces(values, knots))
    return np.asarray(pieces[::-1].cumsum(axis=0)[::-1])


def _loss(
    values: FloatArray, columns: FloatArray, ridge: FloatArray, errors: FloatArray
) -> tuple[float, FloatArray]:
    """Mean negative log likelihood, constants dropped, plus the ridge; and its gradient.

    Plain sums rather than matrix products, whose order may change with the number of cores.
    """
    n_columns, n_points = columns.shape
    nu, slopes = DEGREES_OF_FREEDOM, values[2:].reshape(2, n_columns)
    location, log_scale = (
        values[i] + np.einsum("c,cp->p", slopes[i], columns, optimize=False) for i in range(2)
    )
    precision = np.exp(-log_scale)
    residual = (errors - location) * precision
    growth = 1 + residual**2 / nu
    loss = np.mean(log_scale + (nu + 1) / 2 * np.log(growth)) + np.sum(ridge * slopes**2) / 2
    pull = (nu + 1) / nu * residual / growth
    by_point = np.stack([-pull * precision, 1 - pull * residual])
    by_slope = np.einsum("ip,cp->ic", by_point, columns, optimize=False) / n_points + ridge * slopes
    return float(loss), np.concatenate([by_point.mean(axis=1), by_slope.ravel()])

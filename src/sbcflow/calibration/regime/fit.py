"""Fitting the correction by regime: from the draws and truths of a train sweep's fits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sbcflow.calibration.evaluate import TestFit, naming
from sbcflow.calibration.regime.conformal import fit_cutoffs
from sbcflow.calibration.regime.correction import RegimeCorrection
from sbcflow.calibration.regime.hull import Regime
from sbcflow.calibration.regime.location_scale import LocationScale, fit_location_scale
from sbcflow.calibration.regime.observables import (
    NO_SPREAD,
    OBSERVABLES,
    heterogeneity_of,
    moments,
    observe,
    spreads,
)
from sbcflow.calibration.regime.shape import fit_shape
from sbcflow.data import FloatArray
from sbcflow.errors import ArtifactError, NoSpreadError
from sbcflow.scoring import checked_truth, order_draws

# A third of the fits is learnt on, the rest calibrates. With fewer fits than these neither says enough to
# beat the layered rule (docs/decisions/0017).
LEARNT_SHARE = 1 / 3
MIN_FITS = 60


@dataclass(frozen=True)
class FitErrors:
    """What is kept of a train fit: of each test point its observables (n_points, 4), and its standardised
    error (n_points,), truth less posterior mean in posterior sds."""

    observables: FloatArray
    errors: FloatArray


def errors_of(ordered: FloatArray, truth: FloatArray) -> FitErrors:
    """Reduce a fit: ``ordered`` draws (n_points, n_draws) ascending and ``truth`` (n_points,), float64.

    Raises:
        DataError: the draws of a point do not spread.
    """
    mean, sd = moments(ordered)
    return FitErrors(observe(ordered, heterogeneity_of(ordered)), (truth - mean) / sd)


def errors_of_fits(fits: Iterable[TestFit]) -> Iterator[FitErrors]:
    """Yield what is kept of each converged fit of a sweep.

    Raises:
        ArtifactError: draws or truth that cannot be used, naming the config.
        NoSpreadError: draws of a point that do not spread, naming the config.
    """
    for fit in fits:
        if fit.converged:
            with naming(fit):
                ordered, truth = order_draws(fit.draws), checked_truth(fit.truth, len(fit.draws))
            if not spreads(ordered):
                raise NoSpreadError(f"config {fit.config_id}: {NO_SPREAD}")
            yield errors_of(ordered, truth)


def fit_regime(
    fits: Iterable[FitErrors],
    hull: Regime,
    seed: int,
    trained_on: str,
    n_excluded: int = 0,
    fitted_by: Mapping[str, Any] | None = None,
) -> RegimeCorrection:
    """Fit a correction by regime to the converged fits of a train sweep, all with as many test points.

    Which fits are learnt on and which calibrate is drawn from ``seed``, by whole fits.

    Raises:
        ArtifactError: fewer than ``MIN_FITS`` fits, or fits with unequal numbers of test points.
    """
    observables, errors = _stack(tuple(fits))
    n_fits = len(errors)
    if n_fits < MIN_FITS:
        raise ArtifactError(f"{n_fits} fits are too few for the method regime (at least {MIN_FITS})")
    order = np.random.default_rng(seed).permutation(n_fits)
    learnt, kept = np.split(order, [round(LEARNT_SHARE * n_fits)])
    flat = observables[learnt].reshape(-1, len(OBSERVABLES))
    regression = fit_location_scale(flat, errors[learnt].ravel())
    shape = fit_shape(residuals_of(regression, observables[learnt], errors[learnt]))
    cutoffs = fit_cutoffs(shape.depth(residuals_of(regression, observables[kept], errors[kept])))
    return RegimeCorrection(regression, shape, cutoffs, hull, trained_on, len(learnt), n_excluded, fitted_by)


def residuals_of(regression: LocationScale, observables: FloatArray, errors: FloatArray) -> FloatArray:
    """Return errors (n_fits, n_points) less their location, over their scale."""
    location, scale = regression.predict(observables.reshape(-1, len(OBSERVABLES)))
    residuals: FloatArray = (errors - location.reshape(errors.shape)) / scale.reshape(errors.shape)
    return residuals


def _stack(fits: tuple[FitErrors, ...]) -> tuple[FloatArray, FloatArray]:
    sizes = sorted({len(fit.errors) for fit in fits})
    if len(sizes) > 1:
        raise ArtifactError(f"all fits must have as many test points, got {sizes[0]} to {sizes[-1]}")
    if not fits:
        raise ArtifactError("no converged fit, nothing to fit on")
    return np.stack([f.observables for f in fits]), np.stack([f.errors for f in fits])

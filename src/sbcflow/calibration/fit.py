"""Fitting the corrections to the aggregate table of a train sweep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sbcflow.calibration.coverage_curve import fit_coverage_curve
from sbcflow.calibration.layered import LayeredCorrection
from sbcflow.calibration.regime import regime_of
from sbcflow.calibration.scale_family import fit_scale_family
from sbcflow.data import FloatArray
from sbcflow.errors import ArtifactError
from sbcflow.levels import LEVELS, coverage_column
from sbcflow.params import CorrectionSettings

CONVERGED_COLUMN = "diagnostics.converged"


def fit_corrections(
    aggregate: pd.DataFrame,
    settings: CorrectionSettings,
    trained_on: str,
    fitted_by: Mapping[str, Any] | None = None,
) -> LayeredCorrection:
    """Fit R(p), the scale family and the regime to a train sweep's aggregate.csv, a row a fit.

    Fits that did not converge are left out and counted. ``trained_on`` is the sweep's experiment_id,
    ``fitted_by`` the estimator and its settings.

    Raises:
        ArtifactError: a column is missing, a coverage is no number in [0, 1], or no fit converged.
    """
    fits = converged_fits(aggregate)
    actual = _actual_coverages(fits)
    return LayeredCorrection(
        curve=fit_coverage_curve(actual, settings.n_bootstrap, settings.seed),
        scale=fit_scale_family(actual),
        regime=regime_of(fits),
        trained_on=trained_on,
        n_excluded=len(aggregate) - len(fits),
        fitted_by=fitted_by,
    )


def converged_fits(aggregate: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose ``diagnostics.converged`` is true; anything else, empty included, is not.

    Raises:
        ArtifactError: the column is missing, or no row is left.
    """
    if CONVERGED_COLUMN not in aggregate:
        raise ArtifactError(f"aggregate.csv: column {CONVERGED_COLUMN} is missing")
    # pandas reads a column of True, False and blanks as objects, so compare what was written.
    fits = aggregate[aggregate[CONVERGED_COLUMN].astype(str).str.lower() == "true"]
    if fits.empty:
        raise ArtifactError(f"aggregate.csv: none of its {len(aggregate)} fits converged, nothing to fit on")
    return fits


def _actual_coverages(fits: pd.DataFrame) -> FloatArray:
    columns = [coverage_column(level) for level in LEVELS]
    missing = [column for column in columns if column not in fits]
    if missing:
        raise ArtifactError(f"aggregate.csv: column {missing[0]} is missing")
    values: FloatArray = fits[columns].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    wrong = ~((values >= 0) & (values <= 1)).all(axis=0)
    if wrong.any():
        column = columns[int(np.argmax(wrong))]
        raise ArtifactError(
            f"aggregate.csv: column {column} must hold coverages in [0, 1] in every converged row"
        )
    return values

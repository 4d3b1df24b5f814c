"""How much of a sweep's miscalibration comes from the approximation of inference, rather than the model.

The same simulated experiments are fitted by the approximation and by a reference. What the coverage of the
reference is off by is the model's doing; what is off beyond that is the approximation's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sbcflow.calibration.bootstrap import MIN_FITS, percentile_interval, resampled_means
from sbcflow.calibration.comparison import Estimate, coverage_error
from sbcflow.data import FloatArray


@dataclass(frozen=True)
class Attribution:
    """Mean absolute coverage errors over some fits, each with its 95% interval over fits.

    ``approximate`` and ``reference`` are those of the two inferences, ``share`` is 1 - reference /
    approximate: 1 where exact inference would be calibrated, 0 where it would be as far off, below 0 where
    the approximation hides some of the model's error.
    """

    approximate: Estimate
    reference: Estimate
    share: Estimate


def attribute(approximate: FloatArray, reference: FloatArray, n_bootstrap: int, seed: int) -> Attribution:
    """Attribute the coverage error of fits to approximation and model.

    ``approximate`` and ``reference`` (n_fits, n_levels) float64: coverages at ``LEVELS`` of the same
    experiments. Fits are resampled in pairs; intervals are NaN below 2 fits.
    """
    both = np.stack([approximate, reference], axis=1)
    point = coverage_error(both.mean(axis=0))
    if len(both) < MIN_FITS:
        spread = np.full((1, 2), np.nan)
    else:
        spread = coverage_error(resampled_means(both, n_bootstrap, seed))
    return Attribution(
        _estimate(point[0], spread[:, 0]),
        _estimate(point[1], spread[:, 1]),
        _estimate(_share(point[None])[0], _share(spread)),
    )


def _share(errors: FloatArray) -> FloatArray:
    share: FloatArray = 1 - errors[:, 1] / errors[:, 0]
    return share


def _estimate(value: float, replicates: FloatArray) -> Estimate:
    lower, upper = percentile_interval(replicates)
    return Estimate(float(value), float(lower), float(upper))

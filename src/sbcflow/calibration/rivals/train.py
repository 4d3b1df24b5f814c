"""What rival corrections keep of a train fit: its points' errors, on the scales that they work with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from sbcflow.calibration.evaluate import TestFit, naming
from sbcflow.calibration.regime.fit import FitErrors, errors_of
from sbcflow.data import FloatArray
from sbcflow.errors import ArtifactError
from sbcflow.levels import LEVELS
from sbcflow.scoring import central_interval, checked_truth, order_draws

FACTOR_LEVEL = 0.9
# Levels that conformalised quantile regression is calibrated at; others lie between two of them.
GRID = tuple(sorted({*(k / 50 for k in range(1, 50)), *LEVELS}))


@dataclass(frozen=True)
class TrainFit:
    """What is kept of a train fit.

    ``errors`` and observables of its points; ``factors`` (n_points,), by which the half-widths of the raw
    interval at ``FACTOR_LEVEL`` must grow to hold the truth; ``missed`` (n_levels, n_points), how far, in
    posterior sds, the truth lies outside the raw interval at each level of ``GRID``, negative inside.
    """

    errors: FitErrors
    factors: FloatArray
    missed: FloatArray


def reduce_fits(fits: Iterable[TestFit]) -> tuple[TrainFit, ...]:
    """Reduce the converged fits of a sweep, holding the draws of one at a time.

    Raises:
        ArtifactError: draws or truth that cannot be used, naming the config; or no converged fit.
    """
    reduced = tuple(_reduce(fit) for fit in fits if fit.converged)
    if not reduced:
        raise ArtifactError("the train sweep has no converged fit, nothing to fit on")
    return reduced


def _reduce(fit: TestFit) -> TrainFit:
    with naming(fit):
        ordered, truth = order_draws(fit.draws), checked_truth(fit.truth, len(fit.draws))
        errors = errors_of(ordered, truth)
    mean, sd = ordered.mean(axis=1), ordered.std(axis=1)
    lower, upper = central_interval(ordered, FACTOR_LEVEL)
    half_width = np.where(truth > mean, upper - mean, mean - lower)
    missed = np.stack([_missed(central_interval(ordered, level), truth) for level in GRID])
    return TrainFit(errors, np.abs(truth - mean) / half_width, missed / sd)


def _missed(ends: tuple[FloatArray, FloatArray], truth: FloatArray) -> FloatArray:
    lower, upper = ends
    return np.maximum(lower - truth, truth - upper)

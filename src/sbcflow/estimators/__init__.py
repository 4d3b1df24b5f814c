"""Estimators: what fits a trial. Each is found by its name in params.yaml, or is the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sbcflow.data import Covariates, Float32Array, FloatArray, Segment, TestPoints, Trial
from sbcflow.params import Params, is_reference


class Posterior(Protocol):
    """What a fit knows of treatment effects, as posterior draws in revenue per visitor."""

    def cate(self, points: TestPoints) -> Float32Array:
        """Return draws (n_points, n_draws) float32 of each point's CATE under its arm."""
        ...

    def average_cate(self, covariates: Covariates, segments: tuple[Segment, ...]) -> FloatArray:
        """Return draws (n_segments, K-1, n_draws) float64 of each segment's mean CATE."""
        ...

    def hyperparameters(self) -> Mapping[str, FloatArray]:
        """Return draws (n_draws,) of named parameters, those whose ranks the family ``prior`` checks."""
        ...

    def diagnostics(self) -> Mapping[str, float | int | bool | str | None]:
        """Return how the fit went, as JSON values; ``converged`` (bool) is always there."""
        ...


class Estimator(Protocol):
    """Fits a trial; the posterior depends on trial, settings and seed alone."""

    def fit(self, trial: Trial, seed: int) -> Posterior: ...


def make_estimator(params: Params) -> Estimator:
    """Return the estimator that ``params`` names, with its settings.

    Raises:
        OwnCodeError: it is the user's own, and cannot be loaded.
    """
    if is_reference(params.estimator):
        from sbcflow.own.estimator import OwnEstimator
        from sbcflow.own.reference import Reference

        return OwnEstimator.build(Reference.parse(params.estimator), params.own.estimator)
    from sbcflow.estimators.hurdle import HurdleEstimator

    return HurdleEstimator(params.model, params.inference)

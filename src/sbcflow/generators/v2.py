"""The stress family: a catalog of trials where the hurdle model is wrong in realistic ways."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sbcflow.data import BoolArray, Covariates, FloatArray, IntArray, Simulation, TestPoints, Trial
from sbcflow.generators import knobs as v2_knobs
from sbcflow.generators.covariates import draw_covariates
from sbcflow.generators.surfaces import Surfaces, SurfaceValues, draw_surfaces
from sbcflow.params import V2Settings
from sbcflow.streams import Purpose, rng_for


class V2:
    """Trials of customers with mixed covariates, under one of the templates of treatment effect."""

    def __init__(self, settings: V2Settings) -> None:
        self._settings = settings

    def draw_knobs(self, seed: int, replicate: int) -> dict[str, float | int | str]:
        """Draw a config's knobs: the templates in turn by ``replicate``, the rest from ``seed``."""
        templates = self._settings.templates
        return v2_knobs.draw(seed, templates[replicate % len(templates)], self._settings).plain()

    def surfaces(self, seed: int, knobs: Mapping[str, float | int | str]) -> Surfaces:
        """Return the true surfaces of a config.

        Raises:
            ParamsError: a knob is missing or unknown, or the template is no known one.
        """
        return draw_surfaces(seed, v2_knobs.Knobs.parse(knobs), self._settings.n_arms)

    def simulate(
        self, seed: int, knobs: Mapping[str, float | int | str], n_visitors: int, n_test: int
    ) -> Simulation:
        """Simulate a trial of ``n_visitors``, and ``n_test`` test points, with their truths.

        Raises:
            ParamsError: a knob is missing or unknown, or the template is no known one.
        """
        parsed = v2_knobs.Knobs.parse(knobs)
        surfaces = draw_surfaces(seed, parsed, self._settings.n_arms)
        covariates = draw_covariates(rng_for(seed, Purpose.COVARIATES), n_visitors)
        values = surfaces.at(covariates)
        test_points = self._test_points(seed, n_test)
        return Simulation(
            trial=self._trial(seed, covariates, values, parsed.severity_sigma),
            test_points=test_points,
            test_cate=surfaces.cate(test_points.covariates, test_points.arm),
            visitor_cate=np.stack([values.cate(k) for k in range(1, self._settings.n_arms)], axis=1),
            parameters={},
        )

    def _trial(self, seed: int, covariates: Covariates, values: SurfaceValues, sigma: float) -> Trial:
        n_arms = self._settings.n_arms
        assignment = rng_for(seed, Purpose.ASSIGNMENT)
        arm = assignment.integers(0, n_arms, size=len(covariates), dtype=np.int32)
        converted, revenue = draw_outcomes(seed, values, arm, sigma)
        names = ("control", *(f"treatment_{k}" for k in range(1, n_arms)))
        return Trial(covariates, arm, converted, revenue, names)

    def _test_points(self, seed: int, n_test: int) -> TestPoints:
        covariates = draw_covariates(rng_for(seed, Purpose.TEST_POINTS), n_test)
        arm = 1 + np.arange(n_test, dtype=np.int32) % (self._settings.n_arms - 1)
        return TestPoints(covariates, arm.astype(np.int32))


def draw_outcomes(
    seed: int, values: SurfaceValues, arm: IntArray, sigma: float
) -> tuple[BoolArray, FloatArray]:
    """Draw who converts, (n,) bool, and their revenue, (n,) float64, 0 without conversion.

    Spend is log-normal about ``values.mean_spend``, with log standard deviation ``sigma`` and a noise
    factor of mean exactly 1. Noise is drawn for everybody, so that one visitor's conversion moves no
    other's revenue.
    """
    n = len(arm)
    converted = rng_for(seed, Purpose.CONVERSION).random(n) < values.conversion(arm)
    noise = rng_for(seed, Purpose.REVENUE).standard_normal(n)
    spend = values.mean_spend(arm) * np.exp(sigma * noise - sigma**2 / 2)
    return converted, np.where(converted, spend, 0.0)

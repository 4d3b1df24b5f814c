"""The family drawn from the model's own prior, where exact inference must give uniform ranks.

Covariates are drawn first and the basis made from them as a fit would make it; then hyperparameters
and coefficients come from the NumPyro model itself, and outcomes from its two parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sbcflow.data import Covariates, Feature, FloatArray, IntArray, Simulation, TestPoints, Trial
from sbcflow.params import ModelSettings, PartPriors, PriorSettings
from sbcflow.streams import Purpose, rng_for

if TYPE_CHECKING:
    from sbcflow.basis import Basis

LEVEL_SHARES = (0.5, 0.3, 0.2)


@dataclass(frozen=True)
class Prior:
    """Trials from the prior of the hurdle model; ``model`` is the prior that they are drawn from."""

    settings: PriorSettings
    model: ModelSettings

    def draw_knobs(self, seed: int, replicate: int) -> dict[str, float | int | str]:
        """Return the template's name: everything else is drawn from the prior in ``simulate``."""
        del seed, replicate
        return {"template": "prior"}

    def simulate(
        self, seed: int, knobs: Mapping[str, float | int | str], n_visitors: int, n_test: int
    ) -> Simulation:
        """Simulate a trial, its test points and truths, and keep the drawn hyperparameters.

        ``parameters`` holds scales and sigma (1,) by the names of ``HurdlePosterior.hyperparameters``.
        """
        del knobs
        n_arms = self.settings.n_arms
        covariates = self._covariates(rng_for(seed, Purpose.COVARIATES), n_visitors)
        surfaces = _draw_surfaces(seed, covariates, n_arms, self.model)
        rate, spend = surfaces.at(covariates)
        revenue = rate * spend
        points = self._covariates(rng_for(seed, Purpose.TEST_POINTS), n_test)
        point_arm = (1 + np.arange(n_test) % (n_arms - 1)).astype(np.int32)
        point_revenue = np.prod(surfaces.at(points), axis=0)
        return Simulation(
            trial=_draw_trial(seed, covariates, rate, spend, surfaces.noise),
            test_points=TestPoints(points, point_arm),
            test_cate=point_revenue[np.arange(n_test), point_arm] - point_revenue[:, 0],
            visitor_cate=revenue[:, 1:] - revenue[:, :1],
            parameters=surfaces.parameters,
        )

    def _covariates(self, rng: np.random.Generator, n: int) -> Covariates:
        continuous = rng.standard_normal((n, self.settings.n_continuous))
        binary = rng.random((n, self.settings.n_binary)) < 0.5
        level = rng.choice(len(LEVEL_SHARES), p=LEVEL_SHARES, size=(n, self.settings.n_categorical))
        values = np.concatenate([continuous, binary, level], axis=1).astype(np.float32)
        levels = tuple("abc"[: len(LEVEL_SHARES)])
        features = (
            *(Feature(f"continuous_{i}", "continuous") for i in range(self.settings.n_continuous)),
            *(Feature(f"binary_{i}", "binary") for i in range(self.settings.n_binary)),
            *(Feature(f"categorical_{i}", "categorical", levels) for i in range(self.settings.n_categorical)),
        )
        return Covariates(features, values)


@dataclass(frozen=True)
class _Surfaces:
    """What the model says of a visitor in each arm: coefficients by arm (K, n_columns), and sigma."""

    basis: Basis
    conversion: FloatArray
    severity: FloatArray
    noise: float
    parameters: Mapping[str, FloatArray]

    def at(self, covariates: Covariates) -> tuple[FloatArray, FloatArray]:
        """Return conversion probability and mean spend, (n, K) float64 each."""
        import jax

        columns = np.asarray(self.basis.columns(jax.device_put(covariates.values)), dtype=np.float64)
        logit, log_median = (self.conversion @ columns).T, (self.severity @ columns).T
        return 1 / (1 + np.exp(-logit)), np.exp(log_median + self.noise**2 / 2)


def _draw_surfaces(seed: int, covariates: Covariates, n_arms: int, model: ModelSettings) -> _Surfaces:
    """Draw hyperparameters and coefficients of both parts; JAX is imported here, not at plan time."""
    from sbcflow.basis import make_basis
    from sbcflow.runtime import numerics

    basis = make_basis(covariates, model.basis)
    rng = rng_for(seed, Purpose.PARAMETERS)
    with numerics():
        conversion, _, conversion_truth = _draw_part(basis, n_arms, model.conversion, rng, "conversion")
        severity, noise, severity_truth = _draw_part(basis, n_arms, model.severity, rng, "severity")
    return _Surfaces(basis, conversion, severity, noise, {**conversion_truth, **severity_truth})


def _draw_part(
    basis: Basis, n_arms: int, priors: PartPriors, rng: np.random.Generator, name: str
) -> tuple[FloatArray, float, dict[str, FloatArray]]:
    """Return coefficients by arm (K, n_columns), sigma, and the hyperparameters by name."""
    import jax
    from numpyro import handlers

    from sbcflow.likelihood import arm_coefficients
    from sbcflow.model import part_model, part_prior

    prior = part_prior(basis.structure, n_arms, priors)
    key = jax.random.key(int(rng.integers(2**31)))
    trace = handlers.trace(handlers.seed(part_model, key)).get_trace(prior)
    coef = np.asarray(arm_coefficients(trace["coef"]["value"]))
    drawn = np.asarray(trace["scales"]["value"])
    noise = float(trace["noise"]["value"]) if prior.has_noise else 1.0
    values = np.append(drawn, noise)[: len(prior.theta_names)]
    names = (f"{name}.{theta}" for theta in prior.theta_names)
    return coef, noise, {n: np.array([v]) for n, v in zip(names, values, strict=True)}


def _draw_trial(
    seed: int, covariates: Covariates, rate: FloatArray, spend: FloatArray, noise: float
) -> Trial:
    n, n_arms = rate.shape
    assignment = rng_for(seed, Purpose.ASSIGNMENT)
    arm: IntArray = np.asarray(assignment.integers(0, n_arms, size=n, dtype=np.int32))
    seen = np.arange(n), arm
    converted = rng_for(seed, Purpose.CONVERSION).random(n) < rate[seen]
    factor = np.exp(noise * rng_for(seed, Purpose.REVENUE).standard_normal(n) - noise**2 / 2)
    names = ("control", *(f"treatment_{k}" for k in range(1, n_arms)))
    return Trial(covariates, arm, converted, np.where(converted, spend[seen] * factor, 0.0), names)

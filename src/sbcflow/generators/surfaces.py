"""The true surfaces of a stress config: conversion probability and mean spend, by customer and arm.

``p_k(x) = expit(a + h_c(x) + f_k d_c g(x))`` and ``m_k(x) = exp(b + h_s(x) + f_k d_s g(x))``: prognostic
scores h, effects d with the template's shape g, and a factor f_k for each arm (0 for control). All is
a function of (seed, knobs, x), computed in float64 from the covariates as stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sbcflow.data import Covariates, FloatArray
from sbcflow.generators.clusters import Clusters, draw_clusters, mix
from sbcflow.generators.covariates import Drivers, draw_covariates, drivers_of
from sbcflow.generators.knobs import Knobs
from sbcflow.generators.shapes import Shape, draw_shape
from sbcflow.streams import Purpose, rng_for

Arm = int | NDArray[np.integer]

N_REFERENCE = 20_000
ARM_SPREAD = 0.5
PARTS_CORRELATION = 0.5
# Standard deviations of the coefficients of prognostic_terms, in its order.
TERM_WEIGHTS = (1.0,) * 5 + (0.7, 0.9, 0.8, 0.8) + (0.6,) * 7 + (0.8, 1.0)
BISECTIONS = 50


@dataclass(frozen=True)
class SurfaceValues:
    """The surfaces at n customers: control's logit and log mean spend, the effect's shape, (n,) float64.

    ``arm`` is one arm for all, or (n,) integers, one for each customer.
    """

    logit: FloatArray
    log_mean_spend: FloatArray
    shape: FloatArray
    conversion_effects: FloatArray
    severity_effects: FloatArray

    def conversion(self, arm: Arm) -> FloatArray:
        """Return the probability of conversion under ``arm``, (n,) float64."""
        return _expit(self.logit + self.conversion_effects[arm] * self.shape)

    def mean_spend(self, arm: Arm) -> FloatArray:
        """Return the exact mean revenue of a converter under ``arm``, (n,) float64, currency units."""
        return np.exp(self.log_mean_spend + self.severity_effects[arm] * self.shape)

    def cate(self, arm: Arm) -> FloatArray:
        """Return the effect of ``arm`` against control, (n,) float64, in revenue per visitor."""
        treated = self.conversion(arm) * self.mean_spend(arm)
        return treated - self.conversion(0) * self.mean_spend(0)


@dataclass(frozen=True)
class Score:
    """A sum of prognostic_terms, standardised over the reference sample, times ``sd``."""

    coefficients: FloatArray
    mean: float
    raw_sd: float
    sd: float

    def at(self, drivers: Drivers) -> FloatArray:
        """Return the score at n customers, (n,) float64, of mean 0."""
        return (_weighted_terms(self.coefficients, drivers) - self.mean) * (self.sd / self.raw_sd)


@dataclass(frozen=True)
class Surfaces:
    """All that makes the truth of one config.

    ``conversion_effects`` and ``severity_effects`` (K,): the size of each arm's effect on the logit of
    conversion and on the log mean spend, 0 for control. ``log_mean_spend`` is that of an average customer.
    """

    intercept: float
    log_mean_spend: float
    conversion_score: Score
    severity_score: Score
    clusters: Clusters | None
    shape: Shape
    conversion_effects: FloatArray
    severity_effects: FloatArray

    def at(self, covariates: Covariates) -> SurfaceValues:
        """Evaluate the surfaces at n customers."""
        return self._at(drivers_of(covariates))

    def conversion(self, covariates: Covariates, arm: Arm) -> FloatArray:
        """Return each customer's probability of conversion under ``arm``, (n,) float64."""
        return self.at(covariates).conversion(arm)

    def mean_spend(self, covariates: Covariates, arm: Arm) -> FloatArray:
        """Return each customer's mean spend as a converter under ``arm``, (n,) float64, currency units."""
        return self.at(covariates).mean_spend(arm)

    def cate(self, covariates: Covariates, arm: Arm) -> FloatArray:
        """Return each customer's effect of ``arm`` against control, (n,) float64, revenue per visitor."""
        return self.at(covariates).cate(arm)

    def _at(self, drivers: Drivers) -> SurfaceValues:
        effect, conversion, severity = _cluster_values(self.clusters, drivers)
        return SurfaceValues(
            logit=self.intercept + self.conversion_score.at(drivers) + conversion,
            log_mean_spend=self.log_mean_spend + self.severity_score.at(drivers) + severity,
            shape=self.shape.at(drivers, effect),
            conversion_effects=self.conversion_effects,
            severity_effects=self.severity_effects,
        )


def draw_surfaces(seed: int, knobs: Knobs, n_arms: int) -> Surfaces:
    """Draw the surfaces of a config of ``n_arms`` arms, control included."""
    reference = drivers_of(draw_covariates(rng_for(seed, Purpose.REFERENCE), N_REFERENCE))
    clusters = draw_clusters(seed, knobs, reference)
    effect, cluster_logit, cluster_log = _cluster_values(clusters, reference)
    coefficients = _draw_coefficients(rng_for(seed, Purpose.PARAMETERS))
    conversion = _standardised(coefficients[0], reference, knobs.prognostic_conversion)
    severity = _standardised(coefficients[1], reference, knobs.prognostic_severity)
    factors = _arm_factors(rng_for(seed, Purpose.ARMS), n_arms)
    log_mean = knobs.severity_log_mean + knobs.severity_sigma**2 / 2 - float(cluster_log.mean())
    return Surfaces(
        intercept=_intercept(conversion.at(reference) + cluster_logit, knobs.base_rate),
        log_mean_spend=log_mean,
        conversion_score=conversion,
        severity_score=severity,
        clusters=clusters,
        shape=draw_shape(seed, knobs.template, reference, effect),
        conversion_effects=knobs.conversion_effect * factors,
        severity_effects=knobs.severity_effect * factors,
    )


def prognostic_terms(drivers: Drivers) -> Iterator[FloatArray]:
    """Yield the terms of a prognostic score, (n,) each.

    The step and the product of three drivers are there because no additive or pairwise model has them.
    """
    age, spend, tenure, visits, _ = drivers.continuous
    mobile, returning = drivers.binary.astype(np.float64)
    yield from drivers.continuous
    yield np.sin(2 * age)
    yield (tenure > 0.5).astype(np.float64)
    yield mobile
    yield returning
    for level in drivers.levels:
        yield level.astype(np.float64)
    yield np.tanh(visits) * mobile
    yield np.tanh(age) * np.tanh(spend) * np.tanh(tenure)


def _weighted_terms(coefficients: FloatArray, drivers: Drivers) -> FloatArray:
    total = np.zeros(drivers.continuous.shape[1])
    for coefficient, term in zip(coefficients, prognostic_terms(drivers), strict=True):
        total += coefficient * term
    return total


def _draw_coefficients(rng: np.random.Generator) -> FloatArray:
    """Coefficients (2, n_terms) of both parts, correlated: those who buy more often also spend more."""
    own = rng.standard_normal((2, len(TERM_WEIGHTS)))
    own[1] = PARTS_CORRELATION * own[0] + np.sqrt(1 - PARTS_CORRELATION**2) * own[1]
    own *= np.array(TERM_WEIGHTS)
    return own


def _standardised(coefficients: FloatArray, reference: Drivers, sd: float) -> Score:
    raw = _weighted_terms(coefficients, reference)
    return Score(coefficients, float(raw.mean()), float(raw.std()), sd)


def _arm_factors(rng: np.random.Generator, n_arms: int) -> FloatArray:
    """Sizes of the arms' effects (K,): 0 for control, 1 for arm 1, log-normal about 1 for the others."""
    return np.concatenate([[0.0, 1.0], np.exp(ARM_SPREAD * rng.standard_normal(n_arms - 2))])


def _cluster_values(clusters: Clusters | None, drivers: Drivers) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Each customer's cluster effect, and shifts of the logit and of the log mean spend, (n,) each."""
    n = drivers.continuous.shape[1]
    if clusters is None:
        return np.ones(n), np.zeros(n), np.zeros(n)
    shares = clusters.shares(drivers)
    return mix(shares, clusters.effect), mix(shares, clusters.conversion), mix(shares, clusters.severity)


def _intercept(score: FloatArray, base_rate: float) -> float:
    """Find a with mean expit(a + score) = base_rate, by bisection."""
    middle = float(np.log(base_rate / (1 - base_rate)))
    low, high = middle - score.max(), middle - score.min()
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        too_high = _expit(middle + score).mean() > base_rate
        low, high = (low, middle) if too_high else (middle, high)
    return float((low + high) / 2)


def _expit(x: FloatArray) -> FloatArray:
    probability: FloatArray = 1 / (1 + np.exp(-x))
    return probability

"""Small trials for unit tests, and their designs written out densely in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sbcflow.basis import Basis, make_basis
from sbcflow.data import Covariates, Feature, FloatArray, Trial
from sbcflow.estimators.hurdle import see_conversions, see_severities
from sbcflow.likelihood import Conversions, Severities
from sbcflow.model import PartPrior, part_prior
from sbcflow.params import (
    BasisSettings,
    InferenceSettings,
    ModelSettings,
    NutsSettings,
    PartPriors,
    SeverityPriors,
)

CONVERSION = PartPriors(
    intercept_mean=-0.5, intercept_sd=1.0, shift_scale=0.5, prognostic_scale=0.5, treatment_scale=0.3
)
SEVERITY = SeverityPriors(
    intercept_mean=1.0,
    intercept_sd=2.0,
    shift_scale=0.4,
    prognostic_scale=0.5,
    treatment_scale=0.3,
    noise_median=0.8,
    noise_log_sd=0.4,
)
FEATURES = (
    Feature("spend", "continuous"),
    Feature("member", "binary"),
    Feature("region", "categorical", ("north", "south", "east")),
)
BINARIES = tuple(Feature(f"flag_{i}", "binary") for i in range(3))
SMALL_NUTS = NutsSettings(n_chains=2, n_warmup=150, n_samples=500, target_accept=0.9, max_tree_depth=7)


def basis_settings(**changes: object) -> BasisSettings:
    return BasisSettings.model_validate({"n_knots": 5, "interactions": True, "max_columns": 100, **changes})


def model_settings(**basis_changes: object) -> ModelSettings:
    return ModelSettings(basis=basis_settings(**basis_changes), conversion=CONVERSION, severity=SEVERITY)


def inference_settings(**changes: object) -> InferenceSettings:
    values = {"method": "laplace", "n_draws": 400, "khat_draws": 400, "khat_limit": 0.7, "nuts": SMALL_NUTS}
    return InferenceSettings.model_validate({**values, **changes})


def mixed_covariates(n: int, seed: int = 1) -> Covariates:
    """A skewed continuous feature, a binary one and one of three levels."""
    rng = np.random.default_rng(seed)
    values = [rng.gamma(2.0, size=n), rng.random(n) < 0.3, rng.choice(3, p=(0.5, 0.3, 0.2), size=n)]
    return Covariates(FEATURES, np.stack(values, axis=1).astype(np.float32))


def binary_covariates(n: int, seed: int = 1) -> Covariates:
    """Three binary features: a basis of four columns in one group."""
    values = np.random.default_rng(seed).random((n, len(BINARIES))) < 0.5
    return Covariates(BINARIES, values.astype(np.float32))


def make_trial(covariates: Covariates, n_arms: int = 2, seed: int = 2, logit: float = -0.5) -> Trial:
    """A trial with effects of the second feature on both parts."""
    rng = np.random.default_rng(seed)
    n = len(covariates)
    arm = rng.integers(0, n_arms, n).astype(np.int32)
    lift = 0.4 * (arm > 0) * covariates.values[:, 1]
    converted = rng.random(n) < 1 / (1 + np.exp(-logit - lift))
    spend = np.exp(1.0 + 0.6 * covariates.values[:, 1] + lift + 0.7 * rng.standard_normal(n))
    names = tuple(f"arm {k}" for k in range(n_arms))
    return Trial(covariates, arm, converted, np.where(converted, spend, 0.0), names)


@dataclass(frozen=True)
class Case:
    """A trial laid out as the estimator does, and densely: rows (n, K x n_columns) float64."""

    trial: Trial
    basis: Basis
    conversions: Conversions
    severities: Severities
    conversion_prior: PartPrior
    severity_prior: PartPrior
    rows: FloatArray

    @property
    def converted(self) -> FloatArray:
        return self.trial.converted.astype(np.float64)

    @property
    def spender_rows(self) -> FloatArray:
        return self.rows[self.trial.converted]

    @property
    def log_revenue(self) -> FloatArray:
        return np.log(self.trial.revenue[self.trial.converted])


def make_case(trial: Trial, settings: BasisSettings | None = None) -> Case:
    """Lay a trial out; call under ``fit_numerics``."""
    basis = make_basis(trial.covariates, settings or basis_settings())
    return Case(
        trial,
        basis,
        see_conversions(trial, basis),
        see_severities(trial, basis),
        part_prior(basis.structure, trial.n_arms, CONVERSION),
        part_prior(basis.structure, trial.n_arms, SEVERITY),
        dense_rows(basis, trial),
    )


def dense_rows(basis: Basis, trial: Trial) -> FloatArray:
    """Return the design matrix of common row and deviations, every visitor's columns in full."""
    columns = np.asarray(basis.columns(trial.covariates.values), dtype=np.float64).T
    of_arm = [columns, *(columns * (trial.arm == k)[:, None] for k in range(1, trial.n_arms))]
    return np.concatenate(of_arm, axis=1)

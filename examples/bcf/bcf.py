"""pytyche's joint hurdle BCF behind the contract: a forest for conversion and revenue, one for the effect.

It is the optional extra: ``pip install 'sbcflow[bcf]'``. pytyche 0.2.1 tells the effect on the visitors that
it was fitted to and on nobody else, so ``bcf:family`` simulates the stress catalog with visitors as test
points.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbcflow.data import Covariates, Float32Array, Simulation, TestPoints, Trial
from sbcflow.errors import EstimationError
from sbcflow.generators.v2 import V2
from sbcflow.params import V2Settings

EXTRA = "pytyche 0.2.1 is not installed: pip install 'sbcflow[bcf]'"


@dataclass(frozen=True)
class Posterior:
    """Draws (n_visitors, n_draws, K-1) of visitors' effects; ``row`` finds who has these covariates."""

    effects: Float32Array
    row: Mapping[bytes, int]

    def cate(self, points: TestPoints) -> Float32Array:
        """Return draws (n_points, n_draws) of points that are visitors of the trial.

        Raises:
            EstimationError: a point has covariates that no visitor has.
        """
        try:
            rows = [self.row[one.tobytes()] for one in points.covariates.values]
        except KeyError:
            raise EstimationError(
                "pytyche 0.2.1 knows the trial's visitors alone: let generator_family be bcf:family"
            ) from None
        return self.effects[rows, :, points.arm - 1]


@dataclass(frozen=True)
class JointHurdleBCF:
    """``settings`` are fields of pytyche's GPUBCFConfig: num_burnin, num_mcmc, num_trees_mu, ..."""

    settings: Mapping[str, Any]

    def fit(self, trial: Trial, seed: int) -> Posterior:
        """Fit with equal propensities, as arms are drawn with equal shares.

        Raises:
            EstimationError: pytyche is not installed.
        """
        try:
            from pytyche.bcf.config import GPUBCFConfig
            from pytyche.bcf.hurdle.model import _fit_joint_hurdle_bcf
        except ModuleNotFoundError as error:
            raise EstimationError(EXTRA) from error
        config = GPUBCFConfig(random_seed=seed % 2**31, **self.settings)
        share = np.full(trial.n_visitors, 1 / trial.n_arms)
        fit = _fit_joint_hurdle_bcf(_columns(trial.covariates), trial.arm, trial.revenue, share, config)
        effects = np.asarray(fit.rpv_cate_samples, dtype=np.float32)
        rows = {values.tobytes(): place for place, values in enumerate(trial.covariates.values)}
        return Posterior(effects.reshape(*effects.shape[:2], trial.n_arms - 1), rows)


def _columns(covariates: Covariates) -> NDArray[np.float32]:
    """Return what trees split on: levels as 0 and 1, other features as they are."""
    columns = []
    for feature, values in zip(covariates.features, covariates.values.T, strict=True):
        if feature.kind == "categorical":
            columns += [values == code for code in range(len(feature.levels))]
        else:
            columns.append(values)
    return np.stack(columns, axis=1).astype(np.float32)


def build(settings: Mapping[str, Any]) -> JointHurdleBCF:
    """Return the estimator; an unknown setting is an error of the first fit."""
    return JointHurdleBCF(settings)


class Visitors(V2):
    """The stress catalog, its test points the first visitors of the trial, each under an arm in turn."""

    def simulate(self, seed: int, knobs: Mapping[str, Any], n_visitors: int, n_test: int) -> Simulation:
        """Simulate a config as v2 does.

        Raises:
            EstimationError: there are fewer visitors than test points.
        """
        if n_visitors < n_test:
            raise EstimationError(f"scoring.n_test: must be at most {n_visitors}, the visitors, got {n_test}")
        simulation = super().simulate(seed, knobs, n_visitors, n_test)
        treatment = np.arange(n_test) % (simulation.trial.n_arms - 1)
        return replace(
            simulation,
            test_points=TestPoints(
                simulation.trial.covariates.take(slice(n_test)), (treatment + 1).astype(np.int32)
            ),
            test_cate=simulation.visitor_cate[np.arange(n_test), treatment],
        )


def family(settings: Mapping[str, Any]) -> Visitors:
    """Return the family; ``own.family`` holds what ``generators.v2`` holds for v2."""
    return Visitors(V2Settings.model_validate(settings))

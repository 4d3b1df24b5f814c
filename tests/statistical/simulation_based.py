"""Simulation-based calibration of the hurdle estimator on the family drawn from its own prior.

Ranks of the truths among the draws are held against the band of tests/rank_band.py, with Bonferroni's
correction over quantities.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

import rank_band
from sbcflow.data import FloatArray, Segment
from sbcflow.estimators.hurdle import HurdleEstimator
from sbcflow.generators.prior import Prior
from sbcflow.params import (
    BasisSettings,
    InferenceSettings,
    ModelSettings,
    NutsSettings,
    PartPriors,
    PriorSettings,
    SeverityPriors,
)
from sbcflow.runtime import configure

N_VISITORS = 128
N_CATES = 4
N_KEPT = 50
FALSE_ALARM = 0.01

FAMILY = PriorSettings(n_arms=2, n_continuous=1, n_binary=2, n_categorical=1)
NUTS = NutsSettings(n_chains=2, n_warmup=100, n_samples=150, target_accept=0.8, max_tree_depth=6)
INFERENCE = InferenceSettings(method="nuts", n_draws=100, khat_draws=100, khat_limit=0.7, nuts=NUTS)


def prior_of_both(treatment_scale: float = 0.5) -> ModelSettings:
    """Return a model whose trials convert about half of the time, so that few visitors say much."""
    common = {"shift_scale": 0.5, "prognostic_scale": 0.5, "treatment_scale": treatment_scale}
    return ModelSettings(
        basis=BasisSettings(n_knots=3, interactions=False, max_columns=50),
        conversion=PartPriors(intercept_mean=0.0, intercept_sd=0.7, **common),
        severity=SeverityPriors(
            intercept_mean=1.0, intercept_sd=1.0, noise_median=1.0, noise_log_sd=0.3, **common
        ),
    )


@dataclass(frozen=True)
class Replicates:
    """Truths (n, Q) and thinned posterior draws (n, Q, N_KEPT) of Q named quantities in n trials."""

    names: tuple[str, ...]
    truth: FloatArray
    draws: FloatArray

    def ranks(self) -> FloatArray:
        """Return the ranks (n, Q) of truths among draws, in 0..N_KEPT."""
        return np.sum(self.draws < self.truth[:, :, None], axis=2)

    def altered(self, *, spread: float = 1.0, shift: float = 0.0) -> Replicates:
        """Return wrong posteriors: ``spread`` times as wide, moved by ``shift`` standard deviations."""
        mean, sd = self.draws.mean(axis=2, keepdims=True), self.draws.std(axis=2, keepdims=True)
        return Replicates(self.names, self.truth, mean + spread * (self.draws - mean) + shift * sd)

    def take(self, index: slice | FloatArray) -> Replicates:
        """Return some of the trials."""
        return Replicates(self.names, self.truth[index], self.draws[index])


def replicate(seed: int, fitted_with: ModelSettings) -> tuple[tuple[str, ...], FloatArray, FloatArray]:
    """Simulate a trial from the prior, fit it, and return names, truths (Q,) and draws (Q, N_KEPT).

    Hyperparameters are taken by their logarithms, which changes no rank.
    """
    simulated = Prior(FAMILY, prior_of_both()).simulate(seed, {}, N_VISITORS, N_CATES)
    posterior = HurdleEstimator(fitted_with, INFERENCE).fit(simulated.trial, seed)
    everybody = Segment("all", np.ones(N_VISITORS, dtype=bool))
    hyperparameters = posterior.hyperparameters()
    average = posterior.average_cate(simulated.trial.covariates, (everybody,))[0]
    names = (*hyperparameters, "ATE", *(f"CATE {i}" for i in range(N_CATES)))
    logs = [np.log(simulated.parameters[name]) for name in hyperparameters]
    truth = np.concatenate([*logs, simulated.visitor_cate.mean(axis=0), simulated.test_cate])
    draws = [np.log(list(hyperparameters.values())), average, posterior.cate(simulated.test_points)]
    return names, truth, np.concatenate(draws)[:, :: INFERENCE.n_draws // N_KEPT]


def run(
    seeds: Iterable[int], fitted_with: ModelSettings | None = None, n_processes: int | None = None
) -> Replicates:
    """Replicate over ``seeds``; a replicate depends on its seed alone, so ``n_processes`` changes nothing."""
    n_processes = n_processes or min(2, os.cpu_count() or 1)
    work = partial(replicate, fitted_with=fitted_with or prior_of_both())
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(n_processes, mp_context=spawn, initializer=configure) as pool:
        found = list(pool.map(work, seeds, chunksize=5))
    return Replicates(found[0][0], np.stack([f[1] for f in found]), np.stack([f[2] for f in found]))


def extremeness(ranks: FloatArray) -> FloatArray:
    """Return how extreme each column's rank ECDF is, (Q,), for ranks (n, Q)."""
    return rank_band.extremeness(ranks, N_KEPT)


def null_extremeness(n: int) -> FloatArray:
    """Return the sorted extremeness of ``n`` uniform ranks, by simulation."""
    return rank_band.null_extremeness(n, N_KEPT)


def p_values(replicates: Replicates, null: FloatArray | None = None) -> dict[str, float]:
    """Return for each quantity how often uniform ranks have an ECDF as extreme, by simulation."""
    ranks = replicates.ranks()
    null = null_extremeness(len(ranks)) if null is None else null
    values = rank_band.p_values(extremeness(ranks), null)
    return dict(zip(replicates.names, values.tolist(), strict=True))


def outside_the_band(replicates: Replicates, null: FloatArray | None = None) -> list[str]:
    """Return the quantities that leave the simultaneous band; any does by chance with FALSE_ALARM at most."""
    limit = FALSE_ALARM / len(replicates.names)
    return [name for name, p in p_values(replicates, null).items() if p < limit]

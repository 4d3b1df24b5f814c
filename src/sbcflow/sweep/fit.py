"""One config: simulate, fit, score, write its summary (and draws). The job that a sweep fans out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbcflow.data import FloatArray, Simulation, average_effects, everybody, segments_of
from sbcflow.estimators import Posterior, make_estimator
from sbcflow.files import sha256_of, write_npz
from sbcflow.generators import make_family
from sbcflow.params import Params, SweepKind
from sbcflow.provenance import numeric_versions
from sbcflow.scoring import Draws, rank_of, score_fit
from sbcflow.sweep.execution import Execution
from sbcflow.sweep.key import context_ingredients
from sbcflow.sweep.layout import draws_path, summary_path
from sbcflow.sweep.plan import PlannedConfig, plan_config
from sbcflow.sweep.summary import write_summary

SUMMARY_SCHEMA = 1
RANKED_POINTS = 4
EFFECT_LEVEL = 0.9


@dataclass(frozen=True)
class Averages:
    """The average effects of a fit, everybody's first and then each segment's.

    ``share`` (S,) of the visitors, ``truth`` (S, K-1) and ``draws`` (S, K-1, n_draws) float64.
    """

    share: FloatArray
    truth: FloatArray
    draws: FloatArray


@dataclass(frozen=True)
class FittedConfig:
    """A config's simulation and posterior: CATE draws (n_test, n_draws) and those of average effects."""

    simulation: Simulation
    posterior: Posterior
    cate: Draws
    averages: Averages
    seconds: Mapping[str, float]


def fit_config(params: Params, kind: SweepKind, index: int) -> Path:
    """Fit the config at ``index`` of a sweep and write its files; the summary comes last.

    Returns the summary's path. What is in it (contract: DESIGN, Files of a sweep) is that of
    :func:`run_config`, and the checksum of the draws.
    """
    run_id, config_id = params.sweeps()[kind].id, plan_config(params, kind, index).config_id
    summary, arrays = run_config(params, kind, index)
    draws = draws_path(run_id, config_id)
    if arrays:
        write_npz(draws, **arrays)
    path = summary_path(run_id, config_id)
    write_summary(path, {**summary, "draws_sha256": sha256_of(draws) if arrays else None})
    return path


def run_config(params: Params, kind: SweepKind, index: int) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Fit the config at ``index`` of a sweep and return what its files are made of; nothing is written.

    That is its summary, as JSON values, which depends on the config alone but for ``timings``, ``device`` and
    ``execution``; and the arrays of draws.npz, none where the sweep keeps no draws.
    """
    sweep, execution = params.sweeps()[kind], Execution()
    planned = plan_config(params, kind, index)
    fitted = _fit(params, planned)
    summary = {
        **summarise(planned, fitted),
        "ingredients": context_ingredients(params, sweep),
        "execution": execution.record(),
    }
    return summary, _arrays(fitted) if sweep.save_samples else {}


def _arrays(fitted: FittedConfig) -> dict[str, NDArray[Any]]:
    points, averages = fitted.simulation.test_points, fitted.averages
    return {
        "draws": fitted.cate,
        "truth": fitted.simulation.test_cate,
        "covariates": points.covariates.values,
        "arm": points.arm,
        "average_draws": averages.draws.astype(np.float32),
        "average_truth": averages.truth,
        "average_share": averages.share,
    }


def _fit(params: Params, planned: PlannedConfig) -> FittedConfig:
    started = time.perf_counter()
    family = make_family(planned.generator_family, params)
    simulation = family.simulate(planned.seed, planned.knobs, planned.n_visitors, params.scoring.n_test)
    simulated = time.perf_counter()
    posterior = make_estimator(params).fit(simulation.trial, planned.seed)
    fitted = time.perf_counter()
    cate = posterior.cate(simulation.test_points)
    predicted = time.perf_counter()
    seconds = {
        "simulate_seconds": simulated - started,
        "fit_seconds": fitted - simulated,
        "predict_seconds": predicted - fitted,
        "wall_seconds": predicted - started,
    }
    averages = _averages(simulation, posterior, params.scoring.n_average)
    return FittedConfig(simulation, posterior, cate, averages, seconds)


def summarise(planned: PlannedConfig, fitted: FittedConfig) -> dict[str, Any]:
    """Return the summary of a fit, as plain JSON values."""
    import jax

    simulation, posterior = fitted.simulation, fitted.posterior
    effects, ranks = _average_effects(fitted.averages)
    return {
        "schema": SUMMARY_SCHEMA,
        "config_id": planned.config_id,
        "key": planned.key,
        "config": {
            "index": planned.index,
            "seed": planned.seed,
            "n_visitors": planned.n_visitors,
            "generator_family": planned.generator_family,
            "template": planned.template,
            "knobs": dict(planned.knobs),
        },
        "metrics": score_fit(fitted.cate, simulation.test_cate),
        "effects": effects,
        "ranks": {**ranks, **_other_ranks(fitted)},
        "diagnostics": {**posterior.diagnostics(), **describe(simulation)},
        "timings": dict(fitted.seconds),
        "device": jax.devices()[0].device_kind,
        "versions": numeric_versions(),
    }


def describe(simulation: Simulation) -> dict[str, float | int]:
    """Return what can be seen of a trial without its truth: the regime a correction is fitted in."""
    trial = simulation.trial
    return {
        "n_arms": trial.n_arms,
        "n_converted": int(trial.converted.sum()),
        "conversion_rate": trial.conversion_rate,
        "severity_sd": trial.severity_sd,
    }


def _averages(simulation: Simulation, posterior: Posterior, n_average: int) -> Averages:
    """Return the average effects over the first ``n_average`` visitors, truth and draws alike."""
    some = slice(n_average)
    covariates = simulation.trial.covariates.take(some)
    segments = (everybody(covariates), *segments_of(covariates))
    return Averages(
        share=np.array([segment.member.mean() for segment in segments]),
        truth=average_effects(simulation.visitor_cate[some], segments),
        draws=posterior.average_cate(covariates, segments),
    )


def _average_effects(averages: Averages) -> tuple[dict[str, float], dict[str, int]]:
    """Return the ATEs with their truths, the share of segments covered, and the ATEs' ranks."""
    truth, draws = averages.truth, averages.draws
    lower, upper = np.quantile(draws, [(1 - EFFECT_LEVEL) / 2, (1 + EFFECT_LEVEL) / 2], axis=-1)
    covered = (lower <= truth) & (truth <= upper)
    effects = {"segment_coverage_90": float(covered[1:].mean())}
    ranks = {}
    for k in range(truth.shape[1]):
        name = f"ate_{k + 1}"
        effects |= {
            f"{name}_truth": float(truth[0, k]),
            f"{name}_mean": float(draws[0, k].mean()),
            f"{name}_sd": float(draws[0, k].std()),
        }
        ranks[name] = int(np.sum(draws[0, k] < truth[0, k]))
    return effects, ranks


def _other_ranks(fitted: FittedConfig) -> dict[str, int]:
    """Return the ranks of the first few test points' CATEs, and of parameters that both sides name."""
    truth, parameters = fitted.simulation.test_cate, fitted.simulation.parameters
    ranks = rank_of(truth[:RANKED_POINTS], fitted.cate[:RANKED_POINTS])
    found = {f"cate_{i}": int(rank) for i, rank in enumerate(ranks)}
    drawn = fitted.posterior.hyperparameters()
    return found | {
        name: int(np.sum(drawn[name] < value)) for name, value in parameters.items() if name in drawn
    }

"""The exploration: one sweep after another, each saved as an experiment as soon as it is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sbcflow.errors import ParamsError
from sbcflow.experiment.frames.rows import Row
from sbcflow.experiment.git.store import storing
from sbcflow.experiment.states import State
from sbcflow.explore.names import log_path
from sbcflow.explore.plan import PlannedExperiment, plan_experiments
from sbcflow.explore.record import (
    Baseline,
    check_baseline,
    metrics_of,
    open_baseline,
    save_failure,
    save_sweep,
    saved,
)
from sbcflow.explore.result import SHOWN_METRICS, Explored, Outcome
from sbcflow.explore.shared import share_fits
from sbcflow.explore.workflow import check_workflow, logs, run_sweep
from sbcflow.files import read_json
from sbcflow.params import PARAMS_FILE
from sbcflow.sweep.layout import run_dir, sweep_metrics_path

Say = Callable[[str], None]


def _quiet(_: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class _Exploration:
    baseline: Baseline
    jobs: int | None
    say: Say


def explore(
    sets: Mapping[str, Sequence[Any]],
    *,
    jobs: int | None = None,
    params: Path | str = PARAMS_FILE,
    say: Say = _quiet,
) -> list[Explored]:
    """Run an exploratory sweep for every combination of values, and save each as an experiment.

    Runs in the project's folder, on the commit HEAD. Everything is checked before anything is written. A
    sweep that fails is saved as failed, with its log, and the rest go on. A combination whose experiment
    is there and did not fail is kept as it is; fits that any sweep under runs/ has made are not made again.

    Args:
        sets: the values of each key of the params file, by dotted key.
        jobs: how many fits run at once; by default what Snakemake's profile says, which is one a core.
        params: the params file that the values are set in.
        say: what gets a line whenever something has happened.

    Raises:
        ParamsError: a key is unknown, a value not allowed, or two combinations are the same sweep.
        RepositoryError: this is not DVC's root in a Git repository with a commit; or a disk is full.
        ArtifactError: the workflow is not here, or a finished sweep cannot be read.
        ConflictError: another process is saving one of the experiments.
        KeyboardInterrupt: it was stopped; what was saved and fitted stays.
    """
    if jobs is not None and jobs < 1:
        raise ParamsError(f"jobs: must be 1 or more, got {jobs}")
    check_workflow()
    exploration = _Exploration(open_baseline(), jobs, say)
    planned = plan_experiments(sets, params)
    for one in planned:
        check_baseline(exploration.baseline, one)
    return _explore_all(exploration, planned)


def _explore_all(exploration: _Exploration, planned: Sequence[PlannedExperiment]) -> list[Explored]:
    results: list[Explored] = []
    try:
        for one in planned:
            exploration.say(f"{len(results) + 1} of {len(planned)}: {one.name}")
            with storing(f"exploring {one.name}"):
                results.append(_explore_one(exploration, one))
            exploration.say(f"{one.name}: {_summary(results[-1])}")
    except KeyboardInterrupt:
        exploration.say(
            f"stopped after {len(results)} of {len(planned)}; the same command goes on from there"
        )
        raise
    return results


def _explore_one(exploration: _Exploration, planned: PlannedExperiment) -> Explored:
    if kept := _kept(exploration.baseline, planned):
        return kept
    started = time.perf_counter()
    n_shared = share_fits(planned)
    reason = run_sweep(planned, exploration.jobs, exploration.say)
    # Another process may have saved it meanwhile.
    if kept := _kept(exploration.baseline, planned):
        return kept
    outcome = Outcome.SAVED if reason is None else Outcome.FAILED
    metrics = read_json(sweep_metrics_path("exploratory", planned.sweep.id)) if reason is None else {}
    sha = _save(exploration.baseline, planned, reason, metrics)
    seconds = time.perf_counter() - started
    return _result(planned, sha, outcome, reason, metrics, n_shared=n_shared, seconds=seconds)


def _kept(baseline: Baseline, planned: PlannedExperiment) -> Explored | None:
    row = saved(baseline, planned.name)
    if row is None or not _is_done(row):
        return None
    return _result(planned, str(row.sha), Outcome.KEPT, None, metrics_of(row))


def _save(
    baseline: Baseline, planned: PlannedExperiment, reason: str | None, metrics: Mapping[str, float]
) -> str:
    if reason is None:
        return save_sweep(baseline, planned, metrics)
    return save_failure(baseline, planned, reason, logs(planned))


def _is_done(row: Row) -> bool:
    return row.state is State.PERSISTED and row.failed is None


def _result(
    planned: PlannedExperiment,
    sha: str,
    outcome: Outcome,
    failed: str | None,
    metrics: Mapping[str, float],
    *,
    n_shared: int = 0,
    seconds: float = 0.0,
) -> Explored:
    return Explored(
        name=planned.name,
        sha=sha,
        values=planned.values,
        outcome=outcome,
        failed=failed,
        metrics=metrics,
        run_dir=run_dir(planned.sweep.id),
        log=log_path(planned.name),
        n_fits=int(metrics.get("n_fits", len(planned.configs))),
        n_shared=n_shared,
        seconds=seconds,
    )


def _summary(result: Explored) -> str:
    if result.failed is not None:
        return f"failed: {result.failed}"
    shown = ", ".join(
        f"{name} {result.metrics[name]:.4g}" for name in SHOWN_METRICS if name in result.metrics
    )
    if result.outcome is Outcome.KEPT:
        return f"is there already: {shown}"
    return f"saved after {result.seconds:.1f} s, {result.n_shared} of {result.n_fits} fits shared: {shown}"

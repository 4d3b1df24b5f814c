"""The experiments of an exploration in the repository: what is there, and what is saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sbcflow.errors import ExperimentNameError, ParamsError, RepositoryError
from sbcflow.experiment import Experiment, remove
from sbcflow.experiment.dvc.artifacts import POINTER_SUFFIX
from sbcflow.experiment.frames.rows import METRICS_PREFIX, Reader, Row
from sbcflow.experiment.git.names import ExperimentRef
from sbcflow.experiment.git.store import Store
from sbcflow.experiment.journal import journal_path
from sbcflow.experiment.params.overrides import apply_overrides
from sbcflow.experiment.states import State
from sbcflow.explore.plan import PlannedExperiment
from sbcflow.params import PARAMS_FILE
from sbcflow.sweep.layout import RUNS, run_dir


@dataclass(frozen=True)
class Baseline:
    """The commit that experiments are compared with, its sha resolved for good."""

    store: Store
    sha: str


def open_baseline() -> Baseline:
    """Return HEAD of the repository here, as the baseline of experiments.

    Raises:
        RepositoryError: no Git repository, no worktree, no commit, no DVC, or not the folder DVC starts from.
    """
    store = Store()
    commit = store.commit("HEAD")
    root = store.dvc_root(commit)
    if store.workdir is None:
        raise RepositoryError(f"{store.folder}: a bare repository has no folder for runs; use a clone")
    if (store.workdir / root).resolve() != store.folder:
        raise RepositoryError(f"{store.folder}: not DVC's root; run in {(store.workdir / root).resolve()}")
    return Baseline(store, str(commit.id))


def check_baseline(baseline: Baseline, planned: PlannedExperiment) -> None:
    """Check that the baseline takes an experiment: its values, and the pointer to its run folder.

    Raises:
        ParamsError: its params file lacks a key, as when one was added and not committed.
        RepositoryError: it has no params file, or Git ignores pointers in ``runs/``.
    """
    _check_params(baseline, planned)
    pointer = f"{run_dir(planned.sweep.id)}{POINTER_SUFFIX}"
    root = baseline.store.dvc_root(baseline.store.commit(baseline.sha))
    if baseline.store.repository.path_is_ignored(str(root / pointer)):
        raise RepositoryError(
            f"{pointer}: Git ignores it, so DVC would not see the run that it points to; "
            f"in .gitignore, write the two lines /{RUNS}/* and !/{RUNS}/*{POINTER_SUFFIX} for /{RUNS}/"
        )


def _check_params(baseline: Baseline, planned: PlannedExperiment) -> None:
    commit = baseline.store.commit(baseline.sha)
    text = baseline.store.read(commit.tree, baseline.store.dvc_root(commit) / PARAMS_FILE)
    if text is None:
        raise RepositoryError(f"{PARAMS_FILE}: not in the commit {baseline.sha[:7]}: commit it first")
    try:
        apply_overrides(text, _values(planned), source=PARAMS_FILE)
    except ParamsError as error:
        raise ParamsError(f"the commit {baseline.sha[:7]} cannot take these values: {error}") from None


def saved(baseline: Baseline, name: str) -> Row | None:
    """Return an experiment as it was saved, or None; what a process that died left of one is dropped.

    Raises:
        ConflictError: a living process is saving it.
    """
    ref = ExperimentRef(baseline.sha, name)
    if journal_path(baseline.store, ref).exists():
        _drop(baseline, name)
    tip = dict(baseline.store.experiment_refs()).get(ref)
    return None if tip is None else Reader(baseline.store).row(ref, tip)


def _drop(baseline: Baseline, name: str) -> None:
    # Killed as it began its journal, it is none; what cannot be dropped, the next init names.
    with suppress(ExperimentNameError, RepositoryError):
        left = Experiment.resume(name, baseline=baseline.sha)
        if left.state is not State.PERSISTED:
            left.discard()


def metrics_of(row: Row) -> dict[str, float]:
    """Return the metrics of a saved experiment by name."""
    return {name.removeprefix(METRICS_PREFIX): value for name, value in row.metrics.items()}


def save_sweep(baseline: Baseline, planned: PlannedExperiment, metrics: Mapping[str, float]) -> str:
    """Save an experiment whose sweep is done: params, metrics, its run folder as data; return the sha."""
    with _begin(baseline, planned) as experiment:
        experiment.log_metrics(metrics)
        experiment.log_artifact(run_dir(planned.sweep.id))
        return experiment.save().sha


def save_failure(baseline: Baseline, planned: PlannedExperiment, reason: str, logs: Iterable[Path]) -> str:
    """Save an experiment whose sweep failed: its params, why it failed, and its logs; return the sha."""
    with _begin(baseline, planned) as experiment:
        experiment.fail(reason)
        experiment.log_code(include_untracked=logs)
        return experiment.save().sha


def _begin(baseline: Baseline, planned: PlannedExperiment) -> Experiment:
    if saved(baseline, planned.name) is not None:
        remove(planned.name, baseline=baseline.sha)
    # All values, not only those that were set: params.yaml may have changed while the sweep ran.
    return Experiment.init(
        name=planned.name, baseline=baseline.sha, params=_values(planned), on_error="discard"
    )


def _values(planned: PlannedExperiment) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(planned.text)
    return values

"""The runs that a report is of: an evaluation with the sweeps and corrections that it came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sbcflow import manifest
from sbcflow.calibration.conditional import card as conditional
from sbcflow.calibration.conditional.card import ConditionalCard
from sbcflow.calibration.corrections import Corrections, files_of
from sbcflow.calibration.scorecard import SUMMARY_FILE, TABLE_FILE, Scorecard
from sbcflow.errors import ArtifactError
from sbcflow.files import read_npz
from sbcflow.manifest import MANIFEST_FILE, Manifest
from sbcflow.sweep.layout import AGGREGATE, CONFIGS, DRAWS
from sbcflow.sweep.plan import config_seeds


@dataclass(frozen=True)
class Run:
    """A run folder, what its manifest says, and the run's name, which is the folder's in the end."""

    folder: Path
    manifest: Manifest
    name: str

    @property
    def id(self) -> str:
        """The experiment_id."""
        found: str = self.manifest["experiment_id"]
        return found

    @property
    def about(self) -> dict[str, Any]:
        """What sbcflow says of it: run_kind, files, links and more."""
        found: dict[str, Any] = self.manifest["pytyche"].get("sbcflow", {})
        return found

    @property
    def sweep(self) -> dict[str, Any]:
        """What a sweep says of itself, empty for other runs."""
        found: dict[str, Any] = self.manifest["pytyche"].get("calibration", {})
        return found


@dataclass(frozen=True)
class Sweep:
    """A sweep: its run, and its aggregate.csv."""

    run: Run
    fits: pd.DataFrame

    @property
    def converged(self) -> pd.DataFrame:
        """The fits that converged."""
        return self.fits[self.fits["diagnostics.converged"].astype(bool)]

    def seeds_are_its_own(self) -> bool:
        """Return whether the seeds of the table are those that the master seed makes."""
        told = self.run.sweep
        made = config_seeds(told["master_seed"], told["sweep_kind"], told["n_configs"], told["scales"])
        return list(made) == self.fits["config_seed"].tolist()


@dataclass(frozen=True)
class Lineage:
    """An evaluation and all that it came from; ``n_draws`` is how many draws a fit has.

    ``conditional`` is None of an evaluation by an older sbcflow.
    """

    evaluation: Run
    scorecard: Scorecard
    corrections_run: Run
    corrections: Corrections
    train: Sweep
    test: Sweep
    n_draws: int
    conditional: ConditionalCard | None


def read_run(folder: Path, name: str | None = None) -> Run:
    """Return a run folder; ``name`` is its name where it is not in its place yet.

    Raises:
        ArtifactError: it has no sound manifest.
    """
    return Run(folder, manifest.read(folder / MANIFEST_FILE), name or folder.resolve().name)


def read_lineage(evaluation: Run) -> Lineage:
    """Return an evaluation with its sweeps and corrections, which lie in folders beside it.

    Raises:
        ArtifactError: a run is missing, or a file is missing, altered or not listed in its manifest.
    """
    manifest.check_files(evaluation.folder, TABLE_FILE, SUMMARY_FILE)
    beside = _runs_beside(evaluation.folder)
    links = evaluation.about.get("links", {})
    corrections = _linked(evaluation, beside, "corrections", links.get("corrections"))
    manifest.check_files(corrections.folder, *files_of(corrections.folder))
    test = _read_sweep(_linked(evaluation, beside, "test", links.get("test")))
    return Lineage(
        evaluation=evaluation,
        scorecard=Scorecard.load(evaluation.folder),
        corrections_run=corrections,
        corrections=Corrections.load(corrections.folder),
        train=_read_sweep(_linked(evaluation, beside, "train", links.get("train"))),
        test=test,
        n_draws=_n_draws(test),
        conditional=_conditional(evaluation.folder),
    )


def _conditional(folder: Path) -> ConditionalCard | None:
    if not ConditionalCard.is_in(folder):
        return None
    manifest.check_files(folder, conditional.TABLE_FILE, conditional.SUMMARY_FILE)
    return ConditionalCard.load(folder)


def _runs_beside(folder: Path) -> list[Run]:
    found = []
    for path in sorted(folder.resolve().parent.glob(f"*/{MANIFEST_FILE}")):
        try:
            found.append(read_run(path.parent))
        except ArtifactError:
            continue  # not one of ours; a run that is needed and unsound is then missing, by name
    return found


def _linked(evaluation: Run, beside: list[Run], kind: str, experiment_id: str | None) -> Run:
    """The run of a kind (corrections, train, test) with an id: ids alone may be the same within a second."""
    for run in beside:
        is_kind = kind in (run.about.get("run_kind"), run.sweep.get("sweep_kind"))
        if is_kind and run.id == experiment_id:
            return run
    raise ArtifactError(
        f"{evaluation.folder / MANIFEST_FILE}: names the {kind} run {experiment_id}, which is in no folder "
        "beside it; restore it (dvc pull), or run the evaluation again (dvc repro)"
    )


def _read_sweep(run: Run) -> Sweep:
    manifest.check_files(run.folder, AGGREGATE)
    return Sweep(run, pd.read_csv(run.folder / AGGREGATE))


def _n_draws(test: Sweep) -> int:
    """How many draws a fit has, from the first config's; the estimator is the same in both sweeps."""
    name = f"{CONFIGS}/{test.fits['config_id'].iloc[0]}/{DRAWS}"
    manifest.check_files(test.run.folder, name)
    return int(read_npz(test.run.folder / name)["draws"].shape[1])

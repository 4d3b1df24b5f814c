"""An estimator that is a program of its own, in any language: it is called through files.

``own.estimator`` of params.yaml holds ``command``, as ``[python, fit.py]`` or ``[Rscript, fit.R]``; it is run
in the project's folder, twice or more for a trial:

    COMMAND fit FOLDER        reads trial.csv and request.json, and leaves there whatever it needs later
    COMMAND predict FOLDER    reads points.csv and writes draws.csv: a row a point, a column a draw

So the posterior is drawn once, and each draw of an effect, of whatever point, belongs to one of its draws.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sbcflow.data import Covariates, Segment, TestPoints, Trial
from sbcflow.errors import EstimationError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Program:
    """The settings of ``own.estimator``; ``options`` go to the program as they are, in request.json."""

    command: tuple[str, ...]
    timeout_seconds: float = 600.0
    options: Mapping[str, Any] = field(default_factory=dict)

    def fit(self, trial: Trial, seed: int) -> Posterior:
        """Hand the trial and the seed over, and let the program fit.

        Raises:
            EstimationError: the program cannot be started, takes too long or fails.
        """
        folder = tempfile.TemporaryDirectory(prefix="sbcflow-external-")
        posterior = Posterior(self, folder, trial.n_arms)
        outcome = {"arm": trial.arm, "converted": trial.converted.astype(int), "revenue": trial.revenue}
        _table(trial.covariates).assign(**outcome).to_csv(posterior.path / "trial.csv", index=False)
        features = [
            {"name": one.name, "kind": one.kind, "levels": one.levels} for one in trial.covariates.features
        ]
        request = {"seed": seed, "n_arms": trial.n_arms, "features": features, **self.options}
        (posterior.path / "request.json").write_text(json.dumps(request), encoding="utf-8")
        self.call("fit", posterior.path)
        return posterior

    def call(self, what: str, folder: Path) -> None:
        """Run the program; what goes wrong becomes one line, with the last that it said.

        Raises:
            EstimationError: it cannot be started, takes too long or fails.
        """
        shown = f"{' '.join(self.command)} {what}"
        try:
            done = subprocess.run(
                [*self.command, what, str(folder)],
                capture_output=True,
                text=True,
                timeout=self.timeout_seconds,
                check=False,
            )
        except OSError as error:
            raise EstimationError(f"{shown}: cannot be started: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise EstimationError(f"{shown}: took longer than {self.timeout_seconds} s") from error
        if done.returncode != 0:
            said = done.stderr.strip().splitlines() or ["nothing on standard error"]
            raise EstimationError(f"{shown}: ended with {done.returncode}: {said[-1]}")


@dataclass(frozen=True)
class Posterior:
    """What the program left in its folder, which goes away with this object."""

    program: Program
    folder: tempfile.TemporaryDirectory[str]
    n_arms: int

    @property
    def path(self) -> Path:
        """Where the program reads and writes."""
        return Path(self.folder.name)

    def cate(self, points: TestPoints) -> Array:
        """Return draws (n_points, n_draws), as the program predicts them.

        Raises:
            EstimationError: the program fails, or draws.csv is missing or holds something else.
        """
        _table(points.covariates).assign(arm=points.arm).to_csv(self.path / "points.csv", index=False)
        draws = self.path / "draws.csv"
        draws.unlink(missing_ok=True)
        self.program.call("predict", self.path)
        try:
            return np.loadtxt(draws, delimiter=",", ndmin=2)
        except (OSError, ValueError) as error:
            problem = "is missing" if isinstance(error, FileNotFoundError) else str(error)
            shown = " ".join(self.program.command)
            raise EstimationError(f"{shown} predict: draws.csv: {problem}") from error

    def average_cate(self, covariates: Covariates, segments: tuple[Segment, ...]) -> Array:
        """Return draws (n_segments, K-1, n_draws) by one call for all visitors; sbcflow would make many."""
        n, arms = len(covariates), np.arange(1, self.n_arms, dtype=np.int32)
        everybody = covariates.take(np.tile(np.arange(n), len(arms)))
        draws = self.cate(TestPoints(everybody, np.repeat(arms, n))).reshape(len(arms), n, -1)
        share = np.stack([one.member / one.member.sum() for one in segments])
        return np.einsum("sn,knd->skd", share, draws)


def _table(covariates: Covariates) -> pd.DataFrame:
    """Return the covariates as R or Stan users have them: a column a feature, levels by their names."""
    columns = {}
    for feature, values in zip(covariates.features, covariates.values.T, strict=True):
        named = feature.kind == "categorical"
        columns[feature.name] = (
            np.array(feature.levels)[values.astype(int)] if named else values.astype(np.float64)
        )
    return pd.DataFrame(columns)


def build(settings: Mapping[str, Any]) -> Program:
    """Return the estimator; ``own.files`` names the program's files, so that a change of one fits again."""
    return Program(**{**settings, "command": tuple(settings["command"])})

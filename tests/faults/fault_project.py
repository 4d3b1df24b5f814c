"""Sweeps to kill and to damage: a project whose fits take no time and say when they begin.

A sweep is a copy of one that has run, so that no test waits for what it only needs to be there.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from workflow_project import Project, make_project

RUN = "runs/smoke-train"
N_TRAIN, N_TEST = 4, 2
N_ALL = N_TRAIN + N_TEST
CORES = 2
# What the estimator writes, and reads, in the project's folder.
BEGUN, HOLD = "fits.log", "hold"
CLEAN = "Data and pipelines are up to date."

Table = list[dict[str, str]]


@dataclass(frozen=True)
class Sweep(Project):
    """A project on the smoke scenario, with fits that take no time and draws kept in both sweeps."""

    @property
    def run_dir(self) -> Path:
        return self.path / RUN

    @property
    def aggregate(self) -> Path:
        return self.run_dir / "aggregate.csv"

    def with_jobs_of(self, n_configs: int) -> Sweep:
        """Return the same with so many configs a job, by a profile, as a cluster would set it."""
        profile = self.path.parent / f"profile-{n_configs}"
        profile.mkdir(exist_ok=True)
        config = {"cores": CORES, "config": [f"configs_per_job={n_configs}"]}
        (profile / "config.yaml").write_text(json.dumps(config))
        return replace(self, env=self.env | {"SNAKEMAKE_PROFILE": str(profile)})

    def copy(self, folder: Path) -> Sweep:
        """Return a copy in ``folder``, in which no fit has begun."""
        folder.mkdir(exist_ok=True)
        shutil.copytree(self.path, folder / "project", symlinks=True)
        return _sweep(Project(folder / "project", self.env))

    def table(self, run: str = RUN) -> Table | None:
        """The rows of a sweep's table as text, less how long each took; None where there is no table."""
        path = self.path / run / "aggregate.csv"
        if not path.exists():
            return None
        with path.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        return [{name: text for name, text in row.items() if name != "wall_seconds"} for row in rows]

    def summaries(self) -> dict[str, tuple[int, int]]:
        """The fits that are done, by config: the inode and time of each summary, which no other one has."""
        found = {path.parent.name: path.stat() for path in self.run_dir.glob("configs/*/summary.json")}
        return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items()}

    def config(self, index: int) -> Path:
        """The folder of a config of the train sweep."""
        (folder,) = self.run_dir.glob(f"configs/{index:04d}-*")
        return folder

    def begun(self) -> Counter[str]:
        """How often a fit began in this folder, by seed."""
        path = self.path / BEGUN
        lines = path.read_text().splitlines() if path.exists() else []
        return Counter(line.split()[0] for line in lines)

    def forget(self) -> None:
        """Count fits anew."""
        (self.path / BEGUN).unlink(missing_ok=True)

    def hold(self, more: int = 0) -> None:
        """Let fits wait from now on, once so many more are done."""
        done = len(list(self.path.glob("runs/*/configs/*/summary.json")))
        (self.path / HOLD).write_text(f"{done + more} 0")

    def release(self) -> None:
        """Let fits go on."""
        (self.path / HOLD).unlink(missing_ok=True)

    def leftovers(self) -> list[str]:
        """Hidden files in what the pipeline makes: parts of files that a killed writer left."""
        return [str(path) for part in ("runs", "metrics") for path in (self.path / part).rglob(".*")]


def make_sweep(folder: Path, compilation_cache: Path) -> Sweep:
    """Make a project whose four stages have run, and commit it."""
    project = make_project(folder, compilation_cache)
    project.use_difference_estimator()
    project.set_param("train_sweep.n_configs", N_TRAIN)
    project.set_param("train_sweep.save_samples", "true")
    sweep = _sweep(project)
    assert sweep.with_jobs_of(N_TRAIN).repro() == N_ALL
    sweep.commit("reproduce")
    return sweep


def _sweep(project: Project) -> Sweep:
    home = Path(project.env["HOME"])
    env = {
        "PYTHONPATH": str(project.path / "src"),
        # Else DVC's memory of what lay in a path is shared with whatever lay there before.
        "DVC_SITE_CACHE_DIR": str(home / "site" / os.urandom(4).hex()),
    }
    sweep = Sweep(project.path, project.env | env).with_jobs_of(1)
    sweep.forget()
    return sweep

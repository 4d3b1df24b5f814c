"""A sweep to a precision through DVC and Snakemake: it ends where its fits say, however it got there."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from workflow_project import Project, count_fits, make_project

TRAIN = "runs/smoke-train"
TARGET = "{level: 0.5, half_width: 0.3, max_configs: 60}"


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, compilation_cache: Path) -> Project:
    """A project whose fits take no time, and whose train sweep is one to a precision."""
    project = make_project(tmp_path_factory.mktemp("precision"), compilation_cache)
    project.use_difference_estimator()
    project.set_param("generators.v2.templates", "[constant, reversal]")
    project.set_param("train_sweep.precision", TARGET)
    project.commit("to a precision")
    return project


@pytest.fixture(scope="module")
def reached(target: Project) -> tuple[Project, str]:
    """The same after ``dvc repro train_sweep``, with what that said."""
    said = target.run("dvc", "repro", "train_sweep").stdout
    target.commit("reached")
    return target, said


def test_it_takes_what_it_needs_and_says_so(reached: tuple[Project, str]) -> None:
    project, said = reached
    precision = _sbcflow_of(project)["precision"]
    n_configs = precision["n_configs"]
    assert count_fits(said) == len(_table(project)) == len(_configs(project)) == n_configs
    assert len(precision["looks"]) == said.count("of +-0.3") - 1 > 1
    assert f"precision reached after {len(precision['looks'])} looks: {n_configs} configs" in said
    assert precision["reached"] and precision["half_width"] <= precision["wanted_half_width"] == 0.3
    assert precision["upper"] - precision["lower"] == pytest.approx(2 * precision["half_width"])
    assert _manifest(project)["pytyche"]["calibration"]["n_configs"] == n_configs
    metrics = json.loads(project.text("metrics/train_sweep.json"))
    assert (metrics["precision_reached"], metrics["precision_n_configs"]) == (1, n_configs)
    assert precision["lower"] <= metrics["coverage_50"] <= precision["upper"]


def test_a_second_run_fits_nothing(reached: tuple[Project, str]) -> None:
    project, _ = reached
    before = project.text(f"{TRAIN}/aggregate.csv")
    assert project.repro("train_sweep") == 0
    said = project.run("snakemake", "train_sweep").stdout
    assert count_fits(said) == 0 and "checkpoint look" not in said
    assert project.text(f"{TRAIN}/aggregate.csv") == before


def test_what_is_lost_is_fitted_again_and_looked_at_again(reached: tuple[Project, str]) -> None:
    """Also where the record of the look lies there still."""
    project, _ = reached
    before, last = _table(project), _configs(project)[-1]
    for path in sorted((project.path / TRAIN / "configs" / last).iterdir()):
        path.unlink()
    assert project.snakemake("train_sweep") == 1
    assert _table(project) == before


def test_a_tighter_target_adds_to_the_fits_and_back(reached: tuple[Project, str]) -> None:
    project, _ = reached
    table, configs = _table(project), _configs(project)
    project.set_param("train_sweep.precision", "{half_width: 0.2}")
    added = project.repro("train_sweep")
    assert added == len(_configs(project)) - len(configs) > 0
    assert _configs(project)[: len(configs)] == configs
    assert _table(project)[: len(table)] == table
    project.set_param("train_sweep.precision", TARGET)
    assert project.repro("train_sweep") == 0
    assert _configs(project) == configs


def test_most_configs_end_it_as_a_result(reached: tuple[Project, str]) -> None:
    project, _ = reached
    project.set_param("train_sweep.precision", "{half_width: 0.05, max_configs: 30}")
    done = project.run("snakemake", "train_sweep", check=False)
    assert done.returncode != 0
    assert "train_sweep.precision.max_configs: must be at least" in done.stdout
    assert "Traceback" not in done.stdout
    n_configs = len(_configs(project))
    project.set_param("train_sweep.precision", f"{{half_width: 0.2, max_configs: {n_configs + 1}}}")
    said = project.run("snakemake", "train_sweep").stdout
    assert re.search(rf"precision missed at max_configs after \d looks?: {n_configs} configs", said), said
    assert count_fits(said) == 0 and _sbcflow_of(project)["precision"]["reached"] is False
    project.set_param("train_sweep.precision", TARGET)
    assert project.repro("train_sweep") == 0


def test_a_killed_sweep_ends_in_the_same_table(
    reached: tuple[Project, str], tmp_path: Path, compilation_cache: Path
) -> None:
    other = make_project(tmp_path, compilation_cache)
    other.use_difference_estimator()
    other.set_param("generators.v2.templates", "[constant, reversal]")
    other.set_param("train_sweep.precision", TARGET)
    command = ["snakemake", "--config", "configs_per_job=3", "--", "train_sweep"]
    with subprocess.Popen(
        command,
        cwd=other.path,
        env=other.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as running:
        _wait_for_fits(other, 4)
        os.killpg(running.pid, signal.SIGKILL)
    kept = len(_configs(other))
    project, _ = reached
    assert kept >= 4
    other.run(*command)
    assert _table(other) == _table(project)
    assert _configs(other) == _configs(project)


def _wait_for_fits(project: Project, n_fits: int) -> None:
    deadline = time.monotonic() + 120
    while len(list(project.path.glob(f"{TRAIN}/configs/*/summary.json"))) < n_fits:
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def _configs(project: Project) -> list[str]:
    return sorted(path.parent.name for path in project.path.glob(f"{TRAIN}/configs/*/summary.json"))


def _table(project: Project) -> list[str]:
    """The rows of the table, less how long each fit took."""
    return [row.rpartition(",")[0] for row in project.text(f"{TRAIN}/aggregate.csv").splitlines()[1:]]


def _manifest(project: Project) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(project.text(f"{TRAIN}/manifest.json"))
    return manifest


def _sbcflow_of(project: Project) -> dict[str, Any]:
    return _manifest(project)["pytyche"]["sbcflow"]

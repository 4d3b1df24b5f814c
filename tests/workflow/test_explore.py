"""``sbcflow explore`` with real fits: what is run and saved, what a failure leaves, what is not run again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sbcflow.explore.plan import PlannedExperiment, plan_experiments
from sbcflow.sweep.layout import aggregate_path, run_dir, summary_path
from sbcflow.validate import validate
from workflow_project import Project, count_fits

KEY = "exploratory_sweep.n_configs"
COMMAND = """\
import sys
from sbcflow.cli import main
sys.argv[0:1] = ["sbcflow", "explore"]
main()
"""


@pytest.fixture
def planned(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[PlannedExperiment, ...]]:
    """Two sweeps, of two configs and of three, on a commit of their own."""
    project.set_param("exploratory_sweep.generator_family", "v2")
    project.commit("explore v2")
    monkeypatch.chdir(project.path)
    return plan_experiments({KEY: [2, 3]})


def test_only_what_is_missing_is_run(project: Project, planned: tuple[PlannedExperiment, ...]) -> None:
    """One story, since each step needs the state that the last one left."""
    two, three = planned
    broken = project.path / summary_path(three.sweep.id, three.configs[2].config_id)
    broken.parent.mkdir(parents=True)
    broken.write_text("{")  # what a copy that broke off leaves

    results = _explore(project, fits=2, code=1)
    assert [result["outcome"] for result in results] == ["saved", "failed"]
    assert [result["n_shared"] for result in results] == [0, 2]
    _check_saved(project, two, results[0])
    _check_failed(project, three, results[1])

    broken.unlink()
    results = _explore(project, fits=1, code=0)
    assert [result["outcome"] for result in results] == ["kept", "saved"]
    _check_saved(project, three, results[1])
    _check_shared(project, two, three)

    logs = {path: path.stat().st_mtime_ns for path in project.path.glob("logs/explore/*.log")}
    again = _explore(project, fits=0, code=0)
    assert [result["outcome"] for result in again] == ["kept", "kept"]
    assert [result["metrics"] for result in again] == [result["metrics"] for result in results]
    assert {path: path.stat().st_mtime_ns for path in logs} == logs and len(logs) == 2

    _check_dvc(project, planned)


def test_sweeps_to_a_precision_share_their_fits(project: Project) -> None:
    """Each takes as many as it needs, the tighter one those of the other and more."""
    project.use_difference_estimator()
    project.set_param("generators.v2.templates", "[constant, reversal]")
    project.set_param("exploratory_sweep", "{generator_family: v2, precision: {level: 0.5, half_width: 0.4}}")
    project.commit("explore to a precision")
    (project.path / ".git/info/exclude").write_text("fits.log\n")
    wide, tight = _explore(
        project, values="exploratory_sweep.precision.half_width=0.4,0.3", fits=None, code=0
    )
    assert [result["outcome"] for result in (wide, tight)] == ["saved", "saved"]
    assert wide["metrics"]["precision_reached"] == tight["metrics"]["precision_reached"] == 1
    assert tight["n_shared"] == wide["metrics"]["n_fits"] < tight["metrics"]["n_fits"] == tight["n_fits"]
    assert len(project.text("fits.log").splitlines()) == tight["n_fits"]


def _explore(
    project: Project, *, fits: int | None, code: int, values: str = f"{KEY}=2,3"
) -> list[dict[str, Any]]:
    """Run the command on two sweeps; the worktree is as before, and so many fits ran."""
    done = project.run("python", "-c", COMMAND, "--set", values, "--json", check=False)
    assert done.returncode == code, done.stdout
    assert fits is None or count_fits(done.stdout) == fits, done.stdout
    assert project.run("git", "status", "--short").stdout == ""
    lines = done.stdout.splitlines()
    assert "[" in lines, done.stdout
    results: list[dict[str, Any]] = json.loads("\n".join(lines[lines.index("[") : lines.index("]") + 1]))
    return results


def _check_saved(project: Project, planned: PlannedExperiment, result: dict[str, Any]) -> None:
    assert (result["name"], result["values"]) == (planned.name, {KEY: len(planned.configs)})
    assert result["metrics"]["n_fits"] == len(planned.configs)
    assert result["metrics"] == json.loads(project.text(f"{run_dir(planned.sweep.id)}/metrics.json"))
    files = project.run("git", "ls-tree", "-r", "--name-only", result["sha"]).stdout.splitlines()
    assert f"{run_dir(planned.sweep.id)}.dvc" in files
    assert not any(name.startswith("logs/") for name in files)


def _check_failed(project: Project, planned: PlannedExperiment, result: dict[str, Any]) -> None:
    broken = summary_path(planned.sweep.id, planned.configs[2].config_id)
    assert result["failed"].startswith(f"{broken}: not JSON, truncated or altered")
    log = project.run("git", "show", f"{result['sha']}:{result['log']}").stdout
    assert f"error: {result['failed']}" in log
    assert "Experiment-Failed: " in project.run("git", "show", "--no-patch", result["sha"]).stdout


def _check_shared(project: Project, two: PlannedExperiment, three: PlannedExperiment) -> None:
    """Fits of two in the run of three: the same bytes in files of their own, and the run is sound."""
    for one in two.configs:
        source, copy = (project.path / summary_path(run.sweep.id, one.config_id) for run in (two, three))
        assert copy.read_bytes() == source.read_bytes() and copy.stat().st_ino != source.stat().st_ino
    report = validate(project.path / run_dir(three.sweep.id))
    assert report.ok, report.problems


def _check_dvc(project: Project, planned: tuple[PlannedExperiment, ...]) -> None:
    """DVC reads the experiments; one that it applies brings the sweep's values and its fits back."""
    shown = json.loads(project.run("dvc", "exp", "show", "--json").stdout)
    found = {exp["name"]: exp["revs"][0]["data"] for rev in shown for exp in rev["experiments"] or []}
    assert found.keys() == {one.name for one in planned}
    for one in planned:
        metrics = found[one.name]["metrics"]["experiment/metrics.json"]["data"]
        assert metrics["n_fits"] == len(one.configs)
        values = found[one.name]["params"]["params.yaml"]["data"]
        assert values["exploratory_sweep"] == one.sweep.model_dump(mode="json")
    shutil.rmtree(project.path / "runs")
    # This project's pipeline has never run, and DVC says so of every stage: its exit code means nothing.
    project.run("dvc", "exp", "apply", planned[1].name, check=False)
    jobs = project.run("snakemake", "--dry-run", "exploratory_sweep").stdout
    assert str(aggregate_path(planned[1].sweep.id)) in jobs
    assert "rule fit" not in jobs

"""The repository of an exploration: checked before anything runs, and what is in it found again."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from analysis_examples import write_params

from sbcflow.errors import ArtifactError, ConflictError, ParamsError, RepositoryError
from sbcflow.experiment import Experiment
from sbcflow.experiment.git.names import ExperimentRef
from sbcflow.experiment.journal import journal_path
from sbcflow.explore import explore
from sbcflow.explore.names import log_path
from sbcflow.explore.plan import PlannedExperiment, plan_experiments
from sbcflow.explore.record import Baseline, open_baseline, save_failure, save_sweep, saved
from sbcflow.sweep.layout import run_dir

SETS = {"exploratory_sweep.n_configs": [2, 3]}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with params and a workflow, in a Git repository with DVC and one commit."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "ada@example.org")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    folder = tmp_path / "project"
    for name in ("workflow", ".dvc"):
        (folder / name).mkdir(parents=True)
    (folder / "workflow/Snakefile").touch()
    (folder / ".dvc/config").touch()
    (folder / ".dvc/.gitignore").write_text("/cache\n/tmp\n")
    (folder / ".gitignore").write_text("/runs/*\n!/runs/*.dvc\n/logs/\n")
    write_params(folder / "params.yaml")
    monkeypatch.chdir(folder)
    _git("init", "--quiet")
    _git("add", "--all")
    _git("commit", "--quiet", "--message", "start")
    return folder


@pytest.fixture
def baseline(project: Path) -> Baseline:
    assert Path.cwd() == project
    return open_baseline()


@pytest.fixture
def planned(baseline: Baseline) -> PlannedExperiment:
    assert baseline.store.folder == Path.cwd()
    return plan_experiments(SETS)[0]


def _fail(baseline: Baseline, planned: PlannedExperiment, reason: str) -> str:
    log = log_path(planned.name)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(f"error: {reason}\n")
    return save_failure(baseline, planned, reason, [log])


def _succeed(baseline: Baseline, planned: PlannedExperiment) -> str:
    folder = run_dir(planned.sweep.id)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "aggregate.csv").write_text("config_id\n")
    return save_sweep(baseline, planned, {"coverage_90": 0.875, "n_fits": 2})


def test_a_failure_is_kept_with_its_log_until_it_succeeds(
    baseline: Baseline, planned: PlannedExperiment
) -> None:
    head = _git("rev-parse", "HEAD")
    failure = _fail(baseline, planned, "nobody converted")
    row = saved(baseline, planned.name)
    assert row is not None and (row.sha, row.failed, dict(row.metrics)) == (failure, "nobody converted", {})
    assert _git("show", f"{failure}:{log_path(planned.name)}") == "error: nobody converted"
    success = _succeed(baseline, planned)
    row = saved(baseline, planned.name)
    assert row is not None and (row.sha, row.failed) == (success, None)
    assert row.metrics["metrics.coverage_90"] == 0.875
    assert row.params["params.exploratory_sweep.id"] == planned.sweep.id
    assert f"runs/{planned.sweep.id}.dvc" in _git("ls-tree", "-r", "--name-only", success)
    assert (_git("rev-parse", "HEAD"), _git("status", "--short")) == (head, "")


def test_the_values_that_ran_are_saved_whatever_params_yaml_says_by_then(
    project: Path, baseline: Baseline, planned: PlannedExperiment
) -> None:
    write_params(project / "params.yaml")
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("n_knots: 3", "n_knots: 9"))
    success = _succeed(baseline, planned)
    assert "n_knots: 3" in _git("show", f"{success}:params.yaml")


def test_what_a_dead_process_left_is_dropped_and_a_living_one_respected(
    baseline: Baseline, planned: PlannedExperiment
) -> None:
    begun = Experiment.init(name=planned.name, baseline=baseline.sha)
    with pytest.raises(ConflictError, match="in use"):
        saved(baseline, planned.name)
    begun.close()
    assert saved(baseline, planned.name) is None
    torn = journal_path(baseline.store, ExperimentRef(baseline.sha, planned.name))
    torn.parent.mkdir(exist_ok=True)
    torn.write_text('{"event": "in')
    assert saved(baseline, planned.name) is None
    _succeed(baseline, planned)


def test_an_experiment_of_another_baseline_is_another(baseline: Baseline, planned: PlannedExperiment) -> None:
    _succeed(baseline, planned)
    _git("commit", "--quiet", "--allow-empty", "--message", "next")
    assert saved(open_baseline(), planned.name) is None
    assert saved(baseline, planned.name) is not None


def _refused(error: type[Exception], said: str) -> None:
    with pytest.raises(error) as refused:
        explore(SETS)
    assert said in str(refused.value) and "\n" not in str(refused.value)
    assert not Path("runs").exists() and not Path("logs").exists()


def test_outside_of_a_project_nothing_is_written(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(project / ".git")
    _refused(RepositoryError, "not a Git repository")
    _git("init", "--quiet")
    _refused(RepositoryError, "no commit yet")
    _git("commit", "--quiet", "--allow-empty", "--message", "empty")
    _refused(RepositoryError, "no DVC at")
    _git("add", ".dvc")
    _git("commit", "--quiet", "--message", "DVC alone")
    _refused(RepositoryError, "params.yaml: not in the commit")
    monkeypatch.chdir(project / "workflow")
    _refused(ArtifactError, "workflow/Snakefile: no such file")
    (project / "workflow/workflow").mkdir()
    (project / "workflow/workflow/Snakefile").touch()
    _refused(RepositoryError, f"not DVC's root; run in {project}")


def test_a_baseline_that_cannot_take_the_values_is_refused_first(project: Path) -> None:
    text = (project / "params.yaml").read_text()
    (project / "params.yaml").write_text(text.replace("  khat_limit: 0.7\n", ""))
    _git("commit", "--quiet", "--all", "--message", "without")
    (project / "params.yaml").write_text(text)
    _refused(ParamsError, "cannot take these values: params.yaml: no parameter inference.khat_limit")


def test_runs_that_dvc_would_not_see_are_refused_first(project: Path) -> None:
    (project / ".gitignore").write_text("/runs/\n")
    _refused(RepositoryError, "in .gitignore, write the two lines /runs/* and !/runs/*.dvc for /runs/")


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("jobs", [0, -1])
def test_jobs_are_at_least_one(jobs: int) -> None:
    with pytest.raises(ParamsError, match="jobs: must be 1 or more"):
        explore(SETS, jobs=jobs)

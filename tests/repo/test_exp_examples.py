"""The examples of the documentation, each run in a project of its own as the page says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from exp_project import clone, commit_all, dvc, git, make_project

from code_blocks import blocks_of
from sbcflow.errors import ConflictError
from sbcflow.experiment import Experiment, State, best, experiments, pull, push

DOCS = Path(__file__).parents[2] / "docs"
PAGE, EXAMPLES = DOCS / "experiments.md", DOCS / "examples"
DVC_REMOTE = "['remote \"store\"']\n    url = {}\n[core]\n    remote = store\n"
# Runs a script in a process that is killed as its n-th call of log_metrics returns.
KILLED = """
import os, runpy, signal, sys
from sbcflow.experiment import Experiment
left, *sys.argv = int(sys.argv[1]), *sys.argv[2:]
log_metrics = Experiment.log_metrics
def last(self, *args, **kwargs):
    global left
    log_metrics(self, *args, **kwargs)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
Experiment.log_metrics = last
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(folder: Path, *command: str, code: int = 0) -> str:
    """Run a command that ends with ``code``; return what it prints."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == code, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def example(folder: Path, name: str, *words: str) -> str:
    return run(folder, sys.executable, str(EXAMPLES / name), *words)


def killed(folder: Path, after: int, name: str, *words: str) -> None:
    run(folder, sys.executable, "-c", KILLED, str(after), str(EXAMPLES / name), *words, code=-signal.SIGKILL)


def plot(repo: Path, experiment: str, metric: str) -> pd.DataFrame:
    """The plot of a metric in an experiment's commit."""
    ref = f"{experiments(repo).loc[experiment, 'sha']}:experiment/plots/{metric}.tsv"
    rows = [line.split("\t") for line in git(repo, "show", ref).splitlines()]
    return pd.DataFrame(rows[1:], columns=rows[0])


def subjects(repo: Path, experiment: str) -> list[str]:
    return git(repo, "log", "--format=%s", experiments(repo).loc[experiment, "sha"]).splitlines()


def shared(isolated: Path) -> Path:
    """A project whose Git and DVC remotes are folders."""
    repo = make_project(isolated / "repo", reproduced=True)
    (repo / ".dvc/config").write_text(DVC_REMOTE.format(isolated / "store"))
    commit_all(repo, "a remote for data")
    git(repo, "clone", "--quiet", "--bare", ".", str(isolated / "remote.git"))
    git(repo, "remote", "add", "origin", str(isolated / "remote.git"))
    return repo


def test_the_code_and_the_commands_on_the_page_run(isolated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo = shared(isolated)
    monkeypatch.chdir(repo)
    names: dict[str, Any] = {}
    for block in blocks_of(PAGE.read_text()):
        if block.runs and block.language == "python":
            exec(block.text, names)
        elif block.runs:
            run(repo, "bash", "-euc", block.text)
    assert list(names["good"].index) == list(names["same"].index) == ["first"]
    assert names["winner"].name == "first"
    assert list(names["difference"].loc["params.lr", ["HEAD", "first"]]) == [0.1, 0.5]
    assert {"first", "too-fast"} <= set(names["frame"].index)
    assert list(experiments(repo).index) == ["first", "shell"]
    assert "refs/exps/" in git(repo, "ls-remote", "origin")


def test_a_training_script_that_is_killed_goes_on(repo: Path) -> None:
    killed(repo, 7, "train.py", "run", "lr=0.5")
    killed(repo, 18, "train.py", "run", "lr=0.5")
    assert experiments(repo).loc["run", "state"] == State.ACTIVE
    assert "run: 40 epochs" in example(repo, "train.py", "run", "lr=0.5")
    example(repo, "train.py", "whole", "lr=0.5")

    frame = experiments(repo)
    assert list(frame.index) == ["run", "whole"]
    assert list(frame["params.lr"]) == [0.5, 0.5]
    assert frame["metrics.loss"].nunique() == 1
    loss, uninterrupted = plot(repo, "run", "loss"), plot(repo, "whole", "loss")
    assert list(loss["step"]) == [str(step) for step in range(1, 41)]
    assert np.allclose(loss["loss"].astype(float), uninterrupted["loss"].astype(float), rtol=1e-12)
    numbers = [f"Experiment run, checkpoint {number}" for number in (4, 3, 2, 1)]
    assert subjects(repo, "run")[:5] == ["Experiment run", *numbers]
    assert git(repo, "status", "--porcelain") == "?? models/"


def test_a_finished_training_script_does_nothing(repo: Path) -> None:
    first = example(repo, "train.py", "run")
    refs = git(repo, "for-each-ref")
    assert example(repo, "train.py", "run") == first
    assert git(repo, "for-each-ref") == refs


def test_a_training_script_goes_on_at_another_machine(isolated: Path) -> None:
    here = shared(isolated)
    killed(here, 25, "train.py", "run", "lr=0.5")
    assert push(repo=here).names == ["run"]

    there = clone(isolated / "remote.git", isolated / "there")
    assert pull(repo=there).names == ["run"]
    dvc(there, "exp", "apply", "run")
    assert (there / "models/run.npz").exists()
    example(there, "train.py", "run")
    assert list(plot(there, "run", "loss")["step"]) == [str(step) for step in range(1, 41)]
    assert push(repo=there).names == ["run"]

    # What the page says of the machine where it was killed: its journal is of an older state.
    pull(repo=here)
    with pytest.raises(ConflictError, match="moved"):
        Experiment.resume("run", here)
    run(here, "sbcflow", "exp", "remove", "run")
    assert pull(repo=here).names == ["run"]
    assert Experiment.resume("run", here).state is State.PERSISTED


def test_a_sweep_saves_each_combination_and_does_only_what_is_missing(repo: Path) -> None:
    printed = example(repo, "sweep.py")
    frame = experiments(repo)
    assert len(frame) == 6 and set(frame["state"]) == {State.PERSISTED}
    assert set(zip(frame["params.lr"], frame["params.depth"], strict=True)) == {
        (lr, depth) for lr in (0.03, 0.3, 300.0) for depth in (1, 3)
    }
    diverged = frame["params.lr"] == 300
    assert frame["failed"].notna().equals(diverged)
    assert frame["metrics.loss"].isna().equals(diverged)
    winner = best("loss", "min", repo)
    assert winner["metrics.loss"] == frame["metrics.loss"].min()
    assert printed == f"best: {winner.name}, loss {winner['metrics.loss']:.4f}\n"

    run(repo, "sbcflow", "exp", "remove", "lr-0.3-depth-1")
    Experiment.init(repo, "lr-0.3-depth-1").close()
    assert example(repo, "sweep.py") == printed
    again = experiments(repo)
    assert again.loc["lr-0.3-depth-1", "metrics.loss"] == frame.loc["lr-0.3-depth-1", "metrics.loss"]
    others = frame.index.drop("lr-0.3-depth-1")
    assert again.loc[others, "sha"].equals(frame.loc[others, "sha"])


def test_the_notebook_runs_from_top_to_bottom(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = json.loads((EXAMPLES / "notebook.ipynb").read_text())
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in cells)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    monkeypatch.chdir(repo)
    names: dict[str, Any] = {}
    for cell in cells:
        exec("".join(cell["source"]), names)

    experiment, frame, difference = names["experiment"], names["frame"], names["difference"]
    assert experiment.state is State.PERSISTED
    assert experiment.name in experiment._repr_html_()
    assert list(frame.index) == [experiment.name]
    assert frame.loc[experiment.name, "metrics.loss"] == experiment.metrics["loss"] < 0.5
    assert len(plot(repo, experiment.name, "loss")) == 20
    assert list(difference.loc["params.lr", ["HEAD", experiment.name]]) == [0.1, 0.2]
    assert git(repo, "status", "--porcelain") == ""


def test_ci_records_shares_and_judges(isolated: Path) -> None:
    here = shared(isolated)
    # As a job of continuous integration has it: one commit deep, and no branch.
    url = f"file://{isolated / 'remote.git'}"
    git(here, "clone", "--quiet", "--depth", "1", url, str(isolated / "job"))
    job = isolated / "job"
    git(job, "checkout", "--quiet", "--detach")
    script = str(EXAMPLES / "ci.sh")

    passed = run(job, "bash", script, "0.2").splitlines()[0].removeprefix("experiment ")
    assert "is below 0.4" in run(job, "bash", script, "0.4", code=1)
    (job / "train.py").write_text("raise SystemExit('no data')\n")
    assert "no data" in run(job, "bash", script, "0.2", code=1)

    assert len(pull(repo=here).names) == 3
    frame = experiments(here)
    assert set(frame["state"]) == {State.PERSISTED}
    assert frame.loc[passed, "metrics.score"] == pytest.approx(0.3)
    assert list(frame["failed"].dropna()) == ["failed: python train.py"]
    assert set(frame["baseline"]) == {git(here, "rev-parse", "HEAD")}


def test_a_push_that_fails_fails_the_job(isolated: Path) -> None:
    here = shared(isolated)
    git(here, "remote", "set-url", "origin", str(isolated / "nowhere.git"))
    printed = run(here, "bash", str(EXAMPLES / "ci.sh"), "0.2", code=2)
    assert "error: push" in printed and "not allowed" not in printed
    assert list(experiments(here)["failed"]) == [None]


def test_several_repositories_side_by_side(isolated: Path) -> None:
    folders = [make_project(isolated / name, reproduced=True) for name in ("one", "two")]
    for folder, losses in zip(folders, ((0.5, 0.25), (0.125, 0.75)), strict=True):
        for name, loss in zip("ab", losses, strict=True):
            with Experiment.init(folder, name, params={"lr": loss}) as experiment:
                experiment.log_metric("loss", loss)
    printed = example(folders[0], "across.py", "loss", ".", os.path.relpath(folders[1], folders[0]))
    assert "4 experiments in 2 repositories" in printed
    assert ".:b" in printed and "../two:a" in printed
    assert printed.splitlines()[-1] == "best: a of ../two, loss 0.1250"

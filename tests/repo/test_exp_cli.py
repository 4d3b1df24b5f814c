"""``sbcflow exp``: the lifecycle from a shell, each command a process of its own in principle."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from exp_project import git
from typer.testing import CliRunner

from sbcflow.cli import app
from sbcflow.errors import ExperimentNameError, SbcflowError
from sbcflow.experiment.states import Call


def run(repo: Path, *words: str) -> str:
    """Run a command that succeeds; return what it prints."""
    result = CliRunner().invoke(app, ["exp", *words, "--repo", str(repo)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def run_json(repo: Path, *words: str) -> Any:
    """Run a command with ``--json``; return the value that it prints."""
    return json.loads(run(repo, *words, "--json"))


def test_a_whole_life(repo: Path) -> None:
    assert run(repo, "init", "shell", "--set", "lr=0.5") == "shell\n"
    run(repo, "set", "shell", "depth=4")
    run(repo, "log", "shell", "accuracy=0.5", "n=3", "--step", "0")
    first = run_json(repo, "checkpoint", "shell", "-m", "half way")
    logged = run_json(repo, "log", "shell", "accuracy=0.75")
    assert logged == {
        "name": "shell",
        "state": "Active",
        "failed": None,
        "params": {"lr": 0.5, "depth": 4},
        "metrics": {"accuracy": 0.75, "n": 3},
    }
    (repo / "model.bin").write_bytes(b"weights")
    (repo / "notes.txt").write_text("notes\n")
    run(repo, "artifact", "shell", str(repo / "model.bin"))
    run(repo, "code", "shell", "--include-untracked", str(repo / "notes.txt"))
    assert run(repo, "complete", "shell") == "shell: Completed\n"
    saved = run_json(repo, "save", "shell", "--message", "the whole life")
    assert run_json(repo, "save", "shell")["sha"] == saved["sha"]
    assert git(repo, "log", "-2", "--format=%H %s", saved["ref"]).splitlines() == [
        f"{saved['sha']} the whole life",
        f"{first['sha']} half way",
    ]
    names = git(repo, "ls-tree", "--name-only", saved["ref"]).split()
    assert {"model.bin.dvc", "notes.txt"} <= set(names)
    assert git(repo, "show", f"{saved['ref']}:params.yaml") == "lr: 0.5  # learning rate\ndepth: 4"


def test_reading(repo: Path) -> None:
    for name, lr, score in (("low", 0.01, 1.0), ("high", 1.0, 3.0), ("broken", 9.0, 9.0)):
        run(repo, "init", name, "--set", f"lr={lr}")
        run(repo, "log", name, f"score={score}")
        run(repo, "save", name, *(("--failed", "it broke") if name == "broken" else ()))
    run(repo, "init", "begun")
    rows = run_json(repo, "list")
    assert [(row["name"], row["state"]) for row in rows] == [
        ("low", "Persisted"),
        ("high", "Persisted"),
        ("broken", "Persisted"),
        ("begun", "Active"),
    ]
    assert [row["name"] for row in run_json(repo, "list", "--where", "params.lr > 0.5")] == ["high", "broken"]
    assert (rows[0]["params.lr"], rows[0]["params.depth"], rows[-1]["params.lr"]) == (0.01, 3, 0.1)
    assert run_json(repo, "best", "score")[0]["name"] == "high"
    assert run_json(repo, "best", "score", "--mode", "min")[0]["name"] == "low"
    assert run_json(repo, "show", "broken")[0]["failed"] == "it broke"
    assert {row["name"]: row["difference"] for row in run_json(repo, "compare", "low", "high")} == {
        "params.lr": 0.99,
        "metrics.score": 2.0,
    }
    table = run(repo, "list")
    assert (
        "high" in table
        and "params.lr" in table
        and "params.depth" not in table
        and git(repo, "rev-parse", "HEAD") not in table
    )


def test_ending_and_managing(repo: Path) -> None:
    run(repo, "init", "one")
    run(repo, "discard", "one")
    run(repo, "init", "one")
    run(repo, "resume", "one")
    run(repo, "save", "one")
    run(repo, "rename", "one", "two")
    assert [row["name"] for row in run_json(repo, "list")] == ["two"]
    with pytest.raises(ExperimentNameError, match="nothere"):
        run(repo, "remove", "two", "nothere")
    run(repo, "remove", "two")
    assert run(repo, "list") == "none\n"
    assert git(repo, "for-each-ref", "refs/exps") == ""


def test_sharing(repo: Path, isolated: Path) -> None:
    git(repo, "init", "--quiet", "--bare", str(isolated / "remote.git"))
    git(repo, "remote", "add", "origin", str(isolated / "remote.git"))
    run(repo, "init", "one")
    run(repo, "save", "one")
    assert run_json(repo, "push")["names"] == ["one"]
    run(repo, "remove", "one")
    assert run_json(repo, "pull", "origin", "one")["names"] == ["one"]
    assert run(repo, "push", "origin", "one").startswith("experiments: 0; data files: 0\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["save", "none"], "no experiment 'none'"),
        (["set", "one", "lrr=1"], "no parameter lrr"),
        (["log", "one", "score=high"], "'score=high': must be NAME=NUMBER"),
        (["log", "one", "score=nan"], "must be finite"),
        (["log", "done", "score=1"], "log_metrics is not allowed when Persisted; allowed: save"),
        (["init", "one"], "the name is taken"),
        (["best", "score"], "score"),
        (["push"], "origin"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(repo: Path, words: list[str], message: str) -> None:
    run(repo, "init", "one")
    run(repo, "init", "done")
    run(repo, "save", "done")
    with pytest.raises(SbcflowError) as error:
        run(repo, *words)
    assert message in str(error.value)
    command = [
        sys.executable,
        "-c",
        "from sbcflow.cli import main; main()",
        "exp",
        *words,
        "--repo",
        str(repo),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"error: {error.value}\n")


def test_every_call_of_the_lifecycle_has_a_command() -> None:
    shown = CliRunner().invoke(app, ["exp", "--help"]).stdout.replace("│", " ")
    named = {"set_params": "set", "log_metric": "log", "log_metrics": "log", "log_artifact": "artifact"}
    named |= {"log_code": "code", "make_checkpoint": "checkpoint", "fail": "save"}
    for call in Call:
        assert f"\n  {named.get(call, call)} " in shown

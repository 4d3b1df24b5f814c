"""Experiments made through the API, in the hands of DVC's own commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from exp_project import clone, commit_all, dvc, dvc_each, git, make_project

from sbcflow.experiment import Experiment, Saved, experiments, pull, push

DVC_YAML = """\
stages:
  train:
    cmd: python train.py
    deps:
    - train.py
    params:
    - depth
    - lr
    outs:
    - model.bin
    metrics:
    - metrics.json:
        cache: false
"""
TRAIN = """\
import json
from pathlib import Path

import yaml

params = yaml.safe_load(Path("params.yaml").read_text())
Path("model.bin").write_text(f"model of lr {params['lr']}")
Path("metrics.json").write_text(json.dumps({"score": params["lr"] * params["depth"]}))
"""
UP_TO_DATE = "Data and pipelines are up to date."


@pytest.fixture
def project(isolated: Path) -> Path:
    """A project whose one stage makes a model that is data, and metrics that Git keeps; DVC has run it."""
    path = make_project(isolated / "project")
    (path / "dvc.yaml").write_text(DVC_YAML)
    (path / "train.py").write_text(TRAIN)
    (path / ".gitignore").write_text("/model.bin\n")
    dvc_each(path, ["repro", "--quiet"])
    commit_all(path, "the baseline")
    return path


def surroundings(repo: Path) -> tuple[object, ...]:
    """What saving must not change."""
    index = repo / ".git/index"
    words = (["status", "--porcelain"], ["for-each-ref", "refs/heads", "refs/stash", "refs/tags"])
    return (
        *(git(repo, "--no-optional-locks", *word) for word in words),
        (repo / ".git/HEAD").read_bytes(),
        (index.read_bytes(), index.stat().st_ino, index.stat().st_mtime_ns),
        {path: path.read_bytes() for path in repo.iterdir() if path.is_file()},
    )


def train(repo: Path, name: str, lr: float) -> Saved:
    """Do what the stage would, but from Python: all of its outs, a series beside them; worktree as before."""
    model = (repo / "model.bin").read_bytes()
    (repo / "model.bin").unlink()
    (repo / "model.bin").write_text(f"model {name}")
    experiment = Experiment.init(repo, name, params={"lr": lr})
    for step in range(4):
        experiment.log_metric("train/loss", lr / (step + 1), step=step)
    experiment.log_metric("score", lr * 10)
    experiment.log_artifact("model.bin")
    saved = experiment.save()
    (repo / "model.bin").write_bytes(model)
    return saved


def shown(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What ``dvc exp show --json`` tells of the baseline and of each experiment: params and metrics."""
    (_, baseline) = json.loads(text)
    found = {each["name"]: cells(each["revs"][0]) for each in baseline["experiments"] or ()}
    return cells(baseline), found


def cells(state: dict[str, Any]) -> dict[str, Any]:
    """Params and metrics of all files together."""
    assert state["error"] is None
    kinds = [state["data"][kind] for kind in ("params", "metrics")]
    return {key: value for kind in kinds for file in kind.values() for key, value in file["data"].items()}


def test_show_list_and_diff(project: Path) -> None:
    before = surroundings(project)
    with Experiment.init(project, "a", params={"lr": 0.5}) as a:
        a.log_metrics({"score": 5, "train/loss": 0.25}, step=3)
    train(project, "b", 0.7)
    with Experiment.init(project, "empty"):
        pass
    with Experiment.init(project, "chain", params={"depth": 4}) as chain:
        for step in range(3):
            chain.log_metric("score", step, step=step)
            chain.make_checkpoint()
    assert surroundings(project) == before
    show, *lists, diff = dvc_each(
        project,
        ["exp", "show", "--json"],
        ["exp", "list", "--name-only"],
        ["exp", "list"],
        ["exp", "diff", "a", "b", "--json"],
    ).splitlines()
    assert shown(show) == (
        {"depth": 3, "lr": 0.1, "score": pytest.approx(0.3)},
        {
            "a": {"depth": 3, "lr": 0.5, "score": 5, "train": {"loss": 0.25}},
            "b": {"depth": 3, "lr": 0.7, "score": 7, "train": {"loss": 0.175}},
            "empty": {"depth": 3, "lr": 0.1, "score": pytest.approx(0.3)},
            "chain": {"depth": 4, "lr": 0.1, "score": 2},
        },
    )
    assert sorted(lists[:4]) == ["a", "b", "chain", "empty"]
    shas = {ref.rpartition("/")[2]: sha for sha, ref in ref_lines(project)}
    assert sorted(line.strip() for line in lists[5:]) == sorted(
        f"{sha[:7]} [{name}]" for name, sha in shas.items()
    )
    differences = json.loads(diff)
    assert differences["params"] == {"params.yaml": {"lr": pair(0.5, 0.7)}}
    assert differences["metrics"] == {"metrics.json": {"score": pair(5, 7), "train.loss": pair(0.25, 0.175)}}
    assert surroundings(project) == before


def pair(old: float, new: float) -> dict[str, Any]:
    return {"old": pytest.approx(old), "new": new, "diff": pytest.approx(new - old)}


def ref_lines(repo: Path) -> list[list[str]]:
    lines = git(repo, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").splitlines()
    return [line.split() for line in lines if not line.endswith("/EXEC_APPLY")]


def test_apply(project: Path) -> None:
    before = surroundings(project)
    train(project, "better", 0.5)
    assert surroundings(project) == before
    applied = dvc_each(project, ["exp", "apply", "better"], ["checkout"], ["status"])
    assert applied.splitlines()[-1] == UP_TO_DATE
    assert (project / "params.yaml").read_text() == "lr: 0.5  # learning rate\ndepth: 3\n"
    assert json.loads((project / "metrics.json").read_text()) == {"score": 5, "train": {"loss": 0.125}}
    assert (project / "model.bin").read_text() == "model better"
    rows = (project / "experiment/plots/train/loss.tsv").read_text().splitlines()[1:]
    assert [row.split("\t")[:2] for row in rows] == [
        ["0", "0.5"], ["1", "0.25"], ["2", str(0.5 / 3)], ["3", "0.125"]
    ]  # fmt: skip
    assert git(project, "rev-parse", "HEAD") == git(project, "rev-parse", "main")
    metrics, changes, *_ = dvc_each(
        project,
        ["metrics", "show", "--json"],
        ["metrics", "diff", "--json"],
        ["plots", "show", "--out", "shown"],
        ["repro", "--dry"],
    ).splitlines()
    assert json.loads(metrics)[""]["data"]["metrics.json"]["data"] == {"score": 5, "train": {"loss": 0.125}}
    score, loss = (json.loads(changes)["metrics.json"][name] for name in ("score", "train.loss"))
    assert score == pair(0.3, 5) and loss == {"old": None, "new": 0.125}
    html = (project / "shown/index.html").read_text()
    assert '"title": {"text": "train/loss"' in html
    assert all(f'"step": "{step}", "loss": "{0.5 / (step + 1)}"' in html for step in range(4))


def test_applied_data_that_is_only_in_the_cache(project: Path) -> None:
    train(project, "better", 0.5)
    (project / "model.bin").unlink()
    said = dvc_each(project, ["exp", "apply", "better"], ["checkout"], ["status"])
    assert said.splitlines()[-1] == UP_TO_DATE
    assert (project / "model.bin").read_text() == "model better"
    assert "didn't change, skipping" in dvc(project, "repro"), "DVC takes the experiment's word"
    assert (project / "model.bin").read_text() == "model better"


def test_what_was_not_made_is_what_dvc_says_has_changed(project: Path) -> None:
    """The lock still says what the old model was made from: DVC applies the rest, and can make a new one."""
    with Experiment.init(project, "planned", params={"lr": 0.5}) as experiment:
        experiment.log_metric("score", 9)
    dvc(project, "exp", "apply", "planned")
    assert (project / "params.yaml").read_text() == "lr: 0.5  # learning rate\ndepth: 3\n"
    assert json.loads((project / "metrics.json").read_text()) == {"score": 9}
    assert (project / "model.bin").exists()
    said = dvc_each(project, ["status"], ["repro"], ["status"])
    assert "modified:           lr" in said and "modified:           metrics.json" in said
    assert "Running stage 'train'" in said
    assert said.endswith(UP_TO_DATE)
    assert (project / "model.bin").read_text() == "model of lr 0.5"


def test_branch_rename_and_remove(project: Path) -> None:
    saved = {name: train(project, name, lr) for name, lr in (("a", 0.5), ("b", 0.7), ("c", 0.9))}
    before = surroundings(project)
    dvc_each(
        project, ["exp", "rename", "a", "renamed"], ["exp", "remove", "b"], ["exp", "branch", "c", "from-c"]
    )
    frame = experiments(project)
    assert frame["sha"].to_dict() == {"renamed": saved["a"].sha, "c": saved["c"].sha}
    assert frame["params.lr"].to_dict() == {"renamed": 0.5, "c": 0.9}
    assert git(project, "rev-parse", "from-c") == saved["c"].sha
    assert git(project, "fsck", "--strict", "--no-dangling") == ""
    git(project, "branch", "--quiet", "-D", "from-c")
    assert surroundings(project) == before
    assert Experiment.init(project, "b").name == "b", "the name is free again"
    git(project, "checkout", "--quiet", "-b", "onward", saved["c"].ref)
    said = dvc_each(project, ["checkout"], ["status"])
    assert said.splitlines()[-1] == UP_TO_DATE
    assert (project / "model.bin").read_text() == "model c"


def with_remotes(project: Path) -> Path:
    hub = project.parent / "hub.git"
    git(project.parent, "init", "--bare", "--quiet", "--initial-branch=main", str(hub))
    git(project, "remote", "add", "origin", str(hub))
    git(project, "push", "--quiet", "origin", "main")
    set_dvc_remote(project)
    return hub


def set_dvc_remote(project: Path) -> None:
    url = project.parent / "store"
    (project / ".dvc/config.local").write_text(f"[core]\n    remote = s\n['remote \"s\"']\n    url = {url}\n")


def test_a_fresh_clone_pulls_and_applies(project: Path) -> None:
    """Pushed by DVC or by us, pulled by DVC or by us: references, params, metrics and data arrive."""
    hub = with_remotes(project)
    names = ["dvc-dvc", "dvc-ours", "ours-dvc", "ours-ours"]
    saved = {name: train(project, name, 1 + number) for number, name in enumerate(names)}
    before = surroundings(project)
    dvc_each(project, *(["exp", "push", "origin", name] for name in names[:2]))
    assert sorted(push("origin", names[2:], project).names) == names[2:]
    assert surroundings(project) == before
    assert {sha for sha, _ in ref_lines(hub)} == {each.sha for each in saved.values()}
    other = clone(hub, project.parent / "other")
    set_dvc_remote(other)
    before = surroundings(other)
    pulled = pull("origin", ["dvc-ours", "ours-ours"], other)
    assert (sorted(pulled.names), pulled.data, pulled.note) == (["dvc-ours", "ours-ours"], 2, None)
    assert surroundings(other) == before
    for number, name in enumerate(names):
        fetch = [["exp", "pull", "origin", name]] if name.endswith("-dvc") else []
        said = dvc_each(other, *fetch, ["exp", "apply", name], ["checkout", "--force"], ["status"])
        assert said.splitlines()[-1] == UP_TO_DATE, name
        assert (other / "model.bin").read_text() == f"model {name}"
        assert (other / "params.yaml").read_text().startswith(f"lr: {1 + number}")
        assert json.loads((other / "metrics.json").read_text())["score"] == 10 * (1 + number)
    assert {name: experiments(other)["sha"][name] for name in names} == {
        name: each.sha for name, each in saved.items()
    }


def test_experiments_of_dvc_live_beside_ours(project: Path) -> None:
    train(project, "ours", 0.5)
    dvc_each(
        project,
        ["exp", "run", "--quiet", "--name", "theirs", "--set-param", "lr=0.2"],
        ["exp", "run", "--quiet", "--queue", "--name", "queued", "--set-param", "lr=0.3"],
        ["exp", "run", "--quiet", "--run-all"],
    )
    git(project, "checkout", "--quiet", ".")
    train(project, "ours-too", 0.6)
    frame = experiments(project)
    assert frame["params.lr"].to_dict() == {"ours": 0.5, "theirs": 0.2, "queued": 0.3, "ours-too": 0.6}
    assert frame["metrics.score"].to_dict() == {
        "ours": 5,
        "theirs": pytest.approx(0.6),
        "queued": pytest.approx(0.9),
        "ours-too": 6,
    }
    # A commit's time is in whole seconds: "ours" and "theirs" may share one, and then either may come first.
    assert frame["time"].is_monotonic_increasing
    assert frame.index.get_loc("ours") < frame.index.get_loc("queued") < frame.index.get_loc("ours-too")
    _, found = shown(dvc(project, "exp", "show", "--json"))
    assert {name: each["lr"] for name, each in found.items()} == frame["params.lr"].to_dict()
    assert git(project, "fsck", "--strict", "--no-dangling") == ""

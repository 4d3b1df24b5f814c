"""Frames of experiments: which columns and rows, what wins, what differs, across repositories."""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pygit2
import pytest
from pygit2.enums import ObjectType

from sbcflow.errors import ExperimentError, ExperimentNameError, RepositoryError
from sbcflow.experiment.frames.across import Experiments
from sbcflow.experiment.frames.find import find
from sbcflow.experiment.frames.table import best, compare, experiments
from sbcflow.experiment.git.names import ExperimentRef
from sbcflow.experiment.git.store import Store
from sbcflow.experiment.git.tree import File, edit_tree
from sbcflow.experiment.journal import Journal
from sbcflow.experiment.record import Record, write_record
from sbcflow.experiment.states import State

PARAMS = "lr: 0.1\nmodel:\n  depth: 3\n  name: resnet\nlayers: [8, 8]\nday: 2026-05-27\n"
FACTS = ["baseline", "sha", "parent", "state", "failed", "time", "author"]


class Project:
    """A Git repository written through pygit2 alone, with DVC's folder and params."""

    def __init__(self, path: Path, files: Mapping[str, str] | None = None) -> None:
        self.path = path
        self.repository = pygit2.init_repository(str(path), initial_head="main")
        self.seconds = 1_700_000_000
        self.baseline = self.write(
            {".dvc/config": "", "params.yaml": PARAMS} | dict(files or {}), "refs/heads/main"
        )

    def write(
        self,
        files: Mapping[str, str | bytes | None],
        ref: str | None,
        message: str = "by hand",
        parent: str = "",
    ) -> str:
        repository = self.repository
        base = repository[parent].peel(pygit2.Tree) if parent else None
        blobs = {
            path: None
            if text is None
            else File(repository.create_blob(text if isinstance(text, bytes) else text.encode()))
            for path, text in files.items()
        }
        tree, _ = edit_tree(repository, base, blobs)
        self.seconds += 1
        who = pygit2.Signature("Ada", "ada@example.org", self.seconds, 120)
        return str(repository.create_commit(ref, who, who, message, tree, [parent] if parent else []))

    def foreign(self, name: str, files: Mapping[str, str | bytes | None], baseline: str = "") -> str:
        """Add an experiment as dvc writes one: files, and a message of its own."""
        baseline = baseline or self.baseline
        sha = self.write(files, None, "dvc: commit experiment 12ab", baseline)
        self.repository.references.create(str(ExperimentRef(baseline, name)), sha)
        return sha

    def add(
        self,
        name: str,
        params: Mapping[str, Any] | None = None,
        metrics: Mapping[str, Any] | None = None,
        *,
        baseline: str = "",
        files: Mapping[str, str] | None = None,
        state: State = State.PERSISTED,
        failed: str | None = None,
        metrics_file: str = "experiment/metrics.json",
    ) -> str:
        """Add an experiment of ours; the record alone holds the params, so that its use is seen."""
        baseline = baseline or self.baseline
        record = Record(
            message=f"Experiment {name}",
            state=state,
            created="2026-05-27T12:34:56+00:00",
            checkpoint=1,
            folder="experiment",
            metrics=metrics_file,
            params=None if params is None else {"params.yaml": params},
            failed=failed,
        )
        written = {metrics_file: json.dumps(metrics)} if metrics is not None else {}
        sha = self.write(written | dict(files or {}), None, write_record(record), baseline)
        self.repository.references.create(str(ExperimentRef(baseline, name)), sha)
        return sha


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "repo")


@pytest.fixture
def three(project: Project) -> Project:
    """Three experiments of ours: the second is a checkpoint, the third failed."""
    project.add("one", {"lr": 0.2}, {"accuracy": 0.8, "val": {"loss": 2}})
    project.add("two", {"lr": 0.3}, {"accuracy": 0.9, "val": {"loss": 1}}, state=State.ACTIVE)
    project.add("three", {"lr": 0.4}, {"accuracy": 0.99, "val": {"loss": 0}}, failed="OSError: gone")
    return project


def test_columns_and_facts(three: Project) -> None:
    frame = experiments(three.path)
    params = ["lr", "model.depth", "model.name", "layers", "day"]
    assert list(frame.columns) == [
        *FACTS,
        *(f"params.{name}" for name in params),
        "metrics.accuracy",
        "metrics.val/loss",
    ]
    assert frame.index.name == "name" and list(frame.index) == ["one", "two", "three"]
    assert set(frame["baseline"]) == set(frame["parent"]) == {three.baseline}
    assert frame["sha"]["two"] == str(find(Store(three.path), "two")[1])
    assert list(frame["state"]) == ["Persisted", "Active", "Persisted"]
    assert list(frame["failed"]) == [None, None, "OSError: gone"]
    assert set(frame["author"]) == {"Ada"}
    assert frame["time"].iloc[0] == pd.Timestamp(1_700_000_002, unit="s", tz="UTC")


def test_params_are_the_record_s_over_the_baseline_s(three: Project) -> None:
    row = experiments(three.path).loc["two"]
    assert row["params.lr"] == 0.3 and row["params.model.depth"] == 3
    assert row["params.layers"] == [8, 8] and row["params.day"] == "2026-05-27"


def test_params_without_record_come_from_the_files(project: Project) -> None:
    project.add("edited", None, {"a": 1}, files={"params.yaml": "lr: 5\nnew: true\n"})
    project.foreign("by-dvc", {"params.yaml": "lr: 6\n"})
    frame = experiments(project.path)
    assert list(frame["params.lr"]) == [5, 6]
    assert list(frame.filter(like="params.").columns) == ["params.lr", "params.new"]
    assert frame["params.new"].isna().tolist() == [False, True]


def test_other_params_files_are_named(tmp_path: Path) -> None:
    project = Project(
        tmp_path / "repo",
        {
            "dvc.yaml": "params: [conf/model.json]\n",
            "conf/model.json": '{"width": 64}',
            "extra.yaml": "a: 1\n",
        },
    )
    project.foreign("by-dvc", {"conf/model.json": '{"width": 32}'})
    record = {"conf/model.json": {"width": 16}, "extra.yaml": {"b": 2}}
    ours = project.add("ours")
    message = write_record(Record("", State.PERSISTED, "", 1, "experiment", "m.json", record))
    who = project.repository[ours].author
    tree = project.repository[ours].tree.id
    sha = project.repository.create_commit(None, who, who, f"x{message}", tree, [project.baseline])
    project.repository.references.create(str(ExperimentRef(project.baseline, "ours")), sha, force=True)
    frame = experiments(project.path)
    assert frame["params.conf/model.json:width"].to_dict() == {"by-dvc": 32, "ours": 16}
    assert frame.loc["ours", ["params.extra.yaml:a", "params.extra.yaml:b"]].tolist() == [1, 2]
    assert math.isnan(frame["params.extra.yaml:a"]["by-dvc"])


def test_metrics_of_dvc_s_own_experiments(tmp_path: Path) -> None:
    declared = "metrics: [m.json, eval/m.yaml, absent.json]\n"
    project = Project(tmp_path / "repo", {"dvc.yaml": declared})
    project.foreign(
        "x", {"m.json": '{"acc": 0.5, "note": "no number"}', "eval/m.yaml": "acc: 0.25\nf1: {a: 1}\n"}
    )
    frame = experiments(project.path)
    assert frame.filter(like="metrics.").loc["x"].to_dict() == {
        "metrics.acc": 0.5,
        "metrics.eval/m.yaml:acc": 0.25,
        "metrics.f1/a": 1,
    }


def test_a_project_in_a_folder_of_the_repository(tmp_path: Path) -> None:
    project = Project(
        tmp_path / "repo",
        {"sub/.dvc/config": "", "sub/params.yaml": "lr: 7\n", "sub/dvc.yaml": "metrics: [m.json]\n"},
    )
    project.foreign("x", {"sub/m.json": '{"acc": 1}'})
    (project.path / "sub").mkdir()
    assert experiments(project.path)["params.lr"].tolist() == [0.1]
    frame = experiments(project.path / "sub")
    assert frame["params.lr"].tolist() == [7] and frame["metrics.acc"].tolist() == [1]


def test_a_file_that_somebody_broke_hides_nothing_else(project: Project) -> None:
    project.add("good", {"lr": 1}, {"acc": 1})
    project.foreign("bad", {"params.yaml": "a: [", "dvc.yaml": "metrics: 3\n"})
    project.add("worse", {}, None, files={"experiment/metrics.json": "{"})
    with pytest.warns(UserWarning, match="its values are left out") as caught:
        frame = experiments(project.path)
    assert len(caught) == 3
    assert list(frame.index) == ["good", "bad", "worse"]
    assert frame["metrics.acc"].isna().tolist() == [False, True, True]


def test_text_in_another_encoding_is_read(project: Project) -> None:
    who = b"Jos\xe9 <j@x> 1700000000 +0000"
    raw = b"tree %s\nparent %s\nauthor " + who + b"\ncommitter " + who + b"\n\nol\xe9\n"
    tree = project.repository[project.baseline].peel(pygit2.Tree).id
    content = raw % (str(tree).encode(), project.baseline.encode())
    sha = project.repository.write(ObjectType.COMMIT, content)
    project.repository.references.create(str(ExperimentRef(project.baseline, "x")), sha)
    assert experiments(project.path)["author"][0:1].item().startswith("Jos")


def test_large_seeds_stay_exact(project: Project) -> None:
    project.add("a", {"seed": 2**62 + 1}, {})
    project.add("b", {}, {})
    frame = experiments(project.path)
    assert frame["params.seed"]["a"] == 2**62 + 1 and frame["params.seed"]["b"] is None


def test_only_one_baseline(three: Project) -> None:
    later = three.write({"params.yaml": "lr: 9\n"}, "refs/heads/main", "later", three.baseline)
    three.add("four", {}, {}, baseline=later)
    three.add("one", {"lr": 8}, {}, baseline=later)
    assert list(experiments(three.path).index) == ["one", "two", "three", "four", "one"]
    frame = experiments(three.path, baseline="HEAD")
    assert list(frame.index) == ["four", "one"] and list(frame["params.lr"]) == [9, 8]
    assert list(experiments(three.path, "HEAD~1").index) == ["one", "two", "three"]
    with pytest.raises(RepositoryError, match="no commit 'nowhere'"):
        experiments(three.path, "nowhere")


def test_no_experiments(project: Project) -> None:
    frame = experiments(project.path, where="params.lr > 1")
    assert frame.empty and list(frame.columns) == FACTS and frame.index.name == "name"
    assert str(frame["time"].dtype).endswith("UTC]")


def test_unsaved_ones_on_demand(three: Project) -> None:
    store = Store(three.path)
    facts = {"created": "", "base": three.baseline, "code_base": None, "root": ".", "folder": "experiment"}
    for name in ("begun", "done", "two"):
        named = {"baseline": three.baseline, "name": name}
        journal = Journal.claim(store, ExperimentRef(three.baseline, name))
        journal.append("init", **named, **facts, metrics_file="m", tip=None, n_checkpoints=0)
        if name == "done":
            journal.append("failed", reason="out of memory")
            journal.append("complete")
        journal.close()
    assert list(experiments(three.path).index) == ["one", "two", "three"]
    frame = experiments(three.path, unsaved=True)
    assert list(frame.index) == ["one", "two", "three", "begun", "done"]
    assert list(frame["state"])[3:] == ["Active", "Completed"]
    assert frame["failed"]["done"] == "out of memory" and frame["failed"]["begun"] is None
    assert frame["sha"]["begun"] is None and frame["time"].isna().tolist() == [False] * 3 + [True] * 2
    assert best("accuracy", repo=three.path).name == "two"


def test_a_reference_without_its_commit_is_named(project: Project) -> None:
    folder = project.path / ".git/refs/exps" / project.baseline[:2] / project.baseline[2:]
    folder.mkdir(parents=True)
    (folder / "lost").write_text("1" * 40 + "\n")
    with pytest.raises(RepositoryError, match=r"/lost names 1111111, which is no commit"):
        experiments(project.path)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("params.lr > 0.2", ["two", "three"]),
        ("params.lr > .2 and metrics.accuracy <= .9", ["two"]),
        ("metrics.val/loss == 0 or name == 'one'", ["one", "three"]),
        ("0.1 < params.lr < 0.35", ["one", "two"]),
        ("`params.lr` == 0.2", ["one"]),
        ("params.model.name == 'params.lr'", []),
        ("params.model.name.str.startswith('res') and not failed.isna()", ["three"]),
        ("metrics.val/loss / 2 == 1", ["one"]),
        ("state in ['Active']", ["two"]),
        ("time > '2023-01-01' and author == \"Ada\"", ["one", "two", "three"]),
        ({"params.lr": [0.2, 0.4]}, ["one", "three"]),
        ({"params.lr": 0.3, "state": "Active"}, ["two"]),
        ({"failed": None}, ["one", "two"]),
        ({"name": ("one", "two"), "params.layers": [[8, 8]]}, ["one", "two"]),
        ({}, ["one", "two", "three"]),
        (lambda frame: frame["params.lr"] > 0.2, ["two", "three"]),
        (lambda frame: [True, None, False], ["one"]),  # noqa: ARG005
    ],
)
def test_where(three: Project, where: Any, expected: list[str]) -> None:
    assert list(experiments(three.path, where=where).index) == expected


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("params.lrr > 1", "no column 'params.lrr'; the nearest: params.lr"),
        ("params.model.dept > 1", "no column 'params.model.dept'; the nearest: params.model.depth"),
        ("params.model.name.first == 1", "no column 'params.model.name.first'"),
        ("acuracy > 1", "no column 'acuracy'; the nearest: metrics.accuracy"),
        ("`loss` > 1", "no column 'loss'"),
        ("xyzzy > 1", "no column 'xyzzy'; there are baseline, sha, "),
        ({"metrics.acc": 1}, "no column 'metrics.acc'; the nearest: metrics.accuracy"),
        ("params.lr >", "where 'params.lr >': invalid syntax"),
        ("params.lr", "where: must say true or false for each of the 3 experiments"),
        ("author > 1", "where 'author > 1': "),
        ("params.lr > params.model.name", "where 'params.lr > params.model.name': "),
        ("hash(params.lr) > 1", "where 'hash(params.lr) > 1': "),
        ("@pd.x > 1", "no column 'pd'"),
        (lambda frame: True, "where: must say"),  # noqa: ARG005
        (lambda frame: [True], "where: must say"),  # noqa: ARG005
    ],
)
def test_where_that_makes_no_sense(three: Project, where: Any, message: str) -> None:
    with pytest.raises(ExperimentError, match=re.escape(message)):
        experiments(three.path, where=where)


def test_where_with_columns_that_begin_alike(project: Project) -> None:
    project.add("a", {"rate": 1, "rate-max": 2, "rate_min": 3}, {})
    assert len(experiments(project.path, where="params.rate == 1 and params.rate-max == 2")) == 1
    assert len(experiments(project.path, where="params.rate_min - params.rate == 2")) == 1


def test_best(three: Project) -> None:
    row = best("accuracy", repo=three.path)
    assert row.name == "two" and row["params.lr"] == 0.3
    assert best("metrics.val/loss", "min", three.path).name == "two"
    assert best("accuracy", "min", three.path).name == "one"
    assert best("accuracy", repo=three.path, where="state == 'Persisted'").name == "one"


def test_nan_never_wins_and_the_oldest_of_equals_does(project: Project) -> None:
    for name, value in (("a", math.nan), ("b", 1), ("c", 1.0), ("d", None)):
        project.add(name, {}, {"score": value} if value is not None else {"other": math.nan})
    assert best("score", "max", project.path).name == "b"
    assert best("score", "min", project.path).name == "b"
    with pytest.raises(
        ExperimentError, match="no experiment that did not fail has 'other'; metrics: score, other"
    ):
        best("other", repo=project.path)


def test_best_of_what_is_not_there(three: Project) -> None:
    with pytest.raises(ExperimentError, match="the metric 'acc'; metrics: accuracy, val/loss"):
        best("acc", repo=three.path)
    with pytest.raises(ExperimentError, match="mode: max or min, got 'maximum'"):
        best("accuracy", "maximum", three.path)


def test_compare(project: Project) -> None:
    project.add("a", {"lr": 0.5, "model.name": "vgg"}, {"acc": 0.5, "loss": 1, "same": 1, "nan": math.nan})
    project.add("b", {"lr": 1, "extra": True}, {"acc": 0.75, "same": 1.0, "nan": math.nan})
    frame = compare("a", "b", project.path)
    assert list(frame.columns) == ["a", "b", "difference"]
    assert frame["a"].to_dict() == {
        "params.lr": 0.5,
        "params.model.name": "vgg",
        "params.extra": None,
        "metrics.acc": 0.5,
        "metrics.loss": 1,
    }
    assert frame["difference"].dropna().to_dict() == {"params.lr": 0.5, "metrics.acc": 0.25}
    assert frame.loc["params.extra", "b"] is True


def test_compare_with_a_revision(tmp_path: Path) -> None:
    project = Project(tmp_path / "repo", {"dvc.yaml": "metrics: [m.json]\n", "m.json": '{"acc": 0.5}'})
    project.add("a", {"lr": 0.5}, {"acc": 0.75}, files={"params.yaml": PARAMS.replace("0.1", "0.5")})
    frame = compare("HEAD", "a", project.path)
    assert frame["difference"].to_dict() == {"params.lr": 0.4, "metrics.acc": 0.25}
    # A commit of an experiment, by its sha: its record is of a baseline that is not known here.
    sha = str(find(Store(project.path), "a")[1])
    assert compare(sha, "a", project.path).empty
    assert compare("a", "a", project.path).empty
    with pytest.raises(ExperimentNameError, match="no experiment 'b'; there are a"):
        compare("HEAD", "b", project.path)


def test_find(three: Project) -> None:
    store = Store(three.path)
    ref, tip = find(store, "one")
    assert ref == ExperimentRef(three.baseline, "one")
    for name in (str(ref), f"one@{three.baseline[:7]}"):
        assert find(store, name) == (ref, tip)
    assert find(store, "one", baseline="main") == (ref, tip)
    for name, message in {
        "tow": "no experiment 'tow'; the nearest: two",
        "one@0000": "no experiment 'one@0000'",
        "a b/c": "no experiment 'a b/c'",
    }.items():
        with pytest.raises(ExperimentNameError, match=message):
            find(store, name)


def test_find_a_name_that_several_have(three: Project) -> None:
    later = three.write({"x": "y"}, "refs/heads/main", "later", three.baseline)
    three.add("one", {}, {}, baseline=later)
    store = Store(three.path)
    for word in (three.baseline[:7], later[:7]):
        with pytest.raises(ExperimentNameError, match=f"several .* 'one': choose .*one@{word}"):
            find(store, "one")
        assert find(store, f"one@{word}")[0].baseline.startswith(word)
    assert find(store, "one", "HEAD~1")[0].baseline == three.baseline
    with pytest.raises(ExperimentNameError, match=f"no experiment 'two' on baseline {later[:7]}"):
        find(store, "two", "HEAD")


def test_find_one_that_is_not_saved_yet(three: Project) -> None:
    store = Store(three.path)
    Journal.create(store, {"baseline": three.baseline, "name": "begun"}).close()
    with pytest.raises(ExperimentNameError, match="'begun' has not been saved yet"):
        find(store, "begun")


@pytest.fixture
def two_repositories(three: Project, tmp_path: Path) -> tuple[str, str]:
    other = Project(tmp_path / "other", {"params.yaml": "lr: 1\nonly: here\n"})
    other.add("one", {}, {"accuracy": 0.95})
    other.add("solo", {"lr": 2}, {"accuracy": 0.1, "f1": 3})
    return str(three.path), str(other.path)


def test_across_repositories(two_repositories: tuple[str, str]) -> None:
    first, second = two_repositories
    both = Experiments([first, Path(second)])
    frame = both.frame()
    assert list(frame.columns)[:2] == ["repo", "baseline"] and len(both) == len(frame) == 5
    assert list(frame["repo"]) == [first] * 3 + [second] * 2
    assert list(frame["params.lr"]) == [0.2, 0.3, 0.4, 1, 2]
    assert list(both.frame(where="params.lr >= 0.4 and metrics.accuracy > .5").index) == ["three", "one"]
    assert list(both.frame(where={"repo": second}).index) == ["one", "solo"]
    assert list(both.frame(baseline="HEAD").index) == list(frame.index)
    assert [row.name for row in both] == list(frame.index)
    winner = both.best("accuracy")
    assert winner["repo"] == second and winner.name == "one"
    html = both._repr_html_()
    assert html.count("<tr") == 6 + 1 and second in html
    assert repr(both) == f"Experiments([{first!r}, {second!r}])"


def test_compare_across_repositories(two_repositories: tuple[str, str]) -> None:
    first, second = two_repositories
    both = Experiments(two_repositories)
    frame = both.compare("two", "solo")
    assert list(frame.columns) == ["two", "solo", "difference"]
    assert frame["difference"]["params.lr"] == pytest.approx(1.7)
    assert list(both.compare((first, "one"), (second, "one")).columns)[:2] == [
        f"{first}:one",
        f"{second}:one",
    ]
    assert both.compare((second, "HEAD"), (second, "one")).index.tolist() == ["metrics.accuracy"]
    for pair, message in {
        ("one", "two"): "several repositories have an experiment 'one'",
        ("sool", "two"): f"no experiment 'sool' in {first}, {second}; the nearest: solo",
        ((second, "two"), "two"): f"{second}: no experiment 'two'",
        (("elsewhere", "two"), "two"): "elsewhere: not among the repositories",
    }.items():
        with pytest.raises(ExperimentError, match=re.escape(message)):
            both.compare(*pair)


def test_errors_across_repositories_name_the_repository(
    two_repositories: tuple[str, str], tmp_path: Path
) -> None:
    first, second = two_repositories
    with pytest.raises(RepositoryError, match=f"{tmp_path}: not a Git repository"):
        Experiments([first, tmp_path])
    with pytest.raises(ExperimentError, match=f"{first}/.git: the same repository as {first}"):
        Experiments([first, f"{first}/.git"])
    with pytest.raises(ExperimentError, match="at least one"):
        Experiments([])
    only_there = experiments(first)["baseline"].iloc[0]
    with pytest.raises(RepositoryError, match=f"{second}: no commit"):
        Experiments([first, second]).frame(baseline=only_there)


def test_modules_import_without_pandas() -> None:
    import subprocess

    code = (
        "import sys, sbcflow.experiment.manage;"
        "from sbcflow.experiment.frames import across, table;"
        "assert not {'pandas', 'numpy', 'jax', 'dvc'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

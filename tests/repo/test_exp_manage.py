"""Experiments removed, renamed and read in real repositories, with dvc's own beside ours."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pygit2
import pytest
from exp_project import PARAMS, commit_all, dvc_each, environment, git, make_project

from sbcflow.errors import ConflictError, ExperimentNameError, RepositoryError
from sbcflow.experiment.frames.table import best, compare, experiments
from sbcflow.experiment.git.names import ExperimentRef
from sbcflow.experiment.git.store import Store
from sbcflow.experiment.git.tree import File, edit_tree
from sbcflow.experiment.journal import Journal, journal_path
from sbcflow.experiment.manage import remove, rename
from sbcflow.experiment.record import Record, write_record
from sbcflow.experiment.states import State

HOLD = """\
import os, sys
from sbcflow.experiment.journal import Journal
from sbcflow.experiment.git.names import ExperimentRef
from sbcflow.experiment.git.store import Store
journal = Journal.claim(Store(sys.argv[1]), ExperimentRef(sys.argv[2], sys.argv[3]))
journal.append("init", pid=os.getpid(), host="here")
print("held", flush=True)
sys.stdin.read()
"""

DIE_AT_THE_LINK = """\
import os, signal, sys
from sbcflow.experiment.manage import rename
link = os.link
def die(*args, **options):
    if sys.argv[2] == "after":
        link(*args, **options)
    os.kill(os.getpid(), signal.SIGKILL)
os.link = die
rename("one", "better", sys.argv[1])
"""


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    variables = environment(tmp_path)
    for name in [name for name in os.environ if not name.startswith("PYTEST_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return make_project(tmp_path / "repo", reproduced=True)


def add(repo: Path, name: str, lr: float = 0.5, score: float = 1.5) -> ExperimentRef:
    """Write an experiment as ours are: the changed files on the baseline, the record in the message."""
    store = Store(repo)
    baseline = store.commit("HEAD")
    files = {
        "params.yaml": PARAMS.replace("0.1", str(lr)),
        "metrics.json": json.dumps({"score": score}),
    }
    blobs = {path: File(store.repository.create_blob(text.encode())) for path, text in files.items()}
    tree, _ = edit_tree(store.repository, baseline.tree, blobs)
    record = Record(
        message=f"Experiment {name}",
        state=State.PERSISTED,
        created="2026-05-27T12:34:56+00:00",
        checkpoint=0,
        folder="experiment",
        metrics="metrics.json",
        params={"params.yaml": {"lr": lr}},
    )
    who = store.signature("AUTHOR")
    sha = store.repository.create_commit(None, who, who, write_record(record), tree, [baseline.id])
    ref = ExperimentRef(str(baseline.id), name)
    store.repository.references.create(str(ref), sha)
    return ref


def refs(repo: Path) -> dict[str, str]:
    lines = git(repo, "for-each-ref", "--format=%(refname) %(objectname)", "refs/exps").splitlines()
    return dict(line.split(" ") for line in lines)


def names(repo: Path) -> set[str]:
    return {name.rpartition("/")[2] for name in refs(repo)}


def left_behind(repo: Path) -> list[str]:
    """Return the files that an operation may have forgotten in the Git folder."""
    files = [path.relative_to(repo / ".git") for path in (repo / ".git").rglob("*") if path.is_file()]
    return [str(path) for path in files if "sbcflow" in str(path) or path.suffix == ".lock"]


@pytest.mark.parametrize("packed", [False, True])
def test_remove(repo: Path, packed: bool) -> None:
    add(repo, "one")
    add(repo, "two")
    if packed:
        git(repo, "pack-refs", "--all", "--prune")
    remove("one", repo)
    assert names(repo) == {"two"}
    remove("two", repo)
    assert refs(repo) == {} and left_behind(repo) == []
    assert not (repo / ".git/refs/exps").exists()
    assert git(repo, "status", "--porcelain") == ""
    with pytest.raises(ExperimentNameError, match="no experiment 'two'; there are none"):
        remove("two", repo)


@pytest.mark.parametrize("packed", [False, True])
def test_rename(repo: Path, packed: bool) -> None:
    old = add(repo, "one")
    before = refs(repo)[str(old)]
    if packed:
        git(repo, "pack-refs", "--all", "--prune")
    rename("one", "better", repo)
    assert refs(repo) == {str(ExperimentRef(old.baseline, "better")): before}
    assert left_behind(repo) == [] and git(repo, "status", "--porcelain") == ""
    git(repo, "fsck", "--strict")


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_a_killed_rename_leaves_is_cleaned_up(repo: Path, when: str) -> None:
    old = add(repo, "one")
    add(repo, "two", lr=0.25)
    before = refs(repo)
    command = [sys.executable, "-c", DIE_AT_THE_LINK, str(repo), when]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    new = ExperimentRef(old.baseline, "better")
    left = f"sbcflow/better@{old.baseline}"
    assert sorted(left_behind(repo)) == [f"{left}.journal", f"{left}.ref"]
    assert refs(repo) == before | ({str(new): before[str(old)]} if when == "after" else {})
    if when == "after":
        with pytest.raises(ExperimentNameError, match="name 'better': taken"):
            rename("two", "better", repo)
        rename("better", "best", repo)
    else:
        with pytest.raises(ExperimentNameError, match="no experiment 'better'"):
            remove("better", repo)
        rename("two", "better", repo)
        assert refs(repo)[str(new)] == before[str(ExperimentRef(old.baseline, "two"))]
    assert refs(repo)[str(old)] == before[str(old)] and left_behind(repo) == []


def test_of_several_with_one_name_one_is_chosen(repo: Path) -> None:
    first = add(repo, "one")
    (repo / "params.yaml").write_text("lr: 1\ndepth: 3\n")
    commit_all(repo, "later")
    second = add(repo, "one")
    for act in (lambda: remove("one", repo), lambda: rename("one", "new", repo)):
        with pytest.raises(ExperimentNameError, match="choose one@"):
            act()
    rename("one", "new", repo, baseline="HEAD")
    remove(f"new@{second.baseline[:7]}", repo)
    assert list(refs(repo)) == [str(first)]
    remove(str(first), repo)
    assert refs(repo) == {}


def test_rename_refuses_what_is_taken_or_not_allowed(repo: Path) -> None:
    one = add(repo, "one")
    add(repo, "two")
    Journal.create(Store(repo), {"baseline": one.baseline, "name": "begun"}).close()
    before = refs(repo)
    for new, message in {
        "two": "name 'two': taken on baseline",
        "one": "name 'one': taken",
        "begun": "name 'begun': taken",
        "a/b": "must not hold '/'",
        "HEAD": "dvc would read it",
        "": "must be a non-empty string",
    }.items():
        with pytest.raises(ExperimentNameError, match=message):
            rename("one", new, repo)
    with pytest.raises(ExperimentNameError, match="no experiment 'three'; there are one, two"):
        rename("three", "four", repo)
    assert refs(repo) == before


def test_one_in_use_is_left_alone(repo: Path) -> None:
    ref = add(repo, "busy")
    command = [sys.executable, "-c", HOLD, str(repo), ref.baseline, ref.name]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ConflictError, match=f"experiment busy: in use: process {holder.pid}"):
            remove("busy", repo)
        with pytest.raises(ConflictError, match="experiment busy: a process is working on it"):
            rename("busy", "other", repo)
        holder.kill()
    assert names(repo) == {"busy"}
    with pytest.raises(ConflictError, match="it was left unsaved; resume it"):
        rename("busy", "other", repo)
    assert journal_path(Store(repo), ref).exists()
    remove("busy", repo)
    assert refs(repo) == {} and left_behind(repo) == []


def test_one_that_git_has_locked_is_left_alone(repo: Path) -> None:
    ref = add(repo, "one")
    lock = repo / ".git" / f"{ref}.lock"
    lock.touch()
    for act in (lambda: remove("one", repo), lambda: rename("one", "two", repo)):
        with pytest.raises(ConflictError, match=r"experiment one: .* cannot be removed"):
            act()
    lock.unlink()
    assert names(repo) == {"one"}


def test_a_removal_that_is_refused_leaves_the_journal_as_it_was(repo: Path) -> None:
    ref = add(repo, "one")
    store = Store(repo)
    with closing(Journal.claim(store, ref)) as journal:
        journal.append("init", baseline=ref.baseline, name=ref.name)
        journal.append("failed", reason="by hand")
    journal.path.write_bytes(journal.path.read_bytes() + b"m\thalf a li")
    before = journal.path.read_bytes()
    lock = repo / ".git" / f"{ref}.lock"
    lock.touch()
    with pytest.raises(ConflictError, match="cannot be removed"):
        remove("one", repo)
    assert journal.path.read_bytes() == before
    lock.unlink()
    remove("one", repo)
    assert refs(repo) == {} and left_behind(repo) == []


def test_one_that_moves_meanwhile_is_left_alone(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ref = add(repo, "one")
    tip, moved = pygit2.Oid(hex=Store(repo).tip(ref)), Store(repo).commit("HEAD").id

    def find_and_move(store: Store, *_: object) -> tuple[ExperimentRef, pygit2.Oid]:
        store.repository.references.create(str(ref), moved, force=True)
        return ref, tip

    monkeypatch.setattr("sbcflow.experiment.manage.find", find_and_move)
    for act in (lambda: remove("one", repo), lambda: rename("one", "two", repo)):
        with pytest.raises(ConflictError, match="another process moved it"):
            act()
        assert refs(repo) == {str(ref): str(moved)}


def test_many_rename_one_to_one_name(repo: Path) -> None:
    for number in range(8):
        add(repo, f"e{number}", score=number)
    before = set(refs(repo).values())
    outcomes: list[str] = []

    def attempt(number: int) -> None:
        try:
            rename(f"e{number}", "winner", repo)
            outcomes.append("renamed")
        except (ConflictError, ExperimentNameError):
            outcomes.append("refused")

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused"] * 7 + ["renamed"]
    assert set(refs(repo).values()) == before and "winner" in names(repo) and len(names(repo)) == 8
    assert left_behind(repo) == []


def test_a_bare_clone(repo: Path, tmp_path: Path) -> None:
    add(repo, "one")
    bare = tmp_path / "bare.git"
    git(repo, "clone", "--quiet", "--mirror", str(repo), str(bare))
    rename("one", "two", bare)
    assert experiments(bare)["metrics.score"].to_dict() == {"two": 1.5}
    remove("two", bare)
    assert experiments(bare).empty


def test_a_second_worktree_sees_the_same(repo: Path, tmp_path: Path) -> None:
    add(repo, "one")
    git(repo, "worktree", "add", "--quiet", str(tmp_path / "second"))
    rename("one", "two", tmp_path / "second")
    assert names(repo) == {"two"}
    assert list(experiments(tmp_path / "second").index) == ["two"]


def test_outside_of_git(tmp_path: Path) -> None:
    for act in (
        lambda: remove("x", tmp_path),
        lambda: rename("x", "y", tmp_path),
        lambda: experiments(tmp_path),
    ):
        with pytest.raises(RepositoryError, match="not a Git repository"):
            act()


def test_dvc_s_own_experiments_are_read_renamed_and_removed(repo: Path) -> None:
    add(repo, "ours", lr=0.5, score=1.5)
    (repo / "params.yaml").write_text(PARAMS.replace("0.1", "0.25"))
    dvc_each(repo, ["repro", "--quiet"], ["exp", "save", "--name", "theirs"])
    frame = experiments(repo)
    assert frame["params.lr"].to_dict() == {"ours": 0.5, "theirs": 0.25}
    assert frame["params.depth"].to_dict() == {"ours": 3, "theirs": 3}
    assert frame["metrics.score"].to_dict() == {"ours": 1.5, "theirs": 0.75}
    assert frame["state"].to_dict() == {"ours": "Persisted", "theirs": "Persisted"}
    assert set(frame["parent"]) == {git(repo, "rev-parse", "HEAD")}
    assert best("score", "min", repo).name == "theirs"
    assert compare("HEAD", "theirs", repo)["theirs"].to_dict() == {"params.lr": 0.25, "metrics.score": 0.75}

    rename("theirs", "mine", repo)
    listed = dvc_each(repo, ["exp", "rename", "ours", "yours"], ["exp", "list", "--name-only"])
    assert {"mine", "yours"} <= set(listed.split())
    shown = json.loads(dvc_each(repo, ["exp", "show", "--json"]))
    assert {one["name"] for one in shown[1]["experiments"]} == {"mine", "yours"}
    remove("mine", repo)
    assert list(experiments(repo).index) == ["yours"]
    assert dvc_each(repo, ["exp", "list", "--name-only"]).split()[-1] == "yours"

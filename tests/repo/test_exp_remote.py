"""Experiments and their data through real remotes, alone and together with DVC's own push and pull."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from exp_project import clone, commit_all, commit_experiment, dvc_each, environment, git, make_project

from sbcflow.errors import ConflictError, ExperimentNameError, RemoteError
from sbcflow.experiment.dvc.artifacts import cache_artifact, ignore, pointer
from sbcflow.experiment.git.store import Store
from sbcflow.experiment.journal import Journal
from sbcflow.experiment.remote import Transferred, known_remotes, pull, push

LR = {"params.yaml": b"lr: 0.2\ndepth: 3\n"}
REJECTING_HOOK = "#!/bin/sh\necho no experiments on Fridays >&2\nexit 1\n"


@pytest.fixture
def ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that was pushed to the bare repository ``hub.git``, without a DVC remote."""
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    project = make_project(tmp_path / "ours", reproduced=True)
    git(tmp_path, "init", "--bare", "--quiet", "--initial-branch=main", "hub.git")
    git(project, "remote", "add", "origin", str(tmp_path / "hub.git"))
    git(project, "push", "--quiet", "origin", "main")
    return project


@pytest.fixture
def theirs(ours: Path, tmp_path: Path) -> Path:
    """Another clone of the bare repository."""
    return clone(tmp_path / "hub.git", ours.parent / "theirs")


def refs(repo: Path) -> dict[str, str]:
    return {ref.name: str(oid) for ref, oid in Store(repo).experiment_refs()}


def state(repo: Path) -> tuple[object, ...]:
    """Return what no push or pull may change."""
    index, head = repo / ".git/index", repo / ".git/HEAD"
    files = {path: path.read_bytes() for path in repo.iterdir() if path.is_file()}
    kept = (index.read_bytes(), index.stat().st_ino, head.read_bytes(), (repo / ".git/FETCH_HEAD").exists())
    return files, kept, git(repo, "for-each-ref", "refs/heads", "refs/stash", "refs/tags")


def data_files(project: Path) -> dict[str, bytes]:
    """Log the project's folder ``data``; return the files that point to it."""
    artifact = cache_artifact(project, project / "data")
    return {artifact.pointer_path: pointer(artifact), artifact.gitignore_path: ignore(None, artifact) or b""}


def make_data(project: Path) -> None:
    (project / "data/sub").mkdir(parents=True)
    (project / "data/x").write_text("x")
    (project / "data/sub/ü").write_text("other")


def set_dvc_remote(project: Path, url: Path | str) -> None:
    (project / ".dvc/config.local").write_text(
        f"[core]\n    remote = store\n['remote \"store\"']\n    url = {url}\n"
    )


def test_experiments_go_through_a_bare_repository(ours: Path, theirs: Path, tmp_path: Path) -> None:
    made = {name: commit_experiment(ours, name, LR) for name in ("a", "b", "ünï")}
    before = state(ours), state(theirs)
    assert push(repo=ours) == Transferred(["a", "b", "ünï"])
    assert push(repo=ours) == Transferred([])
    assert pull(repo=theirs, names=["b"]) == Transferred(["b"])
    assert pull(repo=theirs) == Transferred(["a", "ünï"])
    assert refs(ours) == refs(theirs) == refs(tmp_path / "hub.git") == made
    assert (state(ours), state(theirs)) == before
    assert git(theirs, "status", "--short") == "" and git(theirs, "fsck", "--strict") == ""


def test_checkpoints_move_a_reference_on(ours: Path, theirs: Path) -> None:
    first = commit_experiment(ours, "a", LR)
    push(repo=ours)
    pull(repo=theirs)
    second = commit_experiment(ours, "a", {"params.yaml": b"lr: 0.3\ndepth: 3\n"}, parent=first)
    assert pull(repo=ours) == Transferred([]), "ours is ahead and stays"
    assert push(repo=ours) == Transferred(["a"])
    assert pull(repo=theirs) == Transferred(["a"])
    assert refs(ours) == refs(theirs) == {"a": second}


def test_other_work_under_a_name_needs_force(ours: Path, theirs: Path, tmp_path: Path) -> None:
    mine = commit_experiment(ours, "a", LR)
    push(repo=ours)
    other = commit_experiment(theirs, "a", {"params.yaml": b"lr: 9\ndepth: 3\n"})
    commit_experiment(theirs, "new", LR)
    with pytest.raises(RemoteError, match=r"experiment a: origin holds other work .* push with force"):
        push(repo=theirs)
    with pytest.raises(RemoteError, match=r"experiment a: other work is here .* pull with force"):
        pull(repo=theirs)
    assert refs(tmp_path / "hub.git") == {"a": mine}, "all or none"
    assert pull(repo=theirs, names=["a"], force=True) == Transferred(["a"])
    assert refs(theirs)["a"] == mine
    git(theirs, "update-ref", f"refs/exps/{baseline_path(theirs)}/a", other)
    assert push(repo=theirs, force=True) == Transferred(["a", "new"])
    assert refs(tmp_path / "hub.git") == refs(theirs)


def baseline_path(repo: Path) -> str:
    sha = git(repo, "rev-parse", "HEAD")
    return f"{sha[:2]}/{sha[2:]}"


def test_which_experiments_are_meant(ours: Path, theirs: Path) -> None:
    first = git(ours, "rev-parse", "HEAD")
    commit_experiment(ours, "alpha", LR)
    (ours / "note").write_text("x")
    commit_all(ours, "another baseline")
    commit_experiment(ours, "alpha", LR)
    commit_experiment(ours, "beta", LR)
    with pytest.raises(ExperimentNameError, match="several"):
        push(repo=ours, names=["alpha"])
    with pytest.raises(ExperimentNameError, match=r"'alpah'.*alpha"):
        push(repo=ours, names=["alpah"])
    assert push(repo=ours, names=["alpha"], baseline=first) == Transferred(["alpha"])
    assert push(repo=ours, baseline="HEAD") == Transferred(["alpha", "beta"])
    with pytest.raises(ExperimentNameError, match="several experiments on origin"):
        pull(repo=theirs, names=["alpha"])
    with pytest.raises(ExperimentNameError, match="no experiment 'bta' on origin; the nearest: beta"):
        pull(repo=theirs, names=["bta"])
    assert refs(theirs) == {}
    assert pull(repo=theirs, names=[f"alpha@{first[:7]}"]) == Transferred(["alpha"])
    assert git(theirs, "for-each-ref", "--format=%(refname)", "refs/exps").split("/")[2:4] == [
        first[:2],
        first[2:],
    ]


def test_remotes_that_are_not_there(ours: Path, tmp_path: Path) -> None:
    commit_experiment(ours, "a", LR)
    git(ours, "remote", "add", "gone", str(tmp_path / "gone.git"))
    assert known_remotes(Store(ours)) == ["gone", "origin"]
    for call in (push, pull):
        for remote in ("orign", "--all", ""):
            with pytest.raises(RemoteError, match=f"no Git remote '{remote}'; there are: gone, origin$"):
                call(remote, repo=ours)
        for remote in ("gone", str(tmp_path / "gone.git"), "ssh://localhost:1/x"):
            with pytest.raises(RemoteError, match=f"(push to|pull from) {remote}: .*fatal: .+") as caught:
                call(remote, repo=ours, data=False)
            assert "\n" not in str(caught.value)
    git(ours, "remote", "remove", "gone")
    git(ours, "remote", "remove", "origin")
    with pytest.raises(RemoteError, match="there is none: git remote add"):
        push(repo=ours)


def test_nothing_to_push_or_pull(ours: Path) -> None:
    with pytest.raises(RemoteError, match="no experiments: nothing to push"):
        push(repo=ours)
    with pytest.raises(RemoteError, match="no experiments on baseline HEAD: nothing to push"):
        push(repo=ours, baseline="HEAD")
    assert pull(repo=ours) == Transferred([])


def test_a_hook_refuses(ours: Path, tmp_path: Path) -> None:
    commit_experiment(ours, "a", LR)
    theirs, own = tmp_path / "hub.git/hooks/pre-receive", ours / ".git/hooks/pre-push"
    for hook, told in ((theirs, r"a: \[remote rejected\] \(pre-receive hook declined\)"), (own, "Fridays")):
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(REJECTING_HOOK)
        hook.chmod(0o755)
        with pytest.raises(RemoteError, match=told):
            push(repo=ours)
    assert refs(tmp_path / "hub.git") == {}


def test_variables_of_another_repository_do_not_count(
    ours: Path, theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sha = commit_experiment(ours, "a", LR)
    with monkeypatch.context() as set_by_a_hook:
        set_by_a_hook.setenv("GIT_DIR", str(theirs / ".git"))
        assert push(repo=ours) == Transferred(["a"])
    assert refs(tmp_path / "hub.git") == {"a": sha}


def test_an_experiment_in_the_making_is_not_pulled(ours: Path, theirs: Path) -> None:
    first = commit_experiment(ours, "a", LR)
    commit_experiment(ours, "b", LR)
    push(repo=ours)
    store = Store(theirs)
    journal = Journal.create(store, {"name": "a", "baseline": git(theirs, "rev-parse", "HEAD")})
    with pytest.raises(ConflictError, match="experiment a: a process here works on it"):
        pull(repo=theirs, names=["a", "b"])
    assert refs(theirs) == {}
    done = pull(repo=theirs)
    assert (done.names, done.note) == (["b"], "left out, as processes here work on them: a")
    journal.remove()
    assert pull(repo=theirs) == Transferred(["a"]) and refs(theirs)["a"] == first


def test_data_comes_along_and_needs_no_lock(ours: Path, theirs: Path, tmp_path: Path) -> None:
    from dvc.repo import Repo

    make_data(ours)
    commit_experiment(ours, "a", data_files(ours))
    commit_experiment(ours, "b", LR)
    for project in (ours, theirs):
        set_dvc_remote(project, tmp_path / "store")
    before = state(ours), state(theirs)
    with Repo(str(ours)) as repo, repo.lock:
        assert push(repo=ours) == Transferred(["a", "b"], data=3)
        assert push(repo=ours) == Transferred([])
    with Repo(str(theirs)) as repo, repo.lock:
        assert pull(repo=theirs, names=["b"]) == Transferred(["b"])
        assert pull(repo=theirs, names=["a"]) == Transferred(["a"], data=3)
        assert pull(repo=theirs) == Transferred([])
    assert (state(ours), state(theirs)) == before
    said = dvc_each(theirs, ["exp", "apply", "a"], ["checkout", "--quiet"], ["status"])
    assert "up to date" in said
    assert (theirs / "data/sub/ü").read_text() == "other"


def test_a_linked_worktree_and_a_project_in_a_folder(ours: Path, tmp_path: Path) -> None:
    git(ours, "worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    inner = tmp_path / "side/inner"
    (inner / ".dvc").mkdir(parents=True)
    (inner / ".dvc/config").write_text("")
    commit_all(tmp_path / "side", "a project in a folder")
    make_data(inner)
    set_dvc_remote(inner, tmp_path / "store")
    commit_experiment(inner, "a", {f"inner/{path}": text for path, text in data_files(inner).items()})
    assert push(repo=inner / "data/sub") == Transferred(["a"], data=3)
    assert refs(ours) == refs(tmp_path / "hub.git") != {}
    (tmp_path / "store/files/md5").rename(tmp_path / "away")
    assert push(repo=inner, names=["a"]) == Transferred([], data=3), "what the remote lost is pushed again"


def test_dvc_pulls_what_was_pushed(ours: Path, theirs: Path, tmp_path: Path) -> None:
    make_data(ours)
    sha = commit_experiment(ours, "a", data_files(ours))
    for project in (ours, theirs):
        set_dvc_remote(project, tmp_path / "store")
    push(repo=ours)
    dvc_each(theirs, ["exp", "pull", "origin", "a"], ["exp", "apply", "a"], ["checkout", "--quiet"])
    assert refs(theirs) == {"a": sha} and (theirs / "data/x").read_text() == "x"


def test_what_dvc_pushed_is_pulled(ours: Path, theirs: Path, tmp_path: Path) -> None:
    make_data(ours)
    for project in (ours, theirs):
        set_dvc_remote(project, tmp_path / "store")
    save = ["exp", "save", "--quiet", "--include-untracked", "data.dvc", "-n", "saved"]
    dvc_each(ours, ["add", "--quiet", "data"], save, ["exp", "push", "origin", "saved"])
    done = pull(repo=theirs)
    assert done.names == ["saved"] and done.note is None
    dvc_each(theirs, ["exp", "apply", "saved"], ["checkout", "--quiet"])
    assert (theirs / "data/x").read_text() == "x" and refs(theirs) == refs(ours)


def test_data_without_a_dvc_remote_is_told(ours: Path, theirs: Path) -> None:
    commit_experiment(ours, "plain", LR)
    assert push(repo=ours).note is None
    make_data(ours)
    commit_experiment(ours, "a", data_files(ours))
    assert push(repo=ours, data=False) == Transferred(["a"])
    assert push(repo=ours).note == (
        "1 files or folders of data stay in DVC's cache here: DVC has no default remote: "
        "dvc remote add --default"
    )
    assert "1 files or folders of data are not here" in (pull(repo=theirs).note or "")


def test_data_that_is_nowhere_is_told(ours: Path, theirs: Path, tmp_path: Path) -> None:
    (ours / "data").write_text("x")
    commit_experiment(ours, "a", data_files(ours))
    push(repo=ours)
    for project in (ours, theirs):
        set_dvc_remote(project, tmp_path / "store")
    (tmp_path / "store").mkdir()
    done = pull(repo=theirs)
    assert (done.names, done.data) == (["a"], 0)
    assert done.note == "1 data files are neither in DVC's cache here nor on its remote"


def test_data_that_cannot_be_pushed_holds_the_reference_back(ours: Path, tmp_path: Path) -> None:
    make_data(ours)
    commit_experiment(ours, "a", data_files(ours))
    (tmp_path / "file").write_text("not a folder")
    for url in (tmp_path / "file/store", "nosuch://bucket/x", "oss://not-installed/x"):
        set_dvc_remote(ours, url)
        with pytest.raises(RemoteError, match="push of data: ") as caught:
            push(repo=ours)
        assert "\n" not in str(caught.value)
    assert refs(tmp_path / "hub.git") == {}


def test_a_bare_repository_pushes_references(ours: Path, tmp_path: Path) -> None:
    sha = commit_experiment(ours, "a", LR)
    push(repo=ours)
    git(tmp_path, "init", "--bare", "--quiet", "mirror.git")
    done = push(str(tmp_path / "mirror.git"), repo=tmp_path / "hub.git")
    assert done.names == ["a"]
    assert done.note == f"no data was moved: no worktree with a DVC project at {tmp_path}/hub.git or above"
    assert refs(tmp_path / "mirror.git") == {"a": sha}


def test_git_that_is_missing(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit_experiment(ours, "a", LR)
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(RemoteError, match="git cannot be run"):
        push(repo=ours, data=False)

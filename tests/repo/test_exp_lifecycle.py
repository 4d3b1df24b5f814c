"""The life of an experiment in a real repository: what its commit holds, and what stays untouched."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pygit2
import pytest
from exp_project import PARAMS, clone, commit_all, git, make_project
from pygit2.enums import ConfigLevel

from sbcflow.errors import (
    ArtifactError,
    ConflictError,
    ExperimentNameError,
    MetricError,
    ParamsError,
    RepositoryError,
)
from sbcflow.experiment import Experiment, State, persist
from sbcflow.experiment.commit import Commit
from sbcflow.experiment.git.names import ExperimentRef
from sbcflow.experiment.git.store import Store
from sbcflow.experiment.journal import journal_path

NOBODY = 65534


def show(repo: Path, experiment: Experiment, path: str) -> str:
    """A file of the experiment's commit."""
    return git(repo, "show", f"{experiment.ref}:{path}") + "\n"


def surroundings(repo: Path) -> str:
    """What saving must not change: HEAD, branch, index, stash, worktree."""
    words = (
        ["rev-parse", "HEAD"],
        ["symbolic-ref", "-q", "HEAD"],
        ["stash", "list"],
        ["ls-files", "--stage"],
    )
    status = git(repo, "status", "--porcelain", "--ignored")
    return "\n".join([status, *(git(repo, *word) for word in words)])


def git_files(repo: Path) -> dict[str, bytes | None]:
    """Every file and folder under .git apart from objects, with the content of files."""
    root = repo / ".git"
    paths = [path for path in root.rglob("*") if path.relative_to(root).parts[0] != "objects"]
    return {str(path): path.read_bytes() if path.is_file() else None for path in paths}


def test_a_commit_holds_params_metrics_and_plots(repo: Path) -> None:
    with Experiment.init(repo, "first", params={"lr": 0.5}) as experiment:
        for step in range(3):
            experiment.log_metric("train/loss", 1 / (step + 1), step=step, timestamp=1000.5 + step)
        experiment.log_metrics({"accuracy": 0.9, "n": 7})
    assert experiment.state is State.PERSISTED
    assert show(repo, experiment, "params.yaml") == PARAMS.replace("0.1", "0.5")
    assert json.loads(show(repo, experiment, "metrics.json")) == {
        "train": {"loss": 1 / 3},
        "accuracy": 0.9,
        "n": 7,
    }
    assert show(repo, experiment, "experiment/plots/train/loss.tsv") == (
        "step\tloss\ttimestamp\n0\t1.0\t1000.500\n1\t0.5\t1001.500\n2\t0.3333333333333333\t1002.500\n"
    )
    assert "accuracy" not in show(repo, experiment, "experiment/dvc.yaml")
    assert (
        git(repo, "rev-parse", f"{experiment.ref}^") == experiment.baseline == git(repo, "rev-parse", "HEAD")
    )
    assert git(repo, "log", "-1", "--format=%an %s", experiment.ref) == "Ada Experiment first"
    assert git(repo, "fsck", "--strict") == ""


def test_saving_touches_nothing_but_objects_and_the_reference(repo: Path) -> None:
    (repo / "train.py").write_text("# changed\n")
    (repo / "new.txt").write_text("untracked\n")
    git(repo, "add", "new.txt")
    (repo / "scratch.txt").write_text("untracked\n")
    before, files = surroundings(repo), git_files(repo)
    experiment = Experiment.init(repo, params={"lr": 0.5})
    experiment.log_metric("accuracy", 0.9)
    experiment.make_checkpoint()
    experiment.save()
    assert surroundings(repo) == before
    added = {path for path, content in git_files(repo).items() if files.get(path, b"?") != content}
    assert {path.partition(".git/")[2].split("/")[0] for path in added} == {"refs", "sbcflow"}
    assert not list((repo / ".git/sbcflow").iterdir())


@pytest.mark.parametrize("n_checkpoints", [0, 1])
def test_saving_that_fails_at_the_last_step_can_be_tried_again(
    repo: Path, monkeypatch: pytest.MonkeyPatch, n_checkpoints: int
) -> None:
    experiment = Experiment.init(repo, "late")
    for step in range(3):
        experiment.log_metric("loss", step / 10, step=step)
    for _ in range(n_checkpoints):
        experiment.make_checkpoint()

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("sbcflow.experiment.persist.move_ref", fail)
        with pytest.raises(RepositoryError, match="the disk is full"):
            experiment.save()
    with pytest.raises(ConflictError, match="save again, or discard"):
        experiment.log_metric("loss", 0.9)
    experiment.save()
    assert show(repo, experiment, "experiment/plots/loss.tsv").count("\n") == 4
    assert experiment.metrics == {"loss": 0.2}
    assert not list((repo / ".git/sbcflow").iterdir())


def test_saving_again_does_nothing(repo: Path) -> None:
    experiment = Experiment.init(repo)
    first = experiment.save("a message")
    files = sorted(path for path in (repo / ".git").rglob("*"))
    assert experiment.save() == first
    assert sorted(path for path in (repo / ".git").rglob("*")) == files
    assert set(first.timings) == {"objects", "sync", "ref", "total"}
    assert git(repo, "rev-parse", first.ref) == first.sha


@pytest.mark.parametrize("n_checkpoints", [0, 2])
def test_discarding_leaves_git_as_it_was(repo: Path, n_checkpoints: int) -> None:
    Experiment.init(repo, "other").save()
    git(repo, "pack-refs", "--all")
    before = {path: content for path, content in git_files(repo).items() if content is not None}
    experiment = Experiment.init(repo, params={"lr": 0.5})
    for _ in range(n_checkpoints):
        experiment.log_metric("accuracy", 0.9)
        experiment.make_checkpoint()
    experiment.discard()
    assert experiment.state is State.UNINITIALIZED
    assert {path: content for path, content in git_files(repo).items() if content is not None} == before


def test_discarding_the_first_one_leaves_no_folder(repo: Path) -> None:
    before = git_files(repo)
    experiment = Experiment.init(repo)
    experiment.make_checkpoint()
    experiment.discard()
    assert git_files(repo) == before


def test_checkpoints_are_a_chain(repo: Path) -> None:
    experiment = Experiment.init(repo, "chain", params={"lr": 0.5})
    shas = []
    for step in range(3):
        experiment.log_metric("accuracy", step / 10, step=step)
        shas.append(experiment.make_checkpoint(f"step {step}").sha)
    final = experiment.save()
    history = git(repo, "rev-list", final.ref).split()
    assert history[:4] == [final.sha, *reversed(shas)]
    assert history[4] == experiment.baseline
    assert json.loads(git(repo, "show", f"{shas[1]}:metrics.json")) == {"accuracy": 0.1}


def test_the_baseline_never_moves(repo: Path) -> None:
    start = git(repo, "rev-parse", "HEAD")
    experiment = Experiment.init(repo, "steady")
    (repo / "more.txt").write_text("more\n")
    commit_all(repo, "somebody commits meanwhile")
    experiment.save()
    assert git(repo, "rev-parse", f"{experiment.ref}^") == start
    assert str(ExperimentRef(start, "steady")) == experiment.ref


def test_an_older_baseline_gets_no_more_than_the_changes_of_the_worktree(repo: Path) -> None:
    older = git(repo, "rev-parse", "HEAD")
    (repo / "more.txt").write_text("more\n")
    commit_all(repo, "more")
    (repo / "train.py").write_text("# changed\n")
    experiment = Experiment.init(repo, baseline="HEAD~1")
    experiment.save()
    assert experiment.baseline == older
    assert git(repo, "diff", "--name-only", older, experiment.ref).split() == ["train.py"]


def test_code_changes_are_those_of_tracked_files(repo: Path) -> None:
    (repo / "tool.sh").write_text("echo\n")
    (repo / "gone.txt").write_text("gone\n")
    (repo / "link").symlink_to("train.py")
    commit_all(repo, "more files")
    (repo / "tool.sh").write_text("echo changed\n")
    (repo / "tool.sh").chmod(0o755)
    (repo / "gone.txt").unlink()
    (repo / "link").unlink()
    (repo / "link").symlink_to("tool.sh")
    (repo / "staged").mkdir()
    (repo / "staged/new.txt").write_text("staged\n")
    git(repo, "add", "staged/new.txt")
    (repo / "named.txt").write_text("named\n")
    (repo / "other.txt").write_text("never asked for\n")
    experiment = Experiment.init(repo)
    experiment.log_code(include_untracked=["named.txt"])
    experiment.save()
    raw = git(repo, "diff", "--raw", "--no-renames", "HEAD", experiment.ref).splitlines()
    changes = {line.split("\t")[1]: (line.split()[1], line.split()[4][0]) for line in raw}
    assert changes == {
        "tool.sh": ("100755", "M"),
        "gone.txt": ("000000", "D"),
        "link": ("120000", "M"),
        "staged/new.txt": ("100644", "A"),
        "named.txt": ("100644", "A"),
    }
    assert show(repo, experiment, "link").strip() == "tool.sh"


def test_code_changes_can_be_left_out(repo: Path) -> None:
    (repo / "train.py").write_text("# changed\n")
    experiment = Experiment.init(repo)
    experiment.log_code(False)
    experiment.save()
    assert git(repo, "diff", "--name-only", "HEAD", experiment.ref) == ""


def test_params_are_set_over_those_of_the_worktree(repo: Path) -> None:
    (repo / "params.yaml").write_text(PARAMS.replace("depth: 3", "depth: 9"))
    experiment = Experiment.init(repo, params={"lr": 0.5})
    experiment.save()
    assert show(repo, experiment, "params.yaml") == "lr: 0.5  # learning rate\ndepth: 9\n"


def test_params_of_another_file(repo: Path) -> None:
    (repo / "conf").mkdir()
    (repo / "conf/model.yaml").write_text("layers:\n  - size: 8  # first\n")
    commit_all(repo, "conf")
    experiment = Experiment.init(repo)
    experiment.set_params({"layers[0].size": 16}, file="conf/model.yaml")
    experiment.set_params("lr=0.3", depth=4)
    with pytest.raises(ParamsError, match=r"conf/none\.yaml: no such file"):
        experiment.set_params({"a": 1}, file="conf/none.yaml")
    experiment.set_params({"a": {"b": 1}}, file="conf/none.yaml", new=True)
    experiment.save()
    assert show(repo, experiment, "conf/model.yaml") == "layers:\n  - size: 16  # first\n"
    assert show(repo, experiment, "params.yaml") == "lr: 0.3  # learning rate\ndepth: 4\n"
    assert show(repo, experiment, "conf/none.yaml") == "a:\n  b: 1\n"
    assert experiment.params == {
        "conf/model.yaml:layers[0].size": 16,
        "lr": 0.3,
        "depth": 4,
        "conf/none.yaml:a.b": 1,
    }


def test_dates_come_back_from_the_journal(repo: Path) -> None:
    (repo / "params.yaml").write_text("start: 2026-01-01\n")
    commit_all(repo, "a date")
    experiment = Experiment.init(repo, "dated", params={"start": date(2026, 5, 27)})
    experiment.close()
    again = Experiment.resume("dated", repo)
    assert again.params == {"start": date(2026, 5, 27)}
    again.save()
    assert show(repo, again, "params.yaml") == "start: 2026-05-27\n"


def test_a_refused_param_sets_nothing(repo: Path) -> None:
    experiment = Experiment.init(repo)
    with pytest.raises(ParamsError, match="lrr"):
        experiment.set_params({"depth": 5, "lrr": 0.5})
    with pytest.raises(ParamsError, match="depth"):
        experiment.set_params({"depth": "deep"})
    assert experiment.params == {}
    experiment.set_params({"depth": "deep"}, change_type=True)
    experiment.save()
    assert "depth: deep" in show(repo, experiment, "params.yaml")


def test_the_lock_tells_what_was_made(repo: Path) -> None:
    experiment = Experiment.init(repo, params={"lr": 0.5})
    experiment.log_metric("score", 1.5)
    experiment.save()
    lock = show(repo, experiment, "dvc.lock")
    assert "lr: 0.5" in lock
    assert "size: " + str(len(show(repo, experiment, "metrics.json").encode())) in lock


@pytest.mark.parametrize("content", ["", "schema: '2.0'\n", "schema: '2.0'\nstages:\n  train:\n    cmd: [p"])
def test_a_lock_that_dvc_is_writing_is_not_believed(repo: Path, content: str) -> None:
    whole = (repo / "dvc.lock").read_text()
    (repo / "dvc.lock").write_text(content)
    experiment = Experiment.init(repo)
    experiment.save()
    assert show(repo, experiment, "dvc.lock") == whole


def test_the_lock_claims_nothing_that_was_not_made(repo: Path) -> None:
    experiment = Experiment.init(repo, params={"lr": 0.5})
    experiment.save()
    assert show(repo, experiment, "dvc.lock") == (repo / "dvc.lock").read_text()


def test_artifacts_are_pointers_beside_what_git_ignores(repo: Path) -> None:
    (repo / "data/raw").mkdir(parents=True)
    (repo / "data/raw/a.bin").write_bytes(b"a" * 1000)
    (repo / "model.bin").write_bytes(b"weights")
    before = surroundings(repo)
    experiment = Experiment.init(repo)
    experiment.log_artifact("model.bin")
    experiment.log_artifact("data/raw")
    with pytest.raises(ArtifactError, match="lies in artifact 'data/raw'"):
        experiment.log_artifact("data/raw/a.bin")
    experiment.save()
    assert surroundings(repo).replace("!! .dvc/cache/\n", "") == before
    assert "size: 7" in show(repo, experiment, "model.bin.dvc")
    assert "nfiles: 1" in show(repo, experiment, "data/raw.dvc")
    assert show(repo, experiment, ".gitignore") == "/model.bin\n"
    assert show(repo, experiment, "data/.gitignore") == "/raw\n"


def test_an_artifact_that_is_an_out_is_in_the_lock(repo: Path) -> None:
    text = (repo / "dvc.yaml").read_text()
    (repo / "dvc.yaml").write_text(text.replace("    metrics:", "    outs: [model.bin]\n    metrics:"))
    (repo / ".gitignore").write_text("/model.bin\n")
    commit_all(repo, "a model")
    (repo / "model.bin").write_bytes(b"weights")
    experiment = Experiment.init(repo, params={"lr": 0.5})
    experiment.log_metric("score", 1.5)
    experiment.log_artifact("model.bin")
    experiment.save()
    names = git(repo, "ls-tree", "--name-only", experiment.ref).split()
    assert "model.bin.dvc" not in names
    lock = show(repo, experiment, "dvc.lock")
    assert "path: model.bin" in lock and "path: metrics.json" in lock and "lr: 0.5" in lock


def test_metrics_have_a_file_of_their_own_where_none_is_declared(repo: Path) -> None:
    (repo / "dvc.yaml").write_text("metrics: [a.json, b.json]\n")
    commit_all(repo, "two metrics files")
    experiment = Experiment.init(repo)
    experiment.log_metric("accuracy", 0.5)
    experiment.save()
    assert json.loads(show(repo, experiment, "experiment/metrics.json")) == {"accuracy": 0.5}
    other = Experiment.init(repo, metrics_file="b.json", folder="runs/notes")
    other.log_metrics({"accuracy": 0.5}, step=3)
    other.save()
    assert json.loads(show(repo, other, "b.json")) == {"accuracy": 0.5}
    assert "plots/accuracy.tsv" in show(repo, other, "runs/notes/dvc.yaml")


def test_an_experiment_on_a_branched_one_keeps_none_of_its_plots(repo: Path) -> None:
    with Experiment.init(repo, "old") as old:
        old.log_metric("loss", 0.5, step=1)
    git(repo, "checkout", "--quiet", "-b", "from-old", old.ref)
    with Experiment.init(repo, "new") as new:
        new.log_metric("gain", 0.5, step=1)
    names = git(repo, "ls-tree", "-r", "--name-only", new.ref).split()
    assert [name for name in names if "plots" in name] == ["experiment/plots/gain.tsv"]


def test_steps_go_on_by_themselves(repo: Path) -> None:
    experiment = Experiment.init(repo)
    experiment.log_metric("loss", 3)
    experiment.log_metric("loss", 2, step=10)
    experiment.log_metric("loss", 1, timestamp=datetime(2026, 5, 27, tzinfo=UTC))
    experiment.save()
    rows = show(repo, experiment, "experiment/plots/loss.tsv").splitlines()[1:]
    assert [row.split("\t")[:2] for row in rows] == [["0", "3"], ["10", "2"], ["11", "1"]]
    assert rows[2].endswith("1779840000.000")


def test_the_context_manager_keeps_what_failed(repo: Path) -> None:
    experiment = Experiment.init(repo, "broken")
    experiment.log_metric("accuracy", 0.9)
    with pytest.raises(ZeroDivisionError), experiment:
        _ = 1 / 0
    assert git(repo, "for-each-ref", "refs/exps") == ""
    with pytest.raises(ConflictError, match=r"Experiment\.resume"):
        experiment.log_metric("accuracy", 0.8)
    journal = journal_path(Store(repo), ExperimentRef(experiment.baseline, "broken")).read_text()
    assert "ZeroDivisionError: division by zero" in journal
    again = Experiment.resume("broken", repo)
    assert again.metrics == {"accuracy": 0.9}
    assert again.failed == "ZeroDivisionError: division by zero"
    again.close()
    again = Experiment.resume("broken", repo)
    again.log_metric("accuracy", 0.95)
    assert again.failed is None
    again.close()
    assert Experiment.resume("broken", repo).failed is None


def test_what_failed_and_did_not_go_on_is_saved_as_failed(repo: Path) -> None:
    experiment = Experiment.init(repo, "broken")
    with pytest.raises(ZeroDivisionError), experiment:
        _ = 1 / 0
    Experiment.resume("broken", repo).save()
    assert "Experiment-Failed: ZeroDivisionError" in git(repo, "log", "-1", "--format=%B", experiment.ref)


def test_the_context_manager_discards_where_asked(repo: Path) -> None:
    before = git_files(repo)
    with pytest.raises(KeyboardInterrupt), Experiment.init(repo, on_error="discard"):
        raise KeyboardInterrupt
    assert git_files(repo) == before


def test_the_context_manager_leaves_an_ended_one_alone(repo: Path) -> None:
    with Experiment.init(repo, "saved") as experiment:
        sha = experiment.save().sha
    assert experiment.save().sha == sha
    with Experiment.init(repo, "dropped") as experiment:
        experiment.discard()
    assert experiment.state is State.UNINITIALIZED


def test_a_failed_one_can_be_saved_and_says_so(repo: Path) -> None:
    experiment = Experiment.init(repo, "failed")
    experiment.fail("out of memory\nat step 3")
    experiment.save()
    assert "Experiment-Failed: out of memory at step 3" in git(
        repo, "log", "-1", "--format=%B", experiment.ref
    )


def test_resuming_a_journal_loses_nothing(repo: Path) -> None:
    experiment = Experiment.init(repo, "long", params={"lr": 0.5})
    experiment.log_metric("loss", 1.0, step=0)
    checkpoint = experiment.make_checkpoint()
    experiment.log_metric("loss", 0.5, step=1)
    experiment.log_code(False)
    experiment.close()
    (repo / "train.py").write_text("# changed\n")
    again = Experiment.resume("long", repo)
    assert (again.state, again.sha, again.params) == (State.ACTIVE, checkpoint.sha, {"lr": 0.5})
    again.log_metric("loss", 0.25)
    again.save()
    assert show(repo, again, "experiment/plots/loss.tsv").count("\n") == 4
    assert git(repo, "rev-parse", f"{again.ref}^") == checkpoint.sha
    assert show(repo, again, "train.py") == git(repo, "show", "HEAD:train.py") + "\n"


def test_resuming_finds_the_half_line_of_a_killed_process(repo: Path) -> None:
    experiment = Experiment.init(repo, "torn")
    experiment.log_metric("loss", 1.0)
    experiment.close()
    path = journal_path(Store(repo), ExperimentRef(experiment.baseline, "torn"))
    with path.open("ab") as stream:
        stream.write(b"m\tloss\t0\t1\t0.5")
    again = Experiment.resume("torn", repo)
    assert again.metrics == {"loss": 1.0}
    again.log_metric("loss", 0.25)
    assert path.read_text().splitlines()[-1].startswith("m\tloss\t0\t1\t0.25\t")


def test_resuming_a_completed_one_keeps_it_frozen(repo: Path) -> None:
    experiment = Experiment.init(repo, "frozen")
    experiment.complete()
    experiment.close()
    again = Experiment.resume("frozen", repo)
    assert again.state is State.COMPLETED
    again.save()


def test_resuming_a_saved_one_gives_it_back(repo: Path) -> None:
    with Experiment.init(repo, "done", params={"lr": 0.5}) as experiment:
        experiment.log_metric("accuracy", 0.9)
    again = Experiment.resume("done", repo)
    assert (again.state, again.params, again.metrics) == (State.PERSISTED, {"lr": 0.5}, {"accuracy": 0.9})
    assert again.save().sha == experiment.sha


def test_resuming_on_another_machine(repo: Path, isolated: Path) -> None:
    (repo / "train.py").write_text("# changed\n")
    experiment = Experiment.init(repo, "far", params={"lr": 0.5})
    experiment.log_metric("loss", 1.0, step=0)
    experiment.log_metric("score", 2.0)
    checkpoint = experiment.make_checkpoint()
    other = clone(repo, isolated / "other")
    git(other, "fetch", "--quiet", "origin", f"{experiment.ref}:{experiment.ref}")
    again = Experiment.resume("far", other)
    assert (again.state, again.sha, again.params) == (State.ACTIVE, checkpoint.sha, {"lr": 0.5})
    assert again.metrics == {"loss": 1.0, "score": 2.0}
    again.log_metric("loss", 0.5)
    again.save()
    assert git(other, "rev-parse", f"{again.ref}^") == checkpoint.sha
    rows = show(other, again, "experiment/plots/loss.tsv").splitlines()
    assert [row.split("\t")[:2] for row in rows] == [["step", "loss"], ["0", "1.0"], ["1", "0.5"]]
    assert show(other, again, "train.py") == "# changed\n"
    assert show(other, again, "params.yaml") == PARAMS.replace("0.1", "0.5")


def test_nobody_resumes_what_is_in_use(repo: Path) -> None:
    experiment = Experiment.init(repo, "busy")
    with pytest.raises(ConflictError, match=f"in use: process {os.getpid()} on "):
        Experiment.resume("busy", repo)
    experiment.discard()


def test_a_reference_moved_by_another_is_not_overwritten(repo: Path) -> None:
    experiment = Experiment.init(repo, "contested")
    checkpoint = experiment.make_checkpoint()
    head = git(repo, "rev-parse", "HEAD")
    git(repo, "update-ref", experiment.ref, head)
    experiment.log_metric("accuracy", 0.9)
    for call in (experiment.make_checkpoint, experiment.save, experiment.discard):
        with pytest.raises(ConflictError, match="another process moved it"):
            call()
    assert git(repo, "rev-parse", experiment.ref) == head
    git(repo, "update-ref", experiment.ref, checkpoint.sha)
    experiment.save()
    assert json.loads(show(repo, experiment, "metrics.json")) == {"accuracy": 0.9}


def test_a_reference_made_by_another_is_not_overwritten(repo: Path) -> None:
    experiment = Experiment.init(repo, "contested")
    head = git(repo, "rev-parse", "HEAD")
    git(repo, "update-ref", experiment.ref, head)
    with pytest.raises(ConflictError):
        experiment.save()
    assert git(repo, "rev-parse", experiment.ref) == head
    git(repo, "update-ref", "-d", experiment.ref)
    assert experiment.save().sha != head


def test_packed_references_are_seen(repo: Path) -> None:
    experiment = Experiment.init(repo, "packed")
    first = experiment.make_checkpoint()
    git(repo, "pack-refs", "--all")
    with pytest.raises(ExperimentNameError, match="taken"):
        Experiment.init(repo, "packed")
    experiment.log_metric("accuracy", 0.9)
    second = experiment.save()
    assert git(repo, "rev-parse", second.ref, f"{second.ref}^").split() == [second.sha, first.sha]


def test_a_lock_of_git_is_waited_for(repo: Path) -> None:
    experiment = Experiment.init(repo, "locked")
    experiment.make_checkpoint()
    lock = repo / ".git" / f"{experiment.ref}.lock"
    lock.touch()
    released = threading.Timer(0.3, lock.unlink)
    released.start()
    experiment.save()
    assert not released.is_alive() or not lock.exists(), "saved only after the lock was gone"


@pytest.mark.filterwarnings("ignore:.*fork.*:RuntimeWarning")
def test_a_forked_process_cannot_write_to_its_parents(repo: Path) -> None:
    experiment = Experiment.init(repo, "forked")
    child = os.fork()
    if child == 0:
        try:
            experiment.log_metric("accuracy", 0.9)
        except ConflictError:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    experiment.save()


def test_threads_share_a_handle(repo: Path) -> None:
    experiment = Experiment.init(repo, "threads")
    workers = [
        threading.Thread(target=lambda n=n: [experiment.log_metric(f"m{n}", i) for i in range(200)])
        for n in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    experiment.save()
    for n in range(4):
        rows = show(repo, experiment, f"experiment/plots/m{n}.tsv").splitlines()[1:]
        assert [row.split("\t")[:2] for row in rows] == [[str(i), str(i)] for i in range(200)]


def test_a_bare_repository(repo: Path, isolated: Path) -> None:
    git(repo, "clone", "--quiet", "--bare", str(repo), str(isolated / "bare.git"))
    bare = isolated / "bare.git"
    with Experiment.init(bare, "bare", params={"lr": 0.5}) as experiment:
        experiment.log_metric("accuracy", 0.9)
        with pytest.raises(RepositoryError, match="a bare repository"):
            experiment.log_artifact("x")
        with pytest.raises(RepositoryError, match="a bare repository"):
            experiment.log_code(include_untracked=["x"])
    assert show(bare, experiment, "params.yaml") == PARAMS.replace("0.1", "0.5")


@contextmanager
def unprivileged(folder: Path) -> Iterator[None]:
    """Let this process be a user who owns ``folder``, and whom file modes bind, as they do not bind root."""
    if os.geteuid() != 0:
        yield
        return
    for path in [folder, *folder.rglob("*")]:
        os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.usefixtures("isolated")
def test_a_read_only_worktree() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        pygit2.settings.search_path[ConfigLevel.GLOBAL] = name
        repo = make_project(folder / "repo")
        with unprivileged(folder):
            for path in [repo, repo / "params.yaml", repo / "dvc.yaml", repo / ".dvc"]:
                path.chmod(path.stat().st_mode & ~0o222)
            with pytest.raises(PermissionError):
                (repo / "new.txt").touch()
            with Experiment.init(repo, "read-only", params={"lr": 0.5}) as experiment:
                experiment.log_metric("accuracy", 0.9)
            repo.chmod(0o755)
        assert experiment.state is State.PERSISTED


def test_a_linked_worktree(repo: Path, isolated: Path) -> None:
    git(repo, "worktree", "add", "--quiet", str(isolated / "linked"))
    linked = isolated / "linked"
    (linked / "train.py").write_text("# changed in the linked one\n")
    with Experiment.init(linked, "linked") as experiment:
        experiment.log_metric("accuracy", 0.9)
    assert show(repo, experiment, "train.py") == "# changed in the linked one\n"
    assert git(linked, "rev-parse", experiment.ref) == git(repo, "rev-parse", experiment.ref)


def test_dvc_in_a_folder_of_the_repository(isolated: Path) -> None:
    make_project(isolated / "outer/project")
    subprocess.run(["rm", "-rf", str(isolated / "outer/project/.git")], check=True)
    outer = isolated / "outer"
    (outer / "readme.txt").write_text("outer\n")
    git(outer, "init", "--quiet")
    commit_all(outer, "dvc below the root")
    (outer / "readme.txt").write_text("changed\n")
    with Experiment.init(outer / "project", "inner", params={"lr": 0.5}) as experiment:
        experiment.log_metric("accuracy", 0.9, step=1)
    assert show(outer, experiment, "project/params.yaml") == PARAMS.replace("0.1", "0.5")
    assert json.loads(show(outer, experiment, "project/metrics.json")) == {"accuracy": 0.9}
    assert show(outer, experiment, "readme.txt") == "changed\n"
    assert "project/experiment/plots/accuracy.tsv" in git(
        outer, "ls-tree", "-r", "--name-only", experiment.ref
    )
    with pytest.raises(RepositoryError, match="no DVC"):
        Experiment.init(outer)


def test_a_metric_of_another_library_is_a_number(repo: Path) -> None:
    import jax.numpy as jnp
    import numpy as np

    experiment = Experiment.init(repo)
    experiment.log_metrics({"a": np.float32(0.5), "b": np.int64(3), "c": jnp.asarray(2.5), "d": True})
    assert experiment.metrics == {"a": 0.5, "b": 3, "c": 2.5, "d": 1}
    with pytest.raises(MetricError, match="must be a number"):
        experiment.log_metric("e", np.zeros(2))
    experiment.discard()


def test_a_notebook_shows_a_card(repo: Path) -> None:
    experiment = Experiment.init(repo, "shown", params={"lr": 0.5})
    experiment.log_metric("a&b", 0.123456789)
    card = experiment._repr_html_()
    assert "<b>shown</b>: Active" in card
    assert "<th>metrics.a&amp;b</th><td>0.123457</td>" in card
    assert repr(experiment) == "<Experiment shown: Active>"
    experiment.discard()


@pytest.mark.parametrize(("words", "is_tried_again"), [("File exists", True), ("No space left", False)])
def test_a_name_that_a_killed_process_left_is_no_error(
    repo: Path, monkeypatch: pytest.MonkeyPatch, words: str, is_tried_again: bool
) -> None:
    errors = [pygit2.GitError(f"failed to create temporary file 'tmp_object_git2_1e33': {words}")]
    real = persist.write_commit

    def write_commit(*arguments: Any) -> Commit:
        if errors:
            raise errors.pop()
        return real(*arguments)

    monkeypatch.setattr(persist, "write_commit", write_commit)
    experiment = Experiment.init(repo, "again")
    if is_tried_again:
        assert experiment.save().name == "again"
    else:
        with pytest.raises(RepositoryError, match="No space left"):
            experiment.save()

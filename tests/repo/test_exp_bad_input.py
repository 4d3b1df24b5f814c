"""What an experiment refuses: one clear line, and nothing written."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from exp_project import clone, commit_all, git, make_project

from sbcflow.errors import (
    ArtifactError,
    ExperimentError,
    ExperimentNameError,
    MetricError,
    ParamsError,
    RemoteError,
    RepositoryError,
    SbcflowError,
)
from sbcflow.experiment import Experiment, State, pull, push

DETACH = 2
BAD_NAMES = (
    *(
        "a/b",
        "a b",
        "a..b",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[",
        "a\\b",
        "a.lock",
        ".a",
        "a.",
        "@{",
        "a@{0}",
    ),
    *("", "-a", "HEAD", "workspace", "a\x7f", "a\nb", "x" * 201, "0" * 40),
)


def everything(folder: Path) -> dict[Path, bytes | None]:
    """Every file and folder, with the content of files."""
    return {path: path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def refused(folder: Path, error: type[SbcflowError], call: Callable[[], object], *words: str) -> None:
    """The call fails with one line that has the words, and changes nothing under the folder."""
    before = everything(folder)
    with pytest.raises(error) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert everything(folder) == before


def test_no_git_repository(isolated: Path) -> None:
    folder = isolated / "plain"
    folder.mkdir()
    refused(folder, RepositoryError, lambda: Experiment.init(folder), str(folder), "not a Git repository")


def test_no_dvc(isolated: Path) -> None:
    folder = isolated / "plain"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "a.txt").write_text("a\n")
    commit_all(folder, "no DVC here")
    refused(folder, RepositoryError, lambda: Experiment.init(folder), "no DVC", "dvc init")


def test_dvc_that_is_not_committed(isolated: Path) -> None:
    repo = make_project(isolated / "repo")
    git(repo, "rm", "--quiet", "-r", "--cached", ".dvc")
    git(repo, "commit", "--quiet", "--message", "no DVC")
    refused(repo, RepositoryError, lambda: Experiment.init(repo), "no DVC", "commit")


def test_no_commit_yet(isolated: Path) -> None:
    repo = make_project(isolated / "repo")
    shutil.rmtree(repo / ".git")
    git(repo, "init", "--quiet")
    refused(repo, RepositoryError, lambda: Experiment.init(repo), "no commit yet")


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_that_are_not_allowed(repo: Path, name: str) -> None:
    refused(repo, ExperimentNameError, lambda: Experiment.init(repo, name), "experiment name")


@pytest.mark.parametrize("end", ["save", "make_checkpoint", "close"])
def test_a_taken_name_is_an_error_at_the_beginning(repo: Path, end: str) -> None:
    experiment = Experiment.init(repo, "taken")
    getattr(experiment, end)()
    refused(repo, ExperimentNameError, lambda: Experiment.init(repo, "taken"), "taken")


def test_a_taken_name_is_free_on_another_baseline(repo: Path) -> None:
    first = Experiment.init(repo, "nightly").save()
    (repo / "more.txt").write_text("more\n")
    commit_all(repo, "another baseline")
    assert Experiment.init(repo, "nightly").save().ref != first.ref


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"lrr": 0.5}, ["lrr", "nearest", "lr", "new=True"]),
        ({"lr": "high"}, ["lr", "0.1", "high"]),
        ({"lr": {"a": 1}}, ["lr"]),
        ({"lr": object()}, ["lr"]),
    ],
)
def test_params_that_are_refused_at_once(repo: Path, params: dict[str, object], words: list[str]) -> None:
    refused(repo, ParamsError, lambda: Experiment.init(repo, params=params), *words)


@pytest.mark.parametrize("baseline", ["nowhere", "HEAD~9", "0" * 40, "", "HEAD:params.yaml"])
def test_an_unknown_baseline(repo: Path, baseline: str) -> None:
    refused(
        repo, RepositoryError, lambda: Experiment.init(repo, baseline=baseline), "no commit", repr(baseline)
    )


def test_formats_of_git_that_are_not_supported(isolated: Path) -> None:
    repo = make_project(isolated / "repo")
    git(repo, "config", "core.repositoryFormatVersion", "1")
    git(repo, "config", "extensions.refStorage", "reftable")
    refused(repo, RepositoryError, lambda: Experiment.init(repo), "reftable")
    other = isolated / "sha256"
    other.mkdir()
    git(other, "init", "--quiet", "--object-format=sha256")
    refused(other, RepositoryError, lambda: Experiment.init(other), "SHA-256")


@pytest.mark.parametrize("path", ["/absolute", "../outside", ".git/x", ".dvc/x", ""])
def test_folders_outside_the_project(repo: Path, path: str) -> None:
    refused(repo, RepositoryError, lambda: Experiment.init(repo, folder=path), "folder", repr(path))


def test_what_an_exception_does_is_one_of_two_things(repo: Path) -> None:
    before = everything(repo)
    with pytest.raises(ValueError, match="on_error must be one of keep, discard, got 'explode'"):
        Experiment.init(repo, on_error="explode")  # type: ignore[arg-type]
    assert everything(repo) == before


BAD_METRICS: dict[str, tuple[Callable[[Experiment], object], str]] = {
    "nan": (lambda e: e.log_metric("a", float("nan")), "must be finite, got nan"),
    "infinity": (lambda e: e.log_metric("a", float("-inf")), "must be finite, got -inf"),
    "text": (lambda e: e.log_metric("a", "0.5"), "must be a number, got '0.5' (str)"),
    "none": (lambda e: e.log_metric("a", None), "must be a number, got None"),
    "complex": (lambda e: e.log_metric("a", 1j), "must be a number"),
    "negative step": (
        lambda e: e.log_metric("a", 1, step=-1),
        "step must be an integer of at least 0, got -1",
    ),
    "half a step": (lambda e: e.log_metric("a", 1, step=0.5), "step must be an integer"),
    "no moment": (lambda e: e.log_metric("a", 1, timestamp=float("nan")), "timestamp must be"),
    "no name": (lambda e: e.log_metric("", 1), "metric name ''"),
    "tab": (lambda e: e.log_metric("a\tb", 1), "metric name"),
    "up": (lambda e: e.log_metric("../a", 1), "metric name '../a'"),
    "absolute": (lambda e: e.log_metric("/a", 1), "metric name '/a'"),
    "long": (lambda e: e.log_metric("a" * 201, 1), "at most 200 bytes"),
    "group": (lambda e: e.log_metrics({"a": 1, "a/b": 1}), "none can also be a group"),
    "one of two": (lambda e: e.log_metrics({"fine": 1, "a": float("nan")}), "must be finite"),
}


@pytest.mark.parametrize("what", BAD_METRICS)
def test_metrics_that_are_refused(repo: Path, what: str) -> None:
    call, words = BAD_METRICS[what]
    experiment = Experiment.init(repo)
    refused(repo, MetricError, lambda: call(experiment), words)
    assert experiment.metrics == {}
    experiment.discard()


def test_nan_where_it_is_allowed(repo: Path) -> None:
    with Experiment.init(repo) as experiment:
        experiment.log_metric("a", float("nan"), allow_nan=True)
    assert "NaN" in git(repo, "show", f"{experiment.ref}:metrics.json")


@pytest.mark.parametrize("path", ["missing.bin", "params.yaml", ".git/config", ".dvc/config", "pipe"])
def test_artifacts_that_are_refused(repo: Path, path: str) -> None:
    os.mkfifo(repo / "pipe")
    experiment = Experiment.init(repo)
    with pytest.raises(ArtifactError) as error:
        experiment.log_artifact(path)
    assert path in str(error.value) and "\n" not in str(error.value)
    experiment.discard()


@pytest.mark.parametrize("path", ["missing.txt", "../outside.txt", ".git/config", "folder"])
def test_untracked_files_that_are_refused(repo: Path, path: str) -> None:
    (repo / "folder").mkdir()
    experiment = Experiment.init(repo)
    refused(
        repo,
        RepositoryError,
        lambda: experiment.log_code(include_untracked=[path]),
        path,
        "cannot be included",
    )
    experiment.discard()


def test_an_untracked_file_that_goes_away_is_missed_at_save(repo: Path) -> None:
    (repo / "extra.txt").write_text("extra\n")
    experiment = Experiment.init(repo)
    experiment.log_code(include_untracked=["extra.txt"])
    (repo / "extra.txt").unlink()
    with pytest.raises(RepositoryError, match=r"extra\.txt: include_untracked names it, and it is gone"):
        experiment.save()
    assert experiment.state is State.ACTIVE
    (repo / "extra.txt").write_text("extra again\n")
    experiment.save()
    assert git(repo, "show", f"{experiment.ref}:extra.txt") == "extra again"


def test_an_unfinished_merge_is_named(repo: Path) -> None:
    git(repo, "checkout", "--quiet", "-b", "other")
    (repo / "train.py").write_text("# other\n")
    commit_all(repo, "other")
    git(repo, "checkout", "--quiet", "main")
    (repo / "train.py").write_text("# main\n")
    commit_all(repo, "main")
    subprocess.run(["git", "merge", "--quiet", "other"], cwd=repo, capture_output=True, check=False)
    experiment = Experiment.init(repo)
    refused(repo, RepositoryError, experiment.save, "a merge is unfinished")
    experiment.log_code(False)
    experiment.save()


@pytest.mark.parametrize("call", [push, pull])
def test_a_remote_that_is_not_there(repo: Path, isolated: Path, call: Callable[..., object]) -> None:
    Experiment.init(repo, "one").save()
    refused(repo, RemoteError, lambda: call("origin", repo=repo), "origin")
    git(repo, "remote", "add", "gone", str(isolated / "gone.git"))
    refused(repo, ExperimentError, lambda: call("gone", repo=repo), "gone")


def test_a_name_that_is_unknown(repo: Path) -> None:
    Experiment.init(repo, "known").save()
    refused(repo, ExperimentNameError, lambda: Experiment.resume("knwon", repo), "knwon", "known")


def test_an_experiment_of_dvc_is_not_resumed(repo: Path) -> None:
    head = git(repo, "rev-parse", "HEAD")
    commit = git(repo, "commit-tree", "HEAD^{tree}", "-p", head, "-m", "dvc: commit experiment")
    git(repo, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/theirs", commit)
    refused(repo, RepositoryError, lambda: Experiment.resume("theirs", repo), "theirs", "not made by sbcflow")


@pytest.fixture
def small_disk(isolated: Path) -> Iterator[Path]:
    """A file system of 2 MiB; only root can make one."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = isolated / "disk"
    folder.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, b"size=2m") != 0:
        pytest.skip(f"this machine lets nobody mount: {os.strerror(ctypes.get_errno())}")
    yield folder
    libc.umount2(str(folder).encode(), DETACH)


def fill(folder: Path) -> Path:
    """Fill a disk to the last byte."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as stream:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while stream.write(b"\1" * size):
                    pass
            except OSError:
                continue
    return ballast


def test_a_full_disk_loses_nothing(small_disk: Path, repo: Path) -> None:
    full = clone(repo, small_disk / "repo")
    experiment = Experiment.init(full, "full")
    for step in range(100):
        experiment.log_metric("loss", 1 / (step + 1), step=step)
    checkpoint = experiment.make_checkpoint()
    experiment.log_metric("loss", 0.5)
    before = everything(full / ".git/refs")
    ballast = fill(small_disk)
    with pytest.raises(RepositoryError, match="the disk is full; nothing that was kept before is lost"):
        experiment.save()
    with pytest.raises(RepositoryError, match="the disk is full"):
        experiment.log_metrics({f"metric {n}": n for n in range(200)})
    with pytest.raises(RepositoryError, match="the disk is full"):
        Experiment.init(full, "another")
    assert everything(full / ".git/refs") == before
    assert not list((full / ".git").rglob("tmp_*"))
    logged = experiment.metrics
    ballast.unlink()
    experiment.close()
    again = Experiment.resume("full", full)
    assert (again.sha, again.metrics) == (checkpoint.sha, logged)
    again.save()
    assert git(full, "fsck") == ""
    Experiment.init(full, "another").discard()


def test_importing_experiments_is_light() -> None:
    heavy = ("jax", "numpy", "pandas", "dvc", "snakemake", "scipy")
    code = (
        "import sys; from sbcflow.experiment import Experiment;"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

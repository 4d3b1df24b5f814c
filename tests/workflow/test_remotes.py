"""A whole run through DVC remotes, a folder and an S3 bucket: pushed, pulled, damaged on the way."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest
from s3_server import Bucket, environment, s3_server

from workflow_project import Project, count_fits

RUNS = ("smoke-corrections", "smoke-evaluation", "smoke-test", "smoke-train")
STAGES = ("train_sweep", "test_sweep", "fit_corrections", "evaluate_layered")
VALIDATE = """\
import sys
from sbcflow.cli import main
sys.argv[0:1] = ["sbcflow", "validate"]
main()
"""


class Remote(Protocol):
    """Where DVC keeps its objects, and a way past DVC to them."""

    url: str
    settings: dict[str, str]

    def objects(self) -> dict[str, object]:
        """Return when each object was written."""

    def put(self, key: str, body: bytes) -> None:
        """Write over an object."""


@dataclass(frozen=True)
class FolderRemote:
    """A folder, as on a disk that several people mount."""

    folder: Path

    @property
    def url(self) -> str:
        return str(self.folder)

    @property
    def settings(self) -> dict[str, str]:
        return {}

    def objects(self) -> dict[str, object]:
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return {path.relative_to(self.folder).as_posix(): path.stat().st_mtime_ns for path in files}

    def put(self, key: str, body: bytes) -> None:
        (self.folder / key).unlink()
        (self.folder / key).write_bytes(body)


@dataclass(frozen=True)
class S3Remote:
    """A prefix in a bucket of the test's server."""

    bucket: Bucket
    prefix: str

    @property
    def url(self) -> str:
        return f"s3://{self.bucket.name}/{self.prefix}"

    @property
    def settings(self) -> dict[str, str]:
        return {"endpointurl": self.bucket.endpoint}

    def objects(self) -> dict[str, object]:
        listed = self.bucket.listed(f"{self.prefix}/")
        return {key.removeprefix(f"{self.prefix}/"): written for key, written in listed.items()}

    def put(self, key: str, body: bytes) -> None:
        self.bucket.put(f"{self.prefix}/{key}", body)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with s3_server(tmp_path_factory.mktemp("s3")) as made:
        yield made


@pytest.fixture(params=["folder", "s3"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Remote:
    if request.param == "folder":
        return FolderRemote(tmp_path / "remote")
    return S3Remote(request.getfixturevalue("bucket"), tmp_path.name)


@pytest.fixture
def owner(reproduced: Project, remote: Remote, tmp_path: Path) -> Project:
    """A clone that has the run, with the remote in its committed settings, as howto/remotes.md sets it."""
    owner = _clone(reproduced, tmp_path / "owner")
    shutil.copytree(reproduced.path / ".dvc/cache", owner.path / ".dvc/cache")
    owner.run("dvc", "checkout")
    owner.run("dvc", "remote", "add", "--default", "store", remote.url)
    for name, value in (remote.settings | {"verify": "true"}).items():
        owner.run("dvc", "remote", "modify", "store", name, value)
    owner.run("git", "commit", "--quiet", "--message", "Remote", ".dvc/config")
    return owner


def test_a_run_goes_through_a_remote(
    reproduced: Project, owner: Project, remote: Remote, tmp_path: Path
) -> None:
    whole = _files(reproduced)
    assert _number(r"(\d+) files pushed", owner.run("dvc", "push").stdout) == len(remote.objects())
    pushed = remote.objects()
    assert owner.run("dvc", "push").stdout == "Everything is up to date.\n"
    assert remote.objects() == pushed

    colleague = _clone(owner, tmp_path / "colleague")
    assert not (colleague.path / "runs").exists()
    pulled = colleague.run("dvc", "pull").stdout
    assert _number(r"(\d+) files fetched", pulled) == len(pushed)
    _check_whole(colleague, whole)

    shutil.rmtree(owner.path / "runs")
    shutil.rmtree(owner.path / ".dvc/cache")
    owner.run("dvc", "pull")
    assert _files(owner) == whole


def test_verify_keeps_a_damaged_object_out(
    reproduced: Project, owner: Project, remote: Remote, tmp_path: Path
) -> None:
    owner.run("dvc", "push")
    _damage(reproduced, remote, "runs/smoke-test/configs/0001-*/draws.npz")
    colleague = _clone(owner, tmp_path / "colleague")
    for _ in range(2):  # the second time from a cache that holds all that was sound
        pulled = colleague.run("dvc", "pull", check=False)
        assert pulled.returncode != 0
        assert "Checkout failed for following targets:\nruns/smoke-test\n" in pulled.stdout
        assert {path.name for path in colleague.path.glob("runs/*")} == {*RUNS} - {"smoke-test"}
    assert "not in cache:       runs/smoke-test" in colleague.run("dvc", "status").stdout

    # A push trusts what is there by its name: what mends it is a new place.
    assert owner.run("dvc", "push").stdout == "Everything is up to date.\n"
    for project in (owner, colleague):
        project.run("dvc", "remote", "modify", "store", "url", f"{remote.url}-2")
    assert _number(r"(\d+) files pushed", owner.run("dvc", "push").stdout) == len(remote.objects())
    colleague.run("dvc", "pull")
    colleague.run("git", "checkout", "--quiet", ".dvc/config")
    _check_whole(colleague, _files(reproduced))


@pytest.mark.parametrize("remote", ["s3"], indirect=True)
def test_without_verify_sbcflow_finds_what_dvc_believes(
    reproduced: Project, owner: Project, remote: Remote, tmp_path: Path
) -> None:
    owner.run("dvc", "push")
    damaged = (
        _damage(reproduced, remote, "runs/smoke-train/configs/0001-*/summary.json"),
        _damage(reproduced, remote, "runs/smoke-test/configs/0001-*/draws.npz"),
        _damage(reproduced, remote, "runs/smoke-train/aggregate.csv"),
        _damage(reproduced, remote, "runs/smoke-corrections/coverage_correction.json"),
    )
    colleague = _clone(owner, tmp_path / "colleague")
    colleague.run("dvc", "remote", "modify", "--local", "store", "verify", "false")
    colleague.run("dvc", "pull")
    assert "up to date" in colleague.run("dvc", "status").stdout
    _check_nothing_runs(colleague)

    report = _validate(colleague)
    assert report.returncode == 1
    for file in damaged:
        assert f"{file}: was changed: its sha256 must be " in report.stdout, report.stdout

    for stage, file in (("test_sweep", damaged[1]), ("train_sweep", damaged[0])):
        gathered = colleague.run("dvc", "repro", "--force", "--single-item", stage, check=False)
        assert gathered.returncode != 0 and count_fits(gathered.stdout) == 0
        assert re.search(
            rf"^error: {re.escape(file)}: (is missing or altered|was edited)", gathered.stdout, re.M
        )


def _clone(project: Project, path: Path) -> Project:
    """Return a clone as on another machine: nothing that DVC remembers is shared."""
    clone = project.clone(path)
    own = {"DVC_SITE_CACHE_DIR": str(path.with_name(f"{path.name}-site"))}
    return Project(clone.path, environment(clone.env) | own)


def _files(project: Project) -> dict[str, bytes]:
    files = [path for path in project.path.glob("runs/**/*") if path.is_file()]
    return {path.relative_to(project.path).as_posix(): path.read_bytes() for path in files}


def _damage(project: Project, remote: Remote, pattern: str) -> str:
    """Change a digit or a byte of a run's file where the remote keeps it, not its length; return its name."""
    (path,) = project.path.glob(pattern)
    whole = path.read_bytes()
    at = whole.rindex(b"0.") + 2 if path.suffix != ".npz" else len(whole) // 2
    other = ord("4") if whole[at] != ord("4") else ord("5")
    digest = hashlib.md5(whole).hexdigest()
    remote.put(f"files/md5/{digest[:2]}/{digest[2:]}", whole[:at] + bytes([other]) + whole[at + 1 :])
    return path.relative_to(project.path).as_posix()


def _check_whole(project: Project, whole: dict[str, bytes]) -> None:
    """The run is there byte for byte, sound, and what the pipeline would make."""
    assert _files(project) == whole
    _check_nothing_runs(project)
    report = _validate(project)
    assert report.returncode == 0, report.stdout
    assert all(f"runs/{run}: ok " in report.stdout for run in RUNS)
    assert _files(project) == whole
    assert project.run("git", "status", "--short").stdout == ""


def _check_nothing_runs(project: Project) -> None:
    output = project.run("dvc", "repro").stdout
    assert count_fits(output) == 0 and "Running stage" not in output
    assert all(f"Stage '{stage}' didn't change, skipping" in output for stage in STAGES)
    assert output.endswith("Data and pipelines are up to date.\n")


def _validate(project: Project):
    folders = sorted(path.relative_to(project.path).as_posix() for path in project.path.glob("runs/*"))
    return project.run("python", "-c", VALIDATE, *folders, check=False)


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found, text
    return int(found[1])

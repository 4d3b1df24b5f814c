"""sbcflow doctor: each thing that can be wrong is found, named, and has a remedy."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import jax
import pytest
from typer.testing import CliRunner

from sbcflow.cli import app
from sbcflow.doctor import installation, machine, project
from sbcflow.doctor.diagnose import diagnose
from sbcflow.doctor.finding import Finding, State, note, ok, problem, render

ROOT = Path(__file__).parents[2]
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of this Python first on the PATH, and no cache of JAX's own."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project under Git and DVC, with a commit by somebody."""
    for name in ("params.yaml", "dvc.yaml", "workflow/Snakefile"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    for command in (
        ("git", "init", "--quiet"),
        ("git", "config", "user.email", "somebody@example.org"),
        ("git", "config", "user.name", "Somebody"),
        (sys.executable, "-m", "dvc", "init", "--quiet"),
        ("git", "add", "--all"),
        ("git", "commit", "--quiet", "--message", "begin"),
    ):
        subprocess.run(command, cwd=tmp_path, check=True)
    return tmp_path


def command(where: Path, name: str, says: str) -> None:
    where.mkdir(exist_ok=True)
    path = where / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)


def expect(found: Finding, state: State, *words: str) -> None:
    assert found.state is state, found
    assert all(word in found.detail for word in words), found
    assert (state is not State.PROBLEM) or found.remedy


def test_a_python_that_the_lock_is_not_for_is_a_problem(monkeypatch) -> None:
    expect(installation.check_python(), State.OK)
    monkeypatch.setattr(sys, "version_info", (3, 14, 0))
    expect(installation.check_python(), State.PROBLEM, "3.14.0", "<3.14")


def test_libraries_that_are_missing_or_too_old_are_named(monkeypatch) -> None:
    expect(installation.check_libraries(), State.OK, "jax")
    asked = ["nosuchlibrary>=1", "numpy>=99", "jax>=0.10", "never; extra == 'cuda'"]
    monkeypatch.setattr(installation, "requires", lambda _: asked)
    expect(installation.check_libraries(), State.PROBLEM, "nosuchlibrary is missing", "numpy", ">=99")
    assert "never" not in installation.check_libraries().detail


@pytest.mark.usefixtures("own_environment")
def test_commands_of_another_environment_are_a_problem(monkeypatch, tmp_path: Path) -> None:
    expect(installation.check_commands(), State.OK)
    command(tmp_path / "bin", "snakemake", "9")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    expect(installation.check_commands(), State.PROBLEM, str(tmp_path / "bin" / "snakemake"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    expect(installation.check_commands(), State.PROBLEM, "another environment")
    monkeypatch.setenv("PATH", str(tmp_path))
    expect(installation.check_commands(), State.NOTE, "not on the PATH: snakemake, dvc, sbcflow")


def test_without_git_there_is_a_problem_and_without_slurm_none(monkeypatch, tmp_path: Path) -> None:
    expect(machine.check_git(), State.OK)
    monkeypatch.setenv("PATH", str(tmp_path))
    expect(machine.check_git(), State.PROBLEM)
    expect(machine.check_slurm(), State.NOTE, "this machine alone")


def test_slurm_is_what_sinfo_says(monkeypatch, tmp_path: Path) -> None:
    command(tmp_path / "bin", "sinfo", "gpu*  4 nodes   gpu:h200:8")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    expect(machine.check_slurm(), State.OK, "gpu* 4 nodes gpu:h200:8")
    (tmp_path / "bin" / "sinfo").write_text("#!/bin/sh\necho 'no controller' >&2; exit 1\n")
    expect(machine.check_slurm(), State.NOTE, "no controller")


def test_fewer_fits_are_advised_where_memory_is_short(monkeypatch, tmp_path: Path) -> None:
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(machine, "MEMORY_LIMITS", (str(limit),))
    monkeypatch.setattr(machine, "usable_gpus", list)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 128 * 2**18}.get)
    expect(machine.check_cores(), State.OK, "64 cores, 128 GiB")
    limit.write_text("max\n")
    expect(machine.check_cores(), State.OK, "128 GiB")
    limit.write_text(f"{4 * 2**30}\n")
    found = machine.check_cores()
    expect(found, State.NOTE, "64 cores, 4 GiB", "64 fits at once")
    assert found.remedy.endswith("--cores 4")
    monkeypatch.setattr(machine, "usable_gpus", lambda: ["0"])
    expect(machine.check_cores(), State.OK, "1 fits at once")


def test_a_gpu_that_jax_does_not_see_is_noted(monkeypatch, tmp_path: Path) -> None:
    if jax.default_backend() != "cpu":
        pytest.skip("JAX sees a GPU here")
    command(tmp_path / "bin", "nvidia-smi", "NVIDIA H200")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    expect(machine.check_devices(), State.NOTE, "cpu", "NVIDIA H200")


def test_a_jax_without_a_device_is_a_problem(monkeypatch) -> None:
    def fail() -> None:
        raise RuntimeError("Unable to initialize\nbackend")

    monkeypatch.setattr(jax, "devices", fail)
    expect(machine.check_devices(), State.PROBLEM, "Unable to initialize backend")


def test_a_full_disk_is_noted_and_one_without_locks_is_a_problem(monkeypatch, tmp_path: Path) -> None:
    expect(machine.check_disk(tmp_path), State.OK)
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: Usage(2**40, 2**40 - 2**29, 2**29))
        expect(machine.check_disk(tmp_path), State.NOTE, str(tmp_path), "0.5 GiB")
        assert "TMPDIR" in machine.check_temporary().remedy

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    expect(machine.check_disk(tmp_path), State.PROBLEM, "Operation not supported")


@pytest.mark.usefixtures("own_environment")
def test_a_cache_of_programs_that_cannot_be_written_is_noted(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SBCFLOW_COMPILATION_CACHE", str(tmp_path / "programs"))
    expect(machine.check_programs(), State.OK, "0 in")
    (tmp_path / "file").touch()
    monkeypatch.setenv("SBCFLOW_COMPILATION_CACHE", str(tmp_path / "file" / "programs"))
    expect(machine.check_programs(), State.NOTE, "cannot be written")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    expect(machine.check_programs(), State.NOTE, "JAX's own cache")


def test_a_sound_project_is_ok_and_says_what_is_missing_for_teams(folder: Path, monkeypatch) -> None:
    expect(project.check_repository(folder), State.OK, "commit")
    expect(project.check_params(folder), State.OK, "pilot-train (24 configs)")
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # as from a shell that has no environment activated
    expect(project.check_dvc(folder), State.NOTE, "no default remote")
    dvc = (sys.executable, "-m", "dvc", "remote")
    subprocess.run((*dvc, "add", "team", str(folder / "remote")), cwd=folder, check=True)
    expect(project.check_dvc(folder), State.NOTE, "no default remote")
    subprocess.run((*dvc, "default", "team"), cwd=folder, check=True)
    expect(project.check_dvc(folder), State.OK, "pushes to team")


def _without_git(folder: Path) -> None:
    shutil.rmtree(folder / ".git")


def _without_a_commit(folder: Path) -> None:
    _without_git(folder)
    subprocess.run(("git", "init", "--quiet"), cwd=folder, check=True)


def _without_dvc(folder: Path) -> None:
    shutil.rmtree(folder / ".dvc")


def _without_the_snakefile(folder: Path) -> None:
    (folder / "workflow" / "Snakefile").unlink()


def _with_a_wrong_value(folder: Path) -> None:
    path = folder / "params.yaml"
    path.write_text(path.read_text().replace("n_draws: 2000", "n_draws: many"))


@pytest.mark.parametrize(
    ("harm", "check", "words"),
    [
        (_without_git, project.check_repository, "not a git repository"),
        (_without_a_commit, project.check_repository, "no commit yet"),
        (_without_dvc, project.check_dvc, "not inside of a DVC repository"),
        (_without_the_snakefile, project.check_params, "workflow/Snakefile"),
        (_with_a_wrong_value, project.check_params, "inference.n_draws"),
    ],
)
def test_a_harmed_project_is_a_problem(
    folder: Path, harm: Callable[[Path], None], check: Callable[[Path], Finding], words: str
) -> None:
    harm(folder)
    expect(check(folder), State.PROBLEM, words)


def test_an_unknown_author_is_noted(folder: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(folder / "nobody"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    subprocess.run(("git", "config", "--unset", "user.email"), cwd=folder, check=True)
    expect(project.check_repository(folder), State.NOTE, "does not know who you are")


def test_remedies_stand_under_their_findings() -> None:
    lines = render([ok("Git", "2.39"), problem("DVC", "no project", "dvc init")]).splitlines()
    assert [line.split() for line in lines] == [
        ["ok", "Git", "2.39"],
        ["problem", "DVC", "no", "project"],
        ["->", "dvc", "init"],
    ]


@pytest.mark.usefixtures("own_environment")
def test_the_command_fails_on_a_problem_alone(folder: Path, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(machine, "check_disk", lambda _: ok("disk", "room"))
    monkeypatch.setattr(machine, "check_devices", lambda: note("JAX devices", "cpu"))
    sound = CliRunner().invoke(app, ["doctor", "--json"])
    assert sound.exit_code == 0, sound.output
    assert {one["state"] for one in json.loads(sound.output)} == {"ok", "note"}
    _with_a_wrong_value(folder)
    harmed = CliRunner().invoke(app, ["doctor"])
    assert harmed.exit_code == 1
    assert "inference.n_draws" in harmed.output


@pytest.mark.usefixtures("own_environment")
def test_outside_a_project_the_machine_is_looked_at_alone(tmp_path: Path) -> None:
    *_, last = diagnose(tmp_path)
    expect(last, State.NOTE, "no params.yaml")


def test_a_check_that_cannot_look_says_so_and_the_others_go_on(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    found = {one.subject: one for one in diagnose(tmp_path)}
    expect(found["JAX devices"], State.PROBLEM, "cannot look", "jax")
    expect(found["Git"], State.OK)

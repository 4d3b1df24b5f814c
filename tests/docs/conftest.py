"""The pilot as README and docs know it, made and committed, with an estimator that takes no time."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from workflow_project import ROOT, Project, make_project


@pytest.fixture(scope="session")
def pilot(tmp_path_factory: pytest.TempPathFactory, compilation_cache: Path) -> Project:
    """A project after `make repro` and a commit, in which the ids and sizes are the pilot's own.

    Its exploratory sweep is of the family v2, since the estimator knows no parameters to rank. The sweep of
    the tutorial has fewer configs.
    """
    folder = tmp_path_factory.mktemp("pilot")
    project = make_project(folder, compilation_cache)
    project = replace(project, env=project.env | {"SNAKEMAKE_PROFILE": str(one_job_a_sweep(folder))})
    shutil.copy(ROOT / "params.yaml", project.path)
    project.use_difference_estimator()
    project.set_param("exploratory_sweep.generator_family", "v2")
    project.edit("config/hillstrom.yaml", "n_configs: 152", "n_configs: 6")
    project.edit("config/hillstrom.yaml", "n_configs: 48", "n_configs: 3")
    (project.path / ".git/info/exclude").write_text("fits.log\n")
    stand_in_for_setup(project)
    project.commit("the pilot")
    project.repro()
    project.commit("reproduce")
    return project


@pytest.fixture
def copy(pilot: Project, tmp_path: Path) -> Project:
    """A copy of the pilot with a home and an origin of its own, for one page to do with as it likes."""
    path, home, origin = (tmp_path / name for name in ("project", "home", "origin.git"))
    shutil.copytree(pilot.path, path, symlinks=True)
    home.mkdir()
    project = replace(pilot, path=path, env=pilot.env | {"HOME": str(home), "PYTHONPATH": str(path / "src")})
    project.run("git", "clone", "--quiet", "--bare", ".", str(origin))
    project.run("git", "remote", "add", "origin", str(origin))
    project.run("git", "push", "--quiet", "--set-upstream", "origin", "main")
    return project


def one_job_a_sweep(folder: Path) -> Path:
    """Return a profile of Snakemake's: these fits take less time than the start of a job."""
    profile = folder / "profile"
    profile.mkdir()
    (profile / "config.yaml").write_text("cores: all\nconfig: [configs_per_job=100]\n")
    return profile


def stand_in_for_setup(project: Project) -> None:
    """Let `make setup` find its work done: the libraries of this process under the name of the project's."""
    venv = project.path / ".venv"
    venv.mkdir()
    for entry in Path(sys.prefix).iterdir():
        if not entry.name.startswith(".installed"):
            (venv / entry.name).symlink_to(entry)
    name = project.run("bash", "-c", "cat requirements.lock pyproject.toml | cksum | tr ' ' '-'").stdout
    (venv / f".installed-{name.strip()}").touch()
    assert "pip" not in project.run("make", "--dry-run", "setup").stdout

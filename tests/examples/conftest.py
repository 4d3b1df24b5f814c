"""Projects as users make them, by ``sbcflow new``, each with an example and its scenario in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from workflow_project import ROOT, Project, environment

EXAMPLES = ROOT / "examples"
NOT_COPIED = shutil.ignore_patterns("__pycache__")


@pytest.fixture(scope="session")
def new_project(tmp_path_factory: pytest.TempPathFactory, compilation_cache: Path) -> Project:
    """A project with nothing in it but what ``sbcflow new`` makes."""
    folder = tmp_path_factory.mktemp("new")
    env = environment(folder / "home", ROOT / "src", compilation_cache)
    Project(folder, env).run("sbcflow", "new", "project")
    return Project(folder / "project", env)


@pytest.fixture(scope="session")
def make_example(new_project: Project, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Project]:
    """Return a function that makes a project of an example, as its README says."""

    def make(name: str) -> Project:
        path = tmp_path_factory.mktemp(name) / "project"
        shutil.copytree(new_project.path, path, symlinks=True)
        shutil.copytree(EXAMPLES / name, path, dirs_exist_ok=True, ignore=NOT_COPIED)
        project = Project(path, new_project.env)
        project.run("sbcflow", "params", "apply", "scenario.yaml")
        return project

    return make

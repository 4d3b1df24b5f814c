"""Projects that workflow tests run in."""

from __future__ import annotations

from pathlib import Path

import pytest
from workflow_project import Project, make_project


@pytest.fixture(scope="session")
def compilation_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of compiled programs for all projects, so that only the first compiles."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture
def project(tmp_path: Path, compilation_cache: Path) -> Project:
    """A project of a test's own, with nothing run in it."""
    return make_project(tmp_path, compilation_cache)


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory, compilation_cache: Path) -> Project:
    """A project after ``dvc repro`` and a commit; each test leaves it as it was."""
    project = make_project(tmp_path_factory.mktemp("reproduced"), compilation_cache)
    project.repro()
    project.commit("reproduce")
    return project

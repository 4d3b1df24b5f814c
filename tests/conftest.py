"""JAX as fits run it, set before any test imports it; projects that tests run the workflow in.

Subprocesses of tests get the plain environment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sbcflow.runtime import configure, numerics
from workflow_project import Project, make_project


def _start_numeric_libraries() -> None:
    """Start numpy, scipy and JAX under the flags of a fit, then put the environment back."""
    before = dict(os.environ)
    configure()
    import jax
    import scipy.linalg  # noqa: F401

    jax.devices()
    os.environ.clear()
    os.environ.update(before)


_start_numeric_libraries()


@pytest.fixture
def fit_numerics() -> Iterator[None]:
    """The number formats in which fits run: float64 where asked for, full float32 products."""
    with numerics():
        yield


@pytest.fixture(scope="session")
def compilation_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of compiled programs for all projects, so that only the first compiles."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="session")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an evaluation with its report, its other runs beside it; tests leave it as it is."""
    from report_runs import make_evaluation  # numpy must not come before its settings

    return make_evaluation(tmp_path_factory.mktemp("evaluation"))


@pytest.fixture(scope="session")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an analysis with its report; tests leave it as it is."""
    from report_runs import make_analysis

    return make_analysis(tmp_path_factory.mktemp("analysis"))


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

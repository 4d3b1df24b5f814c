"""A real Slurm for all tests of this folder, and sweeps on it whose fits a test can hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster_sweep import N_CONFIGS, ClusterSweep
from slurm import running_slurm, wait_until_idle

from workflow_project import Project, make_project


@pytest.fixture(scope="session")
def slurm() -> Iterator[None]:
    """Bring Slurm up, unless it is, and down again."""
    with running_slurm():
        yield


@pytest.fixture(scope="session")
def held(tmp_path_factory: pytest.TempPathFactory, compilation_cache: Path) -> Callable[[], Project]:
    """Return what makes projects whose fits take no time, and wait where a test wants them to."""

    def make() -> Project:
        project = make_project(tmp_path_factory.mktemp("held"), compilation_cache)
        project.use_difference_estimator()
        project.set_param("train_sweep.n_configs", N_CONFIGS)
        project.commit("fits that take no time")
        return project

    return make


@pytest.fixture(scope="session")
def expected(held: Callable[[], Project]) -> str:
    """The table that the sweep makes on this machine alone, less how long each fit took."""
    sweep = ClusterSweep(held())
    sweep.project.snakemake("train_sweep")
    return sweep.table()


@pytest.fixture
def sweep(slurm: None, held: Callable[[], Project]) -> Iterator[ClusterSweep]:  # noqa: ARG001
    """A sweep on an idle cluster; at the end nothing of it runs any more."""
    wait_until_idle(60)
    sweep = ClusterSweep(held())
    yield sweep
    sweep.stop()

"""Sweeps for tests of kills and damage; none of these tests runs unless asked for (``make test-faults``)."""

from __future__ import annotations

from pathlib import Path

import pytest
from fault_project import Sweep, make_sweep

N_KILLS = 50


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--kills``, where this folder is named on the command line."""
    parser.addoption("--kills", type=int, default=N_KILLS, help="kill -9 of whole process trees, in all")


@pytest.fixture(scope="session")
def n_kills(request: pytest.FixtureRequest) -> int:
    """How many kills there are to be."""
    kills: int = request.config.getoption("kills", N_KILLS)
    return kills


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, compilation_cache: Path) -> Sweep:
    """A project whose four stages have run; to be copied, never changed."""
    return make_sweep(tmp_path_factory.mktemp("finished"), compilation_cache)


@pytest.fixture
def sweep(finished: Sweep, tmp_path: Path) -> Sweep:
    """A copy of it, for a test to damage."""
    return finished.copy(tmp_path)

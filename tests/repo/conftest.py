"""A small Git and DVC project of its own for each test, in an environment that knows of no user."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pygit2
import pytest
from exp_project import environment, make_project
from pygit2.enums import ConfigLevel

LEVELS = (ConfigLevel.GLOBAL, ConfigLevel.XDG, ConfigLevel.SYSTEM)


@pytest.fixture
def isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Let this process and its children see the environment of nobody; yields the test's folder."""
    variables = environment(tmp_path)
    for name in [name for name in os.environ if not name.startswith("PYTEST_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    # libgit2 looks for the user's configuration once, when it is loaded.
    paths = pygit2.settings.search_path
    former = {level: paths[level] for level in LEVELS}
    for level in LEVELS:
        paths[level] = variables["HOME"]
    yield tmp_path
    for level, path in former.items():
        paths[level] = path


@pytest.fixture
def repo(isolated: Path) -> Path:
    """A project whose one stage has run: ``dvc status`` is clean."""
    return make_project(isolated / "repo", reproduced=True)

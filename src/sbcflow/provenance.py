"""Where a run came from: the state of Git, the environment, and experiment ids.

Nothing here imports a library to learn its version, and Git is only read.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TypedDict

from sbcflow.errors import ArtifactError

NO_COMMIT = "0" * 40
DETACHED = "HEAD"
SHORT_SHA_LENGTH = 7
ID_TIME_FORMAT = "%Y-%m-%dT%H-%M-%SZ"
ID_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}-[0-9]{2}-[0-9]{2}Z_[0-9a-f]{7,64}$(?!\n)"

NUMERIC_LIBRARIES = ("arviz-stats", "jax", "jaxlib", "numpy", "numpyro", "scipy")
OTHER_LIBRARIES = ("sbcflow", "pandas", "pyarrow", "pydantic", "dvc", "dvclive", "snakemake")

# What the pipeline itself writes is not the code that made it.
PIPELINE_OUTPUTS = ("runs", "metrics", "dvc.lock")
# Set while Git runs a hook or an alias: they would answer for another repository.
REPOSITORY_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_NAMESPACE")


class GitState(TypedDict):
    """The commit in the worktree (``git`` of a manifest)."""

    sha: str
    dirty: bool
    branch: str


@dataclass(frozen=True)
class ExperimentId:
    """The parts of an experiment id: its moment (UTC, whole seconds) and the short sha of its code."""

    created: datetime
    short_sha: str

    def __str__(self) -> str:
        return f"{self.created.strftime(ID_TIME_FORMAT)}_{self.short_sha}"


def git_state(root: Path | str) -> GitState:
    """Return the Git state of the worktree that holds the folder ``root``.

    ``dirty``: a tracked file is changed or an untracked one is not ignored, ``runs/``, ``metrics/``
    and ``dvc.lock`` under ``root`` aside. A detached HEAD has the branch ``HEAD``. Before the first
    commit the sha is forty zeros; outside any repository, or without Git, the branch is also empty
    and ``dirty`` false.

    Raises:
        ArtifactError: Git refuses the repository (its owner is not trusted, say).
    """
    if not _inside_worktree(Path(root)):
        return GitState(sha=NO_COMMIT, dirty=False, branch="")
    sha = _git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    branch = _git(root, "symbolic-ref", "--short", "--quiet", "HEAD")
    return GitState(
        sha=sha.stdout.strip() or NO_COMMIT,
        dirty=_is_dirty(Path(root)),
        branch=branch.stdout.strip() or DETACHED,
    )


def environment() -> dict[str, str]:
    """Return ``env`` of a manifest: python, platform and the version of each library that is installed."""
    versions = {name: _version(name) for name in NUMERIC_LIBRARIES + OTHER_LIBRARIES}
    installed = {name: version for name, version in versions.items() if version is not None}
    return {"python": platform.python_version(), "platform": platform.platform(), **installed}


def numeric_versions() -> dict[str, str]:
    """Return the versions of the libraries that a fit's numbers depend on: a part of its cache key.

    Raises:
        ArtifactError: one of them is not installed.
    """
    versions = {}
    for name in NUMERIC_LIBRARIES:
        version = _version(name)
        if version is None:
            raise ArtifactError(f"{name} is not installed: a fit needs {', '.join(NUMERIC_LIBRARIES)}")
        versions[name] = version
    return versions


def new_experiment_id(now: datetime, sha: str) -> str:
    """Return ``{iso8601 utc}_{short sha}`` for a moment (with a time zone) and a commit's full sha."""
    if now.tzinfo is None:
        raise ValueError("now needs a time zone")
    return str(ExperimentId(now.astimezone(UTC), sha[:SHORT_SHA_LENGTH]))


def parse_experiment_id(text: str) -> ExperimentId:
    """Return the parts of an experiment id.

    Raises:
        ArtifactError: ``text`` is none.
    """
    moment, _, short_sha = text.partition("_")
    try:
        if re.search(ID_PATTERN, text) is None:
            raise ValueError
        created = datetime.strptime(moment, ID_TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise ArtifactError(
            f"experiment_id {text!r}: must be {{iso8601 utc}}_{{short sha}}, as 2026-05-27T12-34-56Z_abc1234"
        ) from None
    return ExperimentId(created, short_sha)


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def _inside_worktree(root: Path) -> bool:
    try:
        answer = _git(root, "rev-parse", "--is-inside-work-tree")
    except FileNotFoundError:
        return False
    if answer.returncode != 0 and "not a git repository" not in answer.stderr:
        raise ArtifactError(f"{root}: git cannot tell its state: {' '.join(answer.stderr.split())}")
    return answer.stdout.strip() == "true"


def _is_dirty(root: Path) -> bool:
    excluded = [f":(exclude){name}" for name in PIPELINE_OUTPUTS]
    status = _git(root, "status", "--porcelain", "--untracked-files=normal", "--", ":(top)", *excluded)
    if status.returncode != 0:
        raise ArtifactError(f"{root}: git status failed: {' '.join(status.stderr.split())}")
    return bool(status.stdout)


def _git(root: Path | str, *arguments: str) -> subprocess.CompletedProcess[str]:
    surroundings = {k: v for k, v in os.environ.items() if k not in REPOSITORY_VARIABLES}
    # Without optional locks a status does not rewrite the index under a commit that runs beside it.
    surroundings |= {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=surroundings, check=False)

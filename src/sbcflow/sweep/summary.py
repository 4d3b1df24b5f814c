"""The summary of a fit on disk: sealed when written, believed only whole and under its own key."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sbcflow.errors import ArtifactError
from sbcflow.files import read_json, sha256_of, write_json
from sbcflow.params import SweepSettings
from sbcflow.sweep.key import canonical_json
from sbcflow.sweep.layout import draws_path, summary_path
from sbcflow.sweep.plan import PlannedConfig

SEAL = "seal"


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write a summary with its seal, whole or not at all."""
    write_json(path, {**summary, SEAL: seal(summary)})


def read_sealed(path: Path) -> dict[str, Any]:
    """Read a summary as it was written, whatever its key and its draws.

    Raises:
        ArtifactError: it is missing, truncated or edited.
    """
    summary = read_json(path)
    try:
        whole = isinstance(summary, dict) and summary.get(SEAL) == seal(summary)
    except (ValueError, RecursionError):  # an infinity, spelled as a number
        whole = False
    if not whole:
        raise ArtifactError(f"{path}: was edited after it was written: its seal does not match")
    return dict(summary)


def read_summary(sweep: SweepSettings, planned: PlannedConfig) -> dict[str, Any]:
    """Read the summary of a planned config.

    Raises:
        ArtifactError: it is missing, truncated, edited, of another config, or its draws are altered;
            the message names the file and how to have it fitted again.
    """
    path = summary_path(sweep.id, planned.config_id)
    try:
        summary = read_sealed(path)
        _check(sweep, planned, summary)
    except ArtifactError as error:
        raise ArtifactError(f"{error}; to fit it again: rm -r {path.parent}") from None
    return summary


def seal(summary: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a summary says, its seal aside."""
    content = {name: value for name, value in summary.items() if name != SEAL}
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def check_key(path: Path, planned: PlannedConfig, summary: Mapping[str, Any]) -> None:
    """Check that the summary at ``path`` is of a planned config.

    Raises:
        ArtifactError: it carries another key.
    """
    if summary.get("key") != planned.key:
        raise ArtifactError(f"{path}: does not carry its config's key {planned.key}")


def _check(sweep: SweepSettings, planned: PlannedConfig, summary: Mapping[str, Any]) -> None:
    path = summary_path(sweep.id, planned.config_id)
    check_key(path, planned, summary)
    if sweep.save_samples:
        draws = draws_path(sweep.id, planned.config_id)
        if not draws.is_file() or sha256_of(draws) != summary["draws_sha256"]:
            raise ArtifactError(f"{draws}: is missing or altered: {path.name} holds another sha256")

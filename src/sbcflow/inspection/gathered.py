"""Whether a sweep's table and manifest are those of its plan."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from sbcflow import manifest
from sbcflow.errors import ArtifactError
from sbcflow.files import sha256_of
from sbcflow.sweep.layout import aggregate_path, manifest_path
from sbcflow.sweep.plan import PlannedConfig


def why_not_gathered(run_id: str, plan: Sequence[PlannedConfig]) -> str | None:
    """Return why the sweep does not count as gathered, or None where it does.

    It does where its manifest is sound, its table is the one that the manifest names, and the table's rows
    are the plan's configs. Checksums of everything else are a matter of ``sbcflow validate``.
    """
    aggregate, record = aggregate_path(run_id), manifest_path(run_id)
    if not aggregate.exists() and not record.exists():
        return "not yet"
    try:
        files = manifest.read(record)["pytyche"].get(manifest.OWN, {}).get("files", {})
        if files.get(aggregate.name) != sha256_of(aggregate):
            return f"{aggregate}: not the table that {record.name} was written for"
    except ArtifactError as error:
        return str(error)
    if _config_ids(aggregate) != [planned.config_id for planned in plan]:
        return "the table is of another plan"
    return None


def _config_ids(aggregate: Path) -> list[str | None]:
    with aggregate.open(encoding="utf-8", newline="") as stream:
        return [row.get("config_id") for row in csv.DictReader(stream)]

"""The folder of an analysis: what it may replace, and its manifest."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sbcflow import manifest
from sbcflow.errors import ArtifactError, ParamsError
from sbcflow.provenance import environment, git_state, new_experiment_id

EFFECTS_FILE = "effects.csv"
VISITORS_FILE = "cate.parquet"
ALLOWED = "must be a new or empty folder, or one that holds an earlier analysis, which is then replaced"


@dataclass(frozen=True)
class Record:
    """What a manifest says of an analysis: its settings, what was seen, and the correction's origin."""

    params: Mapping[str, object]
    about: Mapping[str, object]
    links: Mapping[str, object] | None


def check_out(out: Path) -> None:
    """Check that an analysis may take the place of ``out``, so that no other work is ever lost.

    Raises:
        ParamsError: it is a file, the working folder, or a folder of anything but an analysis.
    """
    if out.resolve() in {Path.cwd(), *Path.cwd().parents}:
        raise ParamsError(f"{out}: holds the working folder; --out {ALLOWED}")
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ParamsError(f"{out}: is not a folder; --out {ALLOWED}")
    if out.exists() and any(out.iterdir()) and not _is_analysis(out):
        raise ParamsError(f"{out}: holds other files; --out {ALLOWED}")
    parent = next(folder for folder in out.resolve().parents if folder.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK):
        raise ParamsError(f"{out}: {parent} is no folder that can be written in; --out {ALLOWED}")


def write_manifest(folder: Path, data: Path, sha256: str, record: Record) -> None:
    """Write the manifest of an analysis of the file ``data``, whose other files are all in ``folder``.

    Raises:
        ArtifactError: a value is not allowed in a manifest.
    """
    now, git = datetime.now(UTC), git_state(".")
    links = {"links": dict(record.links)} if record.links else {}
    content = manifest.build(
        experiment_id=new_experiment_id(now, git["sha"]),
        timestamp=now,
        git=git,
        env=environment(),
        params=record.params,
        data_provenance={"kind": "external", "hashes": {data.name: sha256}},
        capabilities={"sbcflow": manifest.capability("analysis", folder, **record.about, **links)},
    )
    manifest.write(folder / manifest.MANIFEST_FILE, content)


def _is_analysis(folder: Path) -> bool:
    """Whether a folder holds an analysis and nothing that its manifest does not list."""
    try:
        about = manifest.read(folder / manifest.MANIFEST_FILE)["pytyche"].get("sbcflow", {})
        listed = {*about.get("files", {}), manifest.MANIFEST_FILE}
    except ArtifactError:
        return False
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}
    return about.get("run_kind") == "analysis" and present <= listed

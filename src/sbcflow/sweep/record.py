"""The manifest of a run of the pipeline; an unchanged run keeps the one it has, id and time included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sbcflow import manifest
from sbcflow.errors import ArtifactError
from sbcflow.files import remove_leftovers
from sbcflow.locks import locked
from sbcflow.manifest import Manifest, RunKind
from sbcflow.provenance import environment, git_state, new_experiment_id
from sbcflow.sweep.layout import manifest_path, run_dir, run_lock_path


@contextmanager
def making(run_id: str) -> Iterator[None]:
    """Write the files of a run in the block: alone, and without what a killed writer left there."""
    with locked(run_lock_path(run_id)):
        remove_leftovers(run_dir(run_id))
        yield


def write_manifest(
    run_id: str,
    run_kind: RunKind,
    *,
    params: Mapping[str, object],
    seed: int,
    calibration: Mapping[str, object] | None = None,
    links: Mapping[str, object] | None = None,
    execution: Mapping[str, object] | None = None,
    precision: Mapping[str, object] | None = None,
) -> str:
    """Write the manifest of a run whose other files are all written; return its experiment_id.

    The experiment_id is that of the folder's first manifest: it survives a resume. A manifest that
    would say the same of the same files stays as it is, to the byte, so that nothing downstream runs;
    one that is not sealed, or not as it was written, is written anew.
    """
    path, root = manifest_path(run_id), run_dir(run_id)
    former = _former(path)
    now, git = datetime.now(UTC), git_state(".")
    about = {"links": links, "execution": execution, "precision": precision}
    told = {name: dict(content) for name, content in about.items() if content is not None}
    capabilities: dict[str, Mapping[str, object]] = {"sbcflow": manifest.capability(run_kind, root, **told)}
    if calibration is not None:
        capabilities["calibration"] = calibration
    fresh = manifest.build(
        experiment_id=former["experiment_id"] if former else new_experiment_id(now, git["sha"]),
        timestamp=datetime.fromisoformat(former["timestamp_utc"]) if former else now,
        git=git,
        env=environment(),
        params=params,
        data_provenance={"kind": "synthetic", "seed": seed},
        capabilities=capabilities,
    )
    if former is None or _says(fresh) != _says(former) or not manifest.is_intact(path, former):
        manifest.write(path, fresh)
    experiment_id: str = fresh["experiment_id"]
    return experiment_id


def _former(path: Path) -> Manifest | None:
    """The manifest there is, unless it cannot be read: a broken one is written anew."""
    if not path.exists():
        return None
    try:
        return manifest.read(path)
    except ArtifactError:
        return None


def _says(content: Manifest) -> dict[str, object]:
    """What a manifest says of the run itself; the commit and machine may differ without changing it."""
    return {key: content[key] for key in ("params", "data_provenance", "pytyche")}

"""Fits that another sweep has made already, taken over by their keys: copied, never linked or moved."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sbcflow.errors import ArtifactError
from sbcflow.explore.plan import PlannedExperiment
from sbcflow.files import replacing
from sbcflow.params import SweepSettings
from sbcflow.sweep.layout import CONFIGS, RUNS, draws_path, parse_config_id, summary_path
from sbcflow.sweep.plan import PlannedConfig
from sbcflow.sweep.summary import read_summary, write_summary


def share_fits(planned: PlannedExperiment) -> int:
    """Copy into the experiment's run folder the fits that other run folders hold; return how many.

    A fit counts by its full key, is checked as a gather checks it, and takes its place in this sweep's
    order: the index of a config is in no key, and only its summary tells it.
    """
    missing = [one for one in planned.configs if not summary_path(planned.sweep.id, one.config_id).exists()]
    finished = _finished(planned.sweep.id) if missing else {}
    return sum(_take(planned.sweep, one, finished.get(_key8(one.config_id), ())) for one in missing)


def _finished(run_id: str) -> dict[str, list[Path]]:
    """Return the folders of configs in other runs, by the heads of their keys."""
    found: dict[str, list[Path]] = {}
    for folder in sorted(Path(RUNS).glob(f"*/{CONFIGS}/*")):
        own = folder.parts[1] == run_id or folder.parts[1].startswith(".")
        if not own and (key8 := _key8(folder.name)):
            found.setdefault(key8, []).append(folder)
    return found


def _key8(config_id: str) -> str:
    try:
        return parse_config_id(config_id).key8
    except ArtifactError:
        return ""


def _take(sweep: SweepSettings, planned: PlannedConfig, folders: Sequence[Path]) -> bool:
    """Copy a fit from the first folder that holds it sound; say whether one does."""
    for folder in folders:
        other = sweep.model_copy(update={"id": folder.parts[1]})
        try:
            summary = read_summary(other, replace(planned, config_id=folder.name))
        except ArtifactError:
            continue
        if sweep.save_samples:
            _copy(draws_path(other.id, folder.name), draws_path(sweep.id, planned.config_id))
        # Last: a fit whose summary is there is done.
        write_summary(summary_path(sweep.id, planned.config_id), _moved(summary, planned))
        return True
    return False


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as original, replacing(target) as copy:
        shutil.copyfileobj(original, copy)


def _moved(summary: Mapping[str, Any], planned: PlannedConfig) -> dict[str, Any]:
    """Return a summary at another place in a sweep's order."""
    config = {**summary["config"], "index": planned.index}
    return {**summary, "config_id": planned.config_id, "config": config}

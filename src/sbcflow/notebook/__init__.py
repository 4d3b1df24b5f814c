"""Runs in a notebook: ``load`` gives a run's folder as frozen values, with frames, draws and plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from sbcflow.errors import ArtifactError
from sbcflow.manifest import MANIFEST_FILE
from sbcflow.manifest import read as read_manifest
from sbcflow.notebook.analysis import Analysis
from sbcflow.notebook.correction import Correction
from sbcflow.notebook.evaluation import Evaluation
from sbcflow.notebook.run import Run
from sbcflow.notebook.sweep import Sweep

__all__ = ["Analysis", "Correction", "Evaluation", "Run", "Sweep", "load"]

KINDS: Mapping[str, Callable[[Run], Sweep | Correction | Evaluation | Analysis]] = MappingProxyType(
    {
        "sweep": Sweep.of,
        "corrections": Correction.of,
        "evaluation": Evaluation.of,
        "analysis": Analysis.of,
    }
)


def load(path: Path | str) -> Sweep | Correction | Evaluation | Analysis:
    """Read the folder of a run as what its manifest says: a sweep, a correction, an evaluation, an analysis.

    Tables are read at once, draws and visitors when they are asked for. Each file is used only if it
    is, to the byte, what the manifest lists.

    Raises:
        ArtifactError: there is no such run, or one of its files is missing, damaged or altered.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise ArtifactError(f"{folder}: no such folder; give the folder of a run, as runs/pilot-train")
    manifest = read_manifest(folder / MANIFEST_FILE)
    run = Run(folder, manifest)
    kind = run.about("sbcflow").get("run_kind", "")
    if kind not in KINDS:
        place, allowed = f"{folder / MANIFEST_FILE}: pytyche.sbcflow.run_kind", ", ".join(KINDS)
        raise ArtifactError(f"{place} is {kind!r}; must be one of {allowed}")
    return KINDS[kind](run)

"""The seeds of a sweep, proved from its manifest: what keeps train and test sweep apart."""

from __future__ import annotations

import pandas as pd

from sbcflow import manifest
from sbcflow.errors import ArtifactError
from sbcflow.sweep.layout import aggregate_path, run_dir
from sbcflow.sweep.plan import config_seeds


def proven_seeds(run_id: str, sweep_manifest: manifest.Manifest) -> set[int]:
    """Return the seeds that a sweep's manifest makes, which must be those of its table.

    Raises:
        ArtifactError: the table is missing, altered, or of other seeds.
    """
    calibration = sweep_manifest["pytyche"]["calibration"]
    seeds = config_seeds(
        calibration["master_seed"],
        calibration["sweep_kind"],
        calibration["n_configs"],
        calibration["scales"],
    )
    path = aggregate_path(run_id)
    manifest.check_files(run_dir(run_id), path.name)
    if list(seeds) != pd.read_csv(path)["config_seed"].tolist():
        raise ArtifactError(f"{path}: config_seed is not what its manifest's master_seed makes")
    return set(seeds)


def check_disjoint(train: set[int], test: set[int]) -> None:
    """Raise ArtifactError if a seed is in both sweeps."""
    if shared := train & test:
        raise ArtifactError(f"train and test sweep share {len(shared)} seeds, such as {min(shared)}")

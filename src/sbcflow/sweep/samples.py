"""The fits of a sweep with their draws and truths, read one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from sbcflow import manifest
from sbcflow.calibration.conditional.averages import AverageEffects
from sbcflow.calibration.evaluate import TestFit
from sbcflow.errors import ArtifactError
from sbcflow.files import read_npz
from sbcflow.sweep.layout import aggregate_path, draws_path, manifest_path, run_dir
from sbcflow.terminal import track


def read_fits(run_id: str, doing: str) -> Iterator[TestFit]:
    """Yield the fits of a sweep, draws included, one at a time; ``doing`` says on the terminal what for.

    Raises:
        ArtifactError: the sweep kept no draws, or its table or a fit's draws are missing or not what the
            manifest lists.
    """
    calibration = manifest.read(manifest_path(run_id))["pytyche"]["calibration"]
    if not calibration["save_samples"]:
        raise ArtifactError(
            f"{run_dir(run_id)}: kept no draws; its sweep needs save_samples: true in params.yaml"
        )
    rows = pd.read_csv(aggregate_path(run_id)).to_dict(orient="records")
    paths = [draws_path(run_id, str(row["config_id"])) for row in rows]
    root = run_dir(run_id)
    manifest.check_files(root, *(path.relative_to(root).as_posix() for path in paths))
    for row, path in track(zip(rows, paths, strict=True), f"{doing} {run_id}", len(rows)):
        samples = read_npz(path)
        yield TestFit(
            config_id=str(row["config_id"]),
            n_visitors=int(row["n_visitors"]),
            template=str(row["template"]),
            conversion_rate=float(row["diagnostics.conversion_rate"]),
            converged=bool(row["diagnostics.converged"]),
            draws=samples["draws"],
            truth=samples["truth"],
            averages=_averages(samples),
        )


def _averages(samples: Mapping[str, NDArray[Any]]) -> AverageEffects | None:
    """The average effects of a fit; None of one that was made before sweeps kept them."""
    if "average_draws" not in samples:
        return None
    return AverageEffects(samples["average_draws"], samples["average_truth"], samples["average_share"])

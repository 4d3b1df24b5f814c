"""Calibrated intervals of draws that came from elsewhere, from one file to another."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sbcflow.calibration.corrections import LAYERED, Corrections, check_method, choose, files_of
from sbcflow.calibration.intervals import Intervals
from sbcflow.errors import DataError
from sbcflow.files import read_npz, replacing
from sbcflow.manifest import MANIFEST_FILE, check_files

DRAWS = "draws"


def calibrate_file(
    draws_path: Path, correction_dir: Path, level: float, out: Path, method: str = LAYERED
) -> Intervals:
    """Write the calibrated interval of each point of an npz as a csv (columns lower, upper).

    The npz holds the array ``draws`` (n_points, n_draws), floating; for the method regime, of one fit.

    Raises:
        ParamsError: the level is outside (0, 1), or there is no such method.
        DataError: the npz has no such array, or draws of another shape, or not finite.
        ArtifactError: a file is missing or damaged, or there is no correction by regime.
    """
    check_method(method)
    correction = choose(load_corrections(correction_dir), method, correction_dir)
    correction.rule(level)
    arrays = read_npz(draws_path)
    if DRAWS not in arrays:
        raise DataError(f"{draws_path}: must hold an array {DRAWS!r}, has {', '.join(arrays) or 'none'}")
    draws = arrays[DRAWS]
    if draws.ndim != 2:
        raise DataError(f"{draws_path}: {DRAWS}: must have shape (n_points, n_draws), got {draws.shape}")
    try:
        intervals = correction.intervals(draws, level)
    except DataError as error:
        raise DataError(f"{draws_path}: {error}") from None
    with replacing(out) as stream:
        table = pd.DataFrame({"lower": intervals.lower, "upper": intervals.upper})
        table.to_csv(stream, index=False, lineterminator="\n")
    return intervals


def load_corrections(folder: Path) -> Corrections:
    """Read fitted corrections; where their manifest is beside them, only if that lists these very files.

    Raises:
        ArtifactError: a file is missing, damaged, or not what the manifest lists.
    """
    if (folder / MANIFEST_FILE).exists():
        check_files(folder, *files_of(folder))
    return Corrections.load(folder)

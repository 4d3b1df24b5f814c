"""Calibrated intervals of draws that came from elsewhere, from one file to another."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sbcflow.calibration.intervals import Intervals
from sbcflow.calibration.layered import LayeredCorrection
from sbcflow.errors import DataError
from sbcflow.files import read_npz, replacing
from sbcflow.manifest import MANIFEST_FILE, check_files
from sbcflow.sweep.layout import COVERAGE_CORRECTION, SCALE_FAMILY_CORRECTION

DRAWS = "draws"


def calibrate_file(draws_path: Path, correction_dir: Path, level: float, out: Path) -> Intervals:
    """Write the calibrated interval of each point of an npz as a csv (columns lower, upper).

    The npz holds the array ``draws`` (n_points, n_draws), floating.

    Raises:
        ParamsError: the level is outside (0, 1).
        DataError: the npz has no such array, or draws of another shape, or not finite.
        ArtifactError: a file is missing or damaged.
    """
    correction = load_correction(correction_dir)
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


def load_correction(folder: Path) -> LayeredCorrection:
    """Read a fitted correction; where its manifest is beside it, only if that lists these very files.

    Raises:
        ArtifactError: a file is missing, damaged, or not what the manifest lists.
    """
    if (folder / MANIFEST_FILE).exists():
        check_files(folder, COVERAGE_CORRECTION, SCALE_FAMILY_CORRECTION)
    return LayeredCorrection.load(folder)

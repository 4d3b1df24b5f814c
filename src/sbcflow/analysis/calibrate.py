"""Calibrated intervals of draws that came from elsewhere, from one file to another."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from sbcflow.calibration.intervals import Intervals
from sbcflow.calibration.layered import LayeredCorrection
from sbcflow.calibration.regime.correction import REGIME_FILE, RegimeCorrection
from sbcflow.calibration.regime.fit import MIN_FITS
from sbcflow.errors import ArtifactError, DataError, ParamsError
from sbcflow.files import read_npz, replacing
from sbcflow.manifest import MANIFEST_FILE, check_files
from sbcflow.sweep.layout import COVERAGE_CORRECTION, SCALE_FAMILY_CORRECTION

DRAWS = "draws"
METHODS = ("layered", "regime")


def calibrate_file(
    draws_path: Path, correction_dir: Path, level: float, out: Path, method: str = "layered"
) -> Intervals:
    """Write the calibrated interval of each point of an npz as a csv (columns lower, upper).

    The npz holds the array ``draws`` (n_points, n_draws), floating; for the method regime, of one fit.

    Raises:
        ParamsError: the level is outside (0, 1), or the method is none of ``METHODS``.
        DataError: the npz has no such array, or draws of another shape, or not finite.
        ArtifactError: a file is missing or damaged.
    """
    correction = _by_method(method, correction_dir)
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


def check_method(method: str) -> None:
    """Raise ParamsError unless the method is one of ``METHODS``."""
    if method not in METHODS:
        raise ParamsError(f"method: must be one of {', '.join(METHODS)}, got {method!r}")


def _by_method(method: str, folder: Path) -> LayeredCorrection | RegimeCorrection:
    check_method(method)
    return load_correction(folder) if method == "layered" else load_regime_correction(folder)


def load_regime_correction(folder: Path) -> RegimeCorrection:
    """Read a fitted correction by regime; where its manifest is beside it, only if that lists this very file.

    Raises:
        ArtifactError: the file is missing, damaged, or not what the manifest lists.
    """
    if not (folder / REGIME_FILE).exists():
        raise ArtifactError(
            f"{folder / REGIME_FILE}: no such file; fit_corrections writes it from a train sweep of at least "
            f"{MIN_FITS} converged fits with save_samples: true"
        )
    if (folder / MANIFEST_FILE).exists():
        check_files(folder, REGIME_FILE)
    return RegimeCorrection.load(folder)


def load_correction(folder: Path) -> LayeredCorrection:
    """Read a fitted correction; where its manifest is beside it, only if that lists these very files.

    Raises:
        ArtifactError: a file is missing, damaged, or not what the manifest lists.
    """
    if (folder / MANIFEST_FILE).exists():
        check_files(folder, COVERAGE_CORRECTION, SCALE_FAMILY_CORRECTION)
    return LayeredCorrection.load(folder)

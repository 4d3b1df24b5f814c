"""How many train fits the method regime needs, beside the layered rule: regime.py TRAIN TEST

Both are run ids of sweeps with draws; config/regime.yaml makes such. Fits random subsets of TRAIN, REPEATS of
each size and three of the whole with other seeds, scores them on the first half of TEST, and prints a table
of means in Markdown. Some minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import islice

import numpy as np
import pandas as pd

from sbcflow.calibration.comparison import coverage_error
from sbcflow.calibration.corrections import Corrections
from sbcflow.calibration.evaluate import FitScores, Method, score_test_fit
from sbcflow.calibration.fit import fit_corrections
from sbcflow.calibration.regime import regime_of
from sbcflow.calibration.regime.fit import MIN_FITS, fit_regime
from sbcflow.calibration.rivals.methods import rivals
from sbcflow.calibration.rivals.train import TrainFit, reduce_fits
from sbcflow.data import FloatArray
from sbcflow.levels import LEVELS
from sbcflow.params import CorrectionSettings, load
from sbcflow.sweep.layout import aggregate_path
from sbcflow.sweep.samples import read_fits

SIZES = (60, 96, 152)
REPEATS = 5
METHODS = ("raw", "layered", "regime")
SHOWN = (0.5, 0.9, 0.99)


def main(train_id: str, test_id: str) -> None:
    """Print a row a size: mean |error|, and interval scores to raw's, layered and regime."""
    settings, table = load().fit_corrections, pd.read_csv(aggregate_path(train_id))
    train = reduce_fits(read_fits(train_id, "reading"))
    test = list(islice(read_fits(test_id, "reading"), len(table) // 2))
    rng = np.random.default_rng(1)
    columns = ["mean abs. error", *(f"interval score at {level}" for level in SHOWN)]
    print("| train fits | " + " | ".join(f"{c}, {m}" for c in columns for m in METHODS[1:]) + " |")
    print("|---" * (1 + 2 * len(columns)) + "|")
    for size in (*SIZES, len(train)):
        found = []
        for seed in range(REPEATS if size < len(train) else 3):
            chosen = rng.permutation(len(train))[:size]
            methods = fitted(table.iloc[chosen], [train[i] for i in chosen], settings, seed)
            found.append(summary([score_test_fit(fit, methods) for fit in test]))
        cells = np.mean(found, axis=0).ravel()
        print(f"| {size} | " + " | ".join(f"{cell:.4f}" for cell in cells) + " |", flush=True)


def fitted(
    table: pd.DataFrame, fits: Sequence[TrainFit], settings: CorrectionSettings, seed: int
) -> dict[str, Method]:
    """Return the methods shown, fitted on some of the fits."""
    assert len(fits) >= MIN_FITS
    regime = fit_regime([fit.errors for fit in fits], regime_of(table), seed, "some")
    found = rivals(fits, Corrections(fit_corrections(table, settings, "some"), regime))
    return {name: found[name] for name in METHODS}


def summary(scores: list[FitScores]) -> FloatArray:
    """Return (1 + levels shown, layered and regime)."""
    coverage, score = (np.mean([getattr(s, name) for s in scores], axis=0) for name in ("coverage", "score"))
    ratios = (score / score[0])[1:, [LEVELS.index(level) for level in SHOWN]]
    return np.concatenate([coverage_error(coverage)[None, 1:], ratios.T])


if __name__ == "__main__":
    main(*sys.argv[1:])

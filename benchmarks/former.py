"""Interval scores of an evaluation, to raw ones of other fits of the same experiments.

    former.py EVALUATION SWEEP

EVALUATION is the run folder of an evaluation, SWEEP that of its test sweep as another model fitted it, with
draws: of a clone at a former commit, say. Prints a row a method in Markdown, ratios of mean interval scores.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from sbcflow.scoring import central_interval, interval_score, order_draws
from sbcflow.sweep.samples import read_fits

LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)


def main(evaluation: Path, sweep: Path) -> None:
    """Print the table."""
    card = pd.read_csv(evaluation / "scorecard.csv").query("group_kind == 'all'")
    os.chdir(sweep.parents[1])
    former = _raw_scores(sweep.name).mean(axis=0)
    print("| method | " + " | ".join(f"{level:.0%}" for level in LEVELS) + " |")
    print("|---" * (1 + len(LEVELS)) + "|")
    for method, rows in card.groupby("method", sort=False):
        scores = rows.set_index("level")["interval_score"].loc[list(LEVELS)].to_numpy()
        print(f"| {method} | " + " | ".join(f"{ratio:.3f}" for ratio in scores / former) + " |")


def _raw_scores(run_id: str) -> np.ndarray:
    """Mean interval score of each fit, (n_fits, n_levels)."""
    rows = []
    for fit in read_fits(run_id, "scoring"):
        ordered = order_draws(fit.draws)
        ends = [central_interval(ordered, level) for level in LEVELS]
        scores = [interval_score(*both, fit.truth, level) for both, level in zip(ends, LEVELS, strict=True)]
        rows.append(np.mean(scores, axis=1))
    return np.array(rows)


if __name__ == "__main__":
    main(*(Path(argument).resolve() for argument in sys.argv[1:]))

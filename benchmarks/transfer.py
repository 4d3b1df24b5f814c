"""Corrections fitted without one template and tested on it: transfer.py TRAIN TEST

Both are run ids of sweeps with draws; config/regime.yaml makes such. Prints in Markdown, for each template,
the coverage at 90% of its test fits: raw, and by corrections fitted on the fits of the others and on all;
with the bootstrap's 95% interval over fits for those fitted without it. A minute.
"""

from __future__ import annotations

import sys
from itertools import compress

import numpy as np
import pandas as pd
from regime import fitted

from sbcflow.calibration.bootstrap import interval_over_fits
from sbcflow.calibration.evaluate import Method, TestFit
from sbcflow.calibration.rivals.train import reduce_fits
from sbcflow.data import FloatArray
from sbcflow.params import load
from sbcflow.scoring import covers, order_draws
from sbcflow.sweep.layout import aggregate_path
from sbcflow.sweep.samples import read_fits

LEVEL = 0.9


def main(train_id: str, test_id: str) -> None:
    """Print a row a template."""
    settings, table = load().fit_corrections, pd.read_csv(aggregate_path(train_id))
    train = reduce_fits(read_fits(train_id, "reading"))
    by_all = fitted(table, train, settings, settings.seed)
    without = {
        name: fitted(table[kept], list(compress(train, kept)), settings, settings.seed)
        for name in sorted(table["template"].unique())
        for kept in [(table["template"] != name).to_numpy()]
    }
    found: dict[str, list[FloatArray]] = {name: [] for name in without}
    for fit in read_fits(test_id, "scoring"):
        found[fit.template].append(
            np.concatenate([coverage(m, fit) for m in (without[fit.template], by_all)])
        )
    print("| left out | raw | layered | regime | layered, fitted on all | regime, fitted on all |")
    print("|---" * 6 + "|")
    for name, rows in found.items():
        values = np.stack(rows)
        lower, upper = interval_over_fits(values, 2000, 1)
        means = values.mean(axis=0)
        cells = [f"{means[i]:.3f} ({lower[i]:.3f} to {upper[i]:.3f})" for i in range(3)]
        print(f"| {name} | {' | '.join(cells)} | {means[4]:.3f} | {means[5]:.3f} |", flush=True)


def coverage(methods: dict[str, Method], fit: TestFit) -> FloatArray:
    """Return the coverage of a fit's points by each method, (n_methods,)."""
    ordered = order_draws(fit.draws)
    return np.array([covers(*method(ordered)(LEVEL), fit.truth).mean() for method in methods.values()])


if __name__ == "__main__":
    main(*sys.argv[1:])

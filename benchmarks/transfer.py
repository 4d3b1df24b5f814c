"""Corrections on experiments that they were not fitted on.

    transfer.py templates TRAIN TEST
    transfer.py sweeps TRAIN TEST...

Arguments are run ids of sweeps with draws; config/regime.yaml and benchmarks/scenarios make such. Both
print Markdown: coverage of 90% intervals with the bootstrap's 95% interval over fits. ``templates`` fits
without one template and tests on it; ``sweeps`` fits on TRAIN, tests on each TEST, and parts its fits by what
the regime check says of them. A minute each.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from itertools import compress

import numpy as np
import pandas as pd
from regime import fitted

from sbcflow.calibration.bootstrap import interval_over_fits
from sbcflow.calibration.evaluate import Method, TestFit
from sbcflow.calibration.fit import converged_fits
from sbcflow.calibration.intervals import outer_ends
from sbcflow.calibration.regime import Observed, Regime, regime_of
from sbcflow.calibration.rivals.train import reduce_fits
from sbcflow.data import FloatArray
from sbcflow.params import load
from sbcflow.scoring import central_interval, covers, order_draws
from sbcflow.sweep.layout import aggregate_path
from sbcflow.sweep.samples import read_fits

LEVEL = 0.9


def templates(train_id: str, test_id: str) -> None:
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
        means = np.mean(rows, axis=0)
        print(f"| {name} | {cells(np.stack(rows)[:, :3])} | {means[4]:.3f} | {means[5]:.3f} |", flush=True)


def sweeps(train_id: str, *test_ids: str) -> None:
    """Print a row a sweep and verdict of the regime check."""
    settings, table = load().fit_corrections, pd.read_csv(aggregate_path(train_id))
    methods = fitted(table, reduce_fits(read_fits(train_id, "reading")), settings, settings.seed)
    hull = regime_of(converged_fits(table))
    print("| tested on | regime check | fits | raw | layered | regime | regime, as applied there |")
    print("|---" * 7 + "|")
    for test_id in test_ids:
        observed = observed_by_config(test_id)
        found: dict[str, list[FloatArray]] = {}
        for fit in read_fits(test_id, "scoring"):
            verdict = verdict_on(hull, observed[fit.config_id])
            found.setdefault(verdict, []).append(
                np.append(coverage(methods, fit), applied(methods, fit, verdict))
            )
        for verdict, rows in sorted(found.items()):
            print(f"| {test_id} | {verdict} | {len(rows)} | {cells(np.stack(rows))} |", flush=True)


def observed_by_config(run_id: str) -> dict[str, Observed]:
    """Return what each experiment of a sweep shows of itself."""
    rows = pd.read_csv(aggregate_path(run_id)).to_dict(orient="records")
    return {
        str(row["config_id"]): Observed(
            n_visitors=int(row["n_visitors"]),
            conversion_rate=float(row["diagnostics.conversion_rate"]),
            n_arms=int(row["diagnostics.n_arms"]),
            severity_sd=float(row["diagnostics.severity_sd"]),
        )
        for row in rows
    }


def verdict_on(hull: Regime, observed: Observed) -> str:
    """Return "inside", or outside in what."""
    outside = hull.outside(observed)
    return f"outside: {', '.join(outside)}" if outside else "inside"


def applied(methods: Mapping[str, Method], fit: TestFit, verdict: str) -> float:
    """Return the coverage by regime as it is applied: outside, nowhere narrower than raw."""
    ordered = order_draws(fit.draws)
    ends = methods["regime"](ordered)(LEVEL)
    if verdict != "inside":
        ends = outer_ends(ends, central_interval(ordered, LEVEL))
    return float(covers(*ends, fit.truth).mean())


def coverage(methods: Mapping[str, Method], fit: TestFit) -> FloatArray:
    """Return the coverage of a fit's points by each method, (n_methods,)."""
    ordered = order_draws(fit.draws)
    return np.array([covers(*method(ordered)(LEVEL), fit.truth).mean() for method in methods.values()])


def cells(rows: FloatArray) -> str:
    """Return means over fits with their intervals, from the values of each fit (n_fits, n_columns)."""
    lower, upper = interval_over_fits(rows, 2000, 1)
    ends = zip(rows.mean(axis=0), lower, upper, strict=True)
    return " | ".join(f"{mean:.3f} ({low:.3f} to {high:.3f})" for mean, low, high in ends)


if __name__ == "__main__":
    {"templates": templates, "sweeps": sweeps}[sys.argv[1]](*sys.argv[2:])

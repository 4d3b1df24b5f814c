"""How the pilot's correction, fitted on single points, would do on the average effect (ATE).

    make repro && python benchmarks/averages.py

reads runs/pilot-{train,test,corrections} and prints, at each level, what the ATE's raw intervals cover
over all fits and what those that the correction asks for would (docs/decisions/0009). The posterior
of an ATE is taken as Normal.
"""

from __future__ import annotations

import math

import pandas as pd
from scipy.stats import norm

from sbcflow import params as run_values
from sbcflow.calibration.layered import LayeredCorrection
from sbcflow.levels import coverage_column
from sbcflow.sweep.layout import aggregate_path, run_dir

SHOWN = (0.5, 0.8, 0.9, 0.95)


def main() -> None:
    params = run_values.load()
    curve = LayeredCorrection.load(run_dir(params.fit_corrections.id)).curve
    sweeps = (params.train_sweep, params.test_sweep)
    fits = pd.concat([pd.read_csv(aggregate_path(sweep.id)) for sweep in sweeps])
    z = (fits["effects.ate_1_truth"] - fits["effects.ate_1_mean"]).abs() / fits["effects.ate_1_sd"]
    print(f"{len(fits)} fits; a coverage near 0.9 has a standard error of {math.sqrt(0.09 / len(fits)):.2f}")
    print("| level | CATE, raw | ATE, raw | ATE, at the nominal level that the correction asks for |")
    print("|---|---|---|---|")
    for level in SHOWN:
        asked = float(curve.invert(level))
        raw, corrected = ((z < norm.ppf((1 + nominal) / 2)).mean() for nominal in (level, asked))
        cate = fits[coverage_column(level)].mean()
        print(f"| {level} | {cate:.3f} | {raw:.3f} | {corrected:.3f} (nominal {asked:.3f}) |")


if __name__ == "__main__":
    main()

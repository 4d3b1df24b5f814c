"""What the correction by regime could gain from better cut-offs: oracle.py TRAIN TEST

Both are run ids of sweeps with draws; config/regime.yaml makes such. Fits the correction by regime on TRAIN
and scores it on TEST as it is (``regime``), with the cut-offs of depth that in hindsight cover exactly as
wanted over TEST (``hindsight``), and with such cut-offs for each template apart (``template``), which is more
than any correction can know. Prints the table that ``sbcflow compare-corrections --out`` writes. A minute.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sbcflow.calibration.corrections import Corrections, methods_of
from sbcflow.calibration.evaluate import Method, score_test_fit
from sbcflow.calibration.fit import converged_fits, fit_corrections
from sbcflow.calibration.regime import regime_of
from sbcflow.calibration.regime.conformal import Cutoffs
from sbcflow.calibration.regime.correction import RegimeCorrection
from sbcflow.calibration.regime.fit import fit_regime, residuals_of
from sbcflow.calibration.rivals.render import markdown_rivals
from sbcflow.calibration.rivals.table import rivals_table
from sbcflow.calibration.rivals.train import TrainFit, reduce_fits
from sbcflow.data import FloatArray
from sbcflow.params import load
from sbcflow.scoring import order_draws, quantile_of
from sbcflow.sweep.layout import aggregate_path
from sbcflow.sweep.samples import read_fits


@dataclass(frozen=True)
class Hindsight(Cutoffs):
    """Cut-offs that cover exactly: quantiles of ``known`` (1, n_truths), the depths of those very truths."""

    known: FloatArray

    def cutoff(self, level: float) -> float:
        """Return the depth that a share ``level`` of the truths exceed."""
        return float(quantile_of(self.known, 1 - level)[0])


def main(train_id: str, test_id: str) -> None:
    """Print a row a quantity, a column a method."""
    params, table = load(), pd.read_csv(aggregate_path(train_id))
    train, test = (reduce_fits(read_fits(run_id, "reading")) for run_id in (train_id, test_id))
    hull, seed = regime_of(converged_fits(table)), params.fit_corrections.seed
    regime = fit_regime([fit.errors for fit in train], hull, seed, train_id)
    layered = fit_corrections(table, params.fit_corrections, train_id)
    known = {name: methods_of(Corrections(layered, regime))[name] for name in ("raw", "regime")}
    known["hindsight"] = in_hindsight(regime, test)
    templates = converged_fits(pd.read_csv(aggregate_path(test_id)))["template"].to_numpy()
    told = {
        str(name): in_hindsight(regime, [test[i] for i in np.flatnonzero(templates == name)])
        for name in np.unique(templates)
    }
    fits = [
        score_test_fit(fit, known | {"template": told[fit.template]})
        for fit in read_fits(test_id, "scoring")
        if fit.converged
    ]
    scoring = params.evaluate_layered
    print(
        markdown_rivals(rivals_table(fits, (*known, "template"), scoring.n_bootstrap, scoring.seed)), end=""
    )


def in_hindsight(regime: RegimeCorrection, fits: Sequence[TrainFit]) -> Method:
    """Return the correction with cut-offs that cover these very fits exactly."""
    errors = [fit.errors for fit in fits]
    residuals = residuals_of(
        regime.regression, np.stack([e.observables for e in errors]), np.stack([e.errors for e in errors])
    )
    known = order_draws(regime.shape.depth(residuals).reshape(1, -1))
    return replace(regime, cutoffs=Hindsight(len(fits), (), known)).see


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Rival corrections fitted on one sweep and scored on another."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from sbcflow import manifest
from sbcflow.calibration.corrections import Corrections
from sbcflow.calibration.evaluate import score_test_fits
from sbcflow.calibration.fit import converged_fits, fit_corrections
from sbcflow.calibration.regime import regime_of
from sbcflow.calibration.regime.fit import MIN_FITS, fit_regime
from sbcflow.calibration.rivals.methods import rivals
from sbcflow.calibration.rivals.table import rivals_table
from sbcflow.calibration.rivals.train import reduce_fits
from sbcflow.params import CorrectionSettings, EvaluationSettings
from sbcflow.sweep.layout import aggregate_path, manifest_path
from sbcflow.sweep.samples import read_fits
from sbcflow.sweep.seeds import check_disjoint, proven_seeds


@dataclass(frozen=True)
class Compared:
    """``table`` of the rivals (columns of ``calibration.rivals.table``), the numbers of fits, and notes."""

    table: pd.DataFrame
    n_train: int
    n_test: int
    notes: tuple[str, ...]


def compare_corrections(
    train_id: str, test_id: str, fitting: CorrectionSettings, scoring: EvaluationSettings
) -> Compared:
    """Fit every method on the sweep runs/<train_id> and score them on runs/<test_id>; writes nothing.

    Raises:
        ArtifactError: a sweep is missing, altered, without draws or without a converged fit, or the two
            share a seed.
    """
    train_manifest = manifest.read(manifest_path(train_id))
    check_disjoint(
        proven_seeds(train_id, train_manifest), proven_seeds(test_id, manifest.read(manifest_path(test_id)))
    )
    aggregate, trained_on = pd.read_csv(aggregate_path(train_id)), train_manifest["experiment_id"]
    layered = fit_corrections(aggregate, fitting, trained_on)
    train = reduce_fits(read_fits(train_id, "fitting on"))
    notes: tuple[str, ...] = ()
    regime = None
    if len(train) < MIN_FITS:
        notes = (f"no method regime: {len(train)} train fits are fewer than the {MIN_FITS} it needs",)
    else:
        hull = regime_of(converged_fits(aggregate))
        regime = fit_regime([fit.errors for fit in train], hull, fitting.seed, trained_on)
    methods = rivals(train, Corrections(layered, regime))
    scores = score_test_fits(read_fits(test_id, "scoring on"), methods)
    table = rivals_table(scores.fits, tuple(methods), scoring.n_bootstrap, scoring.seed)
    return Compared(table, len(train), len(scores.fits), notes)

"""The run fit_corrections: from the train sweep to the corrections' files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from sbcflow import manifest
from sbcflow.calibration.fit import converged_fits, fit_corrections
from sbcflow.calibration.regime import regime_of
from sbcflow.calibration.regime.correction import REGIME_FILE, RegimeCorrection
from sbcflow.calibration.regime.fit import MIN_FITS, errors_of_fits, fit_regime
from sbcflow.errors import NoSpreadError
from sbcflow.files import write_json
from sbcflow.params import CorrectionSettings, Params, estimator_settings
from sbcflow.sweep.layout import aggregate_path, manifest_path, metrics_path, run_dir
from sbcflow.sweep.record import making, write_manifest
from sbcflow.sweep.samples import read_fits


def write_corrections(params: Params) -> None:
    """Fit the corrections and write runs/<id>/ and the stage's metrics.

    The one by regime is fitted where the train sweep kept its draws and has fits enough; the metrics say why
    it was not.

    Raises:
        ArtifactError: the train sweep's manifest, table or draws are missing, altered or unusable.
    """
    settings, train = params.fit_corrections, params.train_sweep
    table = aggregate_path(train.id)
    manifest.check_files(run_dir(train.id), table.name)
    sweep = manifest.read(manifest_path(train.id))
    trained_on, fitted_by = sweep["experiment_id"], estimator_settings(sweep["params"])
    aggregate = pd.read_csv(table)
    correction = fit_corrections(aggregate, settings, trained_on, fitted_by)
    lacking = why_no_regime(aggregate, kept_draws=sweep["pytyche"]["calibration"]["save_samples"])
    files = correction.to_files()
    if not lacking:
        try:
            files |= _by_regime(aggregate, params, trained_on, fitted_by).to_files()
        except NoSpreadError as error:
            lacking = str(error)
    with making(settings.id):
        _write(settings, files, trained_on)
    write_json(
        metrics_path("fit_corrections"),
        {
            "c": correction.scale.c,
            "max_recorded_actual": correction.scale.max_recorded_actual,
            "anchor_usable": correction.scale.anchor_usable,
            "n_fits": correction.curve.n_fits,
            "n_excluded": correction.n_excluded,
            "regime": f"not fitted: {lacking}" if lacking else "fitted",
        },
    )


def why_no_regime(aggregate: pd.DataFrame, *, kept_draws: bool) -> str:
    """Return why a train sweep cannot carry the method regime, or "" where it can."""
    n_fits = len(converged_fits(aggregate))
    if not kept_draws:
        return "the train sweep kept no draws (save_samples)"
    return f"{n_fits} converged fits are fewer than {MIN_FITS}" if n_fits < MIN_FITS else ""


def _by_regime(
    aggregate: pd.DataFrame, params: Params, trained_on: str, fitted_by: Mapping[str, Any]
) -> RegimeCorrection:
    converged = converged_fits(aggregate)
    return fit_regime(
        errors_of_fits(read_fits(params.train_sweep.id, "fitting on")),
        regime_of(converged),
        params.fit_corrections.seed,
        trained_on,
        len(aggregate) - len(converged),
        fitted_by,
    )


def _write(settings: CorrectionSettings, files: Mapping[str, object], trained_on: str) -> None:
    if REGIME_FILE not in files:
        (run_dir(settings.id) / REGIME_FILE).unlink(missing_ok=True)
    for name, content in files.items():
        write_json(run_dir(settings.id) / name, content)
    write_manifest(
        settings.id,
        "corrections",
        params=settings.model_dump(mode="json"),
        seed=settings.seed,
        links={"trained_on": trained_on},
    )

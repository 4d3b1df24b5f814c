"""The run fit_corrections: from the train sweep's table to the correction's two files."""

from __future__ import annotations

import pandas as pd

from sbcflow import manifest
from sbcflow.calibration.fit import fit_corrections
from sbcflow.calibration.layered import LayeredCorrection
from sbcflow.files import write_json
from sbcflow.params import CorrectionSettings, Params, estimator_settings
from sbcflow.sweep.layout import aggregate_path, manifest_path, metrics_path, run_dir
from sbcflow.sweep.record import making, write_manifest


def write_corrections(params: Params) -> None:
    """Fit the corrections and write runs/<id>/ and the stage's metrics.

    Raises:
        ArtifactError: the train sweep's manifest or table is missing, altered or unusable.
    """
    settings, train = params.fit_corrections, params.train_sweep
    table = aggregate_path(train.id)
    manifest.check_files(run_dir(train.id), table.name)
    sweep = manifest.read(manifest_path(train.id))
    trained_on, fitted_by = sweep["experiment_id"], estimator_settings(sweep["params"])
    correction = fit_corrections(pd.read_csv(table), settings, trained_on, fitted_by)
    with making(settings.id):
        _write(settings, correction, trained_on)
    write_json(
        metrics_path("fit_corrections"),
        {
            "c": correction.scale.c,
            "max_recorded_actual": correction.scale.max_recorded_actual,
            "anchor_usable": correction.scale.anchor_usable,
            "n_fits": correction.curve.n_fits,
            "n_excluded": correction.n_excluded,
        },
    )


def _write(settings: CorrectionSettings, correction: LayeredCorrection, trained_on: str) -> None:
    for name, content in correction.to_files().items():
        write_json(run_dir(settings.id) / name, content)
    write_manifest(
        settings.id,
        "corrections",
        params=settings.model_dump(mode="json"),
        seed=settings.seed,
        links={"trained_on": trained_on},
    )

"""The run evaluate_layered: the correction's scorecard on a test sweep that it has never seen."""

from __future__ import annotations

from typing import Any

import pandas as pd

from sbcflow import manifest
from sbcflow.calibration.conditional.card import ConditionalCard, conditional_card
from sbcflow.calibration.conditional.collect import Collector
from sbcflow.calibration.corrections import Corrections, files_of, methods_of, methods_of_averages
from sbcflow.calibration.scorecard import Scorecard, evaluate
from sbcflow.errors import ArtifactError
from sbcflow.files import replacing, write_json
from sbcflow.params import Params
from sbcflow.scoring import SCORED_LEVEL
from sbcflow.sweep.layout import (
    conditional_csv_path,
    conditional_json_path,
    coverage_by_template_path,
    coverage_curve_path,
    manifest_path,
    metrics_path,
    run_dir,
    scorecard_csv_path,
    scorecard_json_path,
)
from sbcflow.sweep.record import making, write_manifest
from sbcflow.sweep.samples import read_fits
from sbcflow.sweep.seeds import check_disjoint, proven_seeds


def write_evaluation(params: Params) -> None:
    """Score the correction and write runs/<id>/, the stage's metrics and the plot's data.

    Raises:
        ArtifactError: a run is missing or altered, the correction was fitted on another train sweep
            than the test sweep names, or the two sweeps share a seed.
    """
    settings = params.evaluate_layered
    lineage = prove_lineage(params)
    corrections = _read_corrections(params.fit_corrections.id)
    collected = Collector(methods_of(corrections), methods_of_averages(corrections))
    fits = collected.watch(read_fits(params.test_sweep.id, "evaluating"))
    scorecard = evaluate(fits, corrections, settings)
    conditional = conditional_card(collected, settings)
    with making(settings.id):
        _write_scorecard(settings.id, scorecard)
        _write_conditional(settings.id, conditional)
        write_manifest(
            settings.id,
            "evaluation",
            params=settings.model_dump(mode="json"),
            seed=settings.seed,
            links=lineage,
        )
    _write_metrics(scorecard)


def prove_lineage(params: Params) -> dict[str, Any]:
    """Return the experiment_ids of train sweep, test sweep and corrections, and how seeds are apart.

    Raises:
        ArtifactError: the runs do not belong together, or a seed is in both sweeps.
    """
    train = manifest.read(manifest_path(params.train_sweep.id))
    test = manifest.read(manifest_path(params.test_sweep.id))
    corrections = manifest.read(manifest_path(params.fit_corrections.id))
    named = {
        manifest_path(params.test_sweep.id): test["pytyche"]["calibration"]["links"][
            "trained_correction_from"
        ],
        manifest_path(params.fit_corrections.id): corrections["pytyche"]["sbcflow"]["links"]["trained_on"],
    }
    for path, experiment_id in named.items():
        if experiment_id != train["experiment_id"]:
            raise ArtifactError(
                f"{path}: names the train sweep {experiment_id}, but {params.train_sweep.id} is "
                f"{train['experiment_id']}; run the stage again"
            )
    train_seeds = proven_seeds(params.train_sweep.id, train)
    test_seeds = proven_seeds(params.test_sweep.id, test)
    check_disjoint(train_seeds, test_seeds)
    return {
        "train": train["experiment_id"],
        "test": test["experiment_id"],
        "corrections": corrections["experiment_id"],
        "n_train_seeds": len(train_seeds),
        "n_test_seeds": len(test_seeds),
        "n_shared_seeds": 0,
    }


def _read_corrections(run_id: str) -> Corrections:
    folder = run_dir(run_id)
    manifest.check_files(folder, *files_of(folder))
    return Corrections.load(folder)


def _write_scorecard(run_id: str, scorecard: Scorecard) -> None:
    with replacing(scorecard_csv_path(run_id)) as stream:
        scorecard.table.to_csv(stream, index=False, lineterminator="\n")
    write_json(scorecard_json_path(run_id), scorecard.summary)


def _write_conditional(run_id: str, card: ConditionalCard) -> None:
    with replacing(conditional_csv_path(run_id)) as stream:
        card.table.to_csv(stream, index=False, lineterminator="\n")
    write_json(conditional_json_path(run_id), card.summary)


def _write_metrics(scorecard: Scorecard) -> None:
    curves = _by_method(scorecard, scorecard.curves, "nominal")
    curves.insert(0, "ideal", curves.index)
    with replacing(coverage_curve_path()) as stream:
        curves.to_csv(stream, lineterminator="\n")
    with replacing(coverage_by_template_path()) as stream:
        _by_template(scorecard).to_csv(stream, lineterminator="\n")
    summary, methods = scorecard.summary, scorecard.methods
    errors = summary["mean_absolute_coverage_error"]
    write_json(
        metrics_path("evaluate_layered"),
        {
            "n_fits": summary["n_fits"],
            "default_method": scorecard.default_method,
            "mean_absolute_coverage_error": {method: errors[method]["value"] for method in methods},
            "crps": {method: summary["crps"][method]["value"] for method in methods},
            "verdict": summary["verdict"]["code"],
        },
    )


def _by_template(scorecard: Scorecard) -> pd.DataFrame:
    """A row a template: the coverage of its intervals at ``SCORED_LEVEL``."""
    table = scorecard.table
    rows = table[(table["group_kind"] == "template") & (table["level"] == SCORED_LEVEL)]
    return _by_method(scorecard, rows.rename(columns={"group": "template"}), "template")


def _by_method(scorecard: Scorecard, rows: pd.DataFrame, index: str) -> pd.DataFrame:
    """A column a method, and once more that of the default one, which plots of DVC name in advance."""
    wide = rows.pivot(index=index, columns="method", values="coverage")[list(scorecard.methods)]
    return wide.assign(calibrated=wide[scorecard.default_method])

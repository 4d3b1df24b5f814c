"""Run folders of every kind, made up: small, and with values that a test can work out by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
from analysis_examples import write_correction

from sbcflow import files, manifest
from sbcflow.analysis.effects import INTERVAL_LEVELS
from sbcflow.calibration.conditional.card import conditional_card
from sbcflow.calibration.conditional.collect import Collector
from sbcflow.calibration.corrections import Corrections, methods_of, methods_of_averages
from sbcflow.calibration.evaluate import TestFit
from sbcflow.calibration.layered import LayeredCorrection
from sbcflow.calibration.scorecard import SUMMARY_FILE, TABLE_FILE, evaluate
from sbcflow.levels import LEVELS, coverage_column, level_suffix
from sbcflow.params import EvaluationSettings

N_FITS, N_POINTS, N_DRAWS = 5, 6, 50
IDS = tuple(f"{i:04d}-{10_000_000 + i}" for i in range(N_FITS))
# The last fit did not converge.
CONVERGED = [True, True, True, True, False]
EXPERIMENT_ID = "2026-05-27T12-00-00Z_abc1234"


def seal(folder: Path, kind: str, params: Mapping[str, object], about: Mapping[str, object], **more) -> Path:
    """Write the manifest of a folder whose other files are all written."""
    provenance = {"kind": "synthetic", "seed": 2}
    if kind == "analysis":
        provenance = {"kind": "external", "hashes": {"shop.csv": "0" * 64}}
    document = manifest.build(
        experiment_id=EXPERIMENT_ID,
        timestamp=datetime(2026, 5, 27, 12, tzinfo=UTC),
        git={"sha": "abc1234" + "0" * 33, "dirty": False, "branch": "main"},
        env={"python": "3.11.9", "platform": "Linux"},
        params=params,
        data_provenance=provenance,
        capabilities={"sbcflow": manifest.capability(kind, folder, **about), **more},
    )
    manifest.write(folder / manifest.MANIFEST_FILE, document)
    return folder


def samples_of(index: int) -> dict[str, np.ndarray]:
    """The arrays of a fit's draws.npz: draws (6, 50) about the number of the fit, truths about 0."""
    rng = np.random.default_rng(index)
    return {
        "draws": (index + rng.normal(size=(N_POINTS, N_DRAWS))).astype(np.float32),
        "truth": rng.normal(size=N_POINTS),
        "covariates": rng.normal(size=(N_POINTS, 2)).astype(np.float32),
        "arm": np.ones(N_POINTS, dtype=np.int32),
    }


def aggregate() -> pd.DataFrame:
    """The table of the sweep; a coverage is the level's less a tenth of it for each fit."""
    rng = np.random.default_rng(9)
    table = pd.DataFrame(
        {
            "config_id": IDS,
            "config_seed": np.arange(N_FITS) + 2**52,
            "n_visitors": [800, 800, 800, 400, 400],
            "generator_family": "v2",
            "template": ["constant", "reversal", "constant", "reversal", "constant"],
            "base_rate": rng.random(N_FITS) / 3,
        }
    )
    for level in LEVELS:
        table[coverage_column(level)] = level * (1 - np.arange(N_FITS) / 10)
    return table.assign(
        **{
            "metrics.rmse": 0.25,
            "metrics.mean_width_90": 1.5,
            "ranks.ate_1": [50, 40, 30, 20, 10],
            "ranks.cate_0": [0, 10, 20, 30, 40],
            "diagnostics.converged": CONVERGED,
            "diagnostics.escalated": [False, False, True, False, False],
            "diagnostics.conversion_rate": 0.05,
            "diagnostics.khat": [0.1, np.nan, 0.7, 0.2, np.nan],
            "wall_seconds": 1.5,
        }
    )


def write_sweep(folder: Path, keeps_draws: bool = True) -> Path:
    for index, name in enumerate(IDS):
        if keeps_draws:
            files.write_npz(folder / "configs" / name / "draws.npz", **samples_of(index))
        files.write_json(folder / "configs" / name / "summary.json", {"index": index})
    aggregate().to_csv(folder / "aggregate.csv", index=False)
    calibration = {
        "master_seed": 2,
        "n_configs": N_FITS,
        "scales": [800],
        "generator_family": "v2",
        "sweep_kind": "train",
        "save_samples": keeps_draws,
    }
    return seal(folder, "sweep", {"inference": {"n_draws": N_DRAWS}}, {}, calibration=calibration)


def write_corrections(folder: Path) -> Path:
    return seal(write_correction(folder), "corrections", {"id": "c"}, {})


def write_evaluation(folder: Path, correction: LayeredCorrection) -> Path:
    fits = [
        TestFit(name, 800, "constant", 0.05, converged, samples["draws"], samples["truth"])
        for name, converged, samples in zip(IDS, CONVERGED, map(samples_of, range(N_FITS)), strict=True)
    ]
    settings, corrections = EvaluationSettings(id="e", n_bootstrap=100, seed=1), Corrections(correction)
    collected = Collector(methods_of(corrections), methods_of_averages(corrections))
    card = evaluate(collected.watch(fits), corrections, settings)
    cells = conditional_card(collected, settings)
    folder.mkdir()
    card.table.to_csv(folder / TABLE_FILE, index=False)
    files.write_json(folder / SUMMARY_FILE, card.summary)
    cells.table.to_csv(folder / "conditional.csv", index=False)
    files.write_json(folder / "conditional.json", cells.summary)
    return seal(folder, "evaluation", {"id": "e"}, {})


def write_analysis(folder: Path, regime_ok: bool | None) -> Path:
    """An analysis with an arm called NA; without a correction where ``regime_ok`` is None."""
    segments = ["all", "city=NA", "city=York"]
    ends = {
        f"{kind}_{end}_{level_suffix(level)}": np.nan
        if kind == "calibrated" and regime_ok is None
        else {"lower": -1.0, "upper": 1.0}[end] * (2.0 if kind == "calibrated" else 1.0)
        for level in INTERVAL_LEVELS
        for kind in ("raw", "calibrated")
        for end in ("lower", "upper")
    }
    rule = "" if regime_ok is None else "r_of_p"
    effects = pd.DataFrame({"arm": "NA", "segment": segments, "segment_range": ""}).assign(
        n_control=[300, 100, 200],
        diff_in_means=[0.1, 0.2, 1 / 3],
        diff_in_means_se=[0.05, np.nan, 0.1],
        ate=[0.1, 0.15, 0.2],
        sd=0.05,
        **ends,
        **{f"calibration_rule_{level_suffix(level)}": rule for level in INTERVAL_LEVELS},
        regime_ok="" if regime_ok is None else str(regime_ok).lower(),
        regime_messages="",
        converged="true",
    )
    folder.mkdir()
    effects.to_csv(folder / "effects.csv", index=False)
    pd.DataFrame({"row": [0, 1, 2], "NA.mean": [0.1, 0.2, 0.3]}).to_parquet(folder / "cate.parquet")
    about = {
        "arms": ["control", "NA"],
        "observed": {"n_visitors": 1200},
        "regime": {"ok": regime_ok, "messages": [], "advice": ""},
    }
    return seal(folder, "analysis", {"arguments": {"arm": "group"}}, about)

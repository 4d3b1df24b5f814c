"""The command ``analyze`` on a real experiment with known answers (tests/data/README.md)."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from analysis_examples import HILLSTROM, TRAINED_ON, write_correction, write_params

from sbcflow import manifest
from sbcflow.validate import validate

FEATURES = "recency,history,mens,womens,zip_code,newbie,channel"
DIFFERENCES = {"Mens E-Mail": 0.769827, "Womens E-Mail": 0.424413}
SUFFIXES = ("50", "80", "90", "95")


@dataclass(frozen=True)
class Result:
    """The folder of the analysis, and what was printed."""

    out: Path
    printed: str

    @property
    def effects(self) -> pd.DataFrame:
        return pd.read_csv(self.out / "effects.csv")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("hillstrom")
    params = write_params(folder / "params.yaml")
    correction = write_correction(folder / "correction")
    arguments = {
        "--arm": "segment",
        "--control": "No E-Mail",
        "--converted": "conversion",
        "--revenue": "spend",
        "--features": FEATURES,
        "--correction": str(correction),
        "--params": str(params),
        "--out": str(folder / "out"),
    }
    command = [sys.executable, "-c", "from sbcflow.cli import main; main()", "analyze", str(HILLSTROM)]
    command += [word for option in arguments.items() for word in option]
    env = os.environ | {"SBCFLOW_COMPILATION_CACHE": str(folder / "cache")}
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return Result(folder / "out", done.stdout)


def test_everybody_s_effects_agree_with_the_arms_means(result: Result) -> None:
    everybody = result.effects.query("segment == 'all'").set_index("arm")
    assert list(everybody.index) == list(DIFFERENCES)
    for arm, difference in DIFFERENCES.items():
        row = everybody.loc[arm]
        assert row["diff_in_means"] == pytest.approx(difference, abs=1e-6)
        assert abs(row["ate"] - difference) < row["diff_in_means_se"]
        assert 0.5 < row["sd"] / row["diff_in_means_se"] < 1.5


def test_calibrated_intervals_are_wider_after_undercoverage(result: Result) -> None:
    effects = result.effects
    for suffix in SUFFIXES:
        raw = effects[f"raw_upper_{suffix}"] - effects[f"raw_lower_{suffix}"]
        calibrated = effects[f"calibrated_upper_{suffix}"] - effects[f"calibrated_lower_{suffix}"]
        assert (calibrated > raw).all()
        assert effects[f"calibration_rule_{suffix}"].notna().all()


def test_segments_partition_the_customers(result: Result) -> None:
    effects = result.effects.query("arm == 'Mens E-Mail'")
    assert effects.loc[effects["segment"] == "all", "converted_treatment"].item() == 267
    for feature in FEATURES.split(","):
        rows = effects[effects["segment"].str.startswith(f"{feature}=")]
        assert rows["n_control"].sum() == 21_306 and rows["n_treatment"].sum() == 21_307


def test_every_customer_has_a_row_that_averages_to_the_effect(result: Result) -> None:
    visitors = pd.read_parquet(result.out / "cate.parquet")
    assert len(visitors) == 64_000
    for arm, ate in result.effects.query("segment == 'all'").set_index("arm")["ate"].items():
        assert visitors[f"{arm}.mean"].mean() == pytest.approx(ate, rel=1e-4)
        assert (visitors[f"{arm}.calibrated_lower_90"] < visitors[f"{arm}.raw_lower_90"]).all()


def test_the_run_is_valid_and_says_where_it_came_from(result: Result) -> None:
    assert validate(result.out).problems == ()
    found = manifest.read(result.out / manifest.MANIFEST_FILE)
    digest = hashlib.sha256(HILLSTROM.read_bytes()).hexdigest()
    assert found["data_provenance"] == {"kind": "external", "hashes": {"hillstrom.csv.gz": digest}}
    about = found["pytyche"]["sbcflow"]
    assert about["links"]["trained_on"] == TRAINED_ON
    assert about["arms"] == ["No E-Mail", *DIFFERENCES]
    assert about["diagnostics"]["converged"] is True


def test_outside_the_regime_is_printed_and_written(result: Result) -> None:
    effects = result.effects
    assert not effects["regime_ok"].any()
    for said in (result.printed, effects["regime_messages"][0]):
        assert "visitors: 64,000 lies outside" in said
        assert "conversion rate: 0.903% lies outside" in said
        assert "arms: 3 lies outside" in said
        assert "scales: [64000]" in said
    assert f"Next: sbcflow params apply {result.out}/scenario.yaml && dvc repro" in result.printed
    assert "The correction widened each of the 152 intervals of averages" in result.printed

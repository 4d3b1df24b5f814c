"""A correction that was fitted on another estimator's fits is not taken for this one's."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from analysis_examples import ROOT, write_correction

from sbcflow.analysis.effects import check_regime
from sbcflow.analysis.estimator import estimator_gaps
from sbcflow.calibration.layered import COVERAGE_FILE, LayeredCorrection
from sbcflow.data import Covariates, Feature, Trial
from sbcflow.files import write_json
from sbcflow.params import Params, parse


def _params(shift_scale: float = 0.5, **changes: Any) -> Params:
    values = yaml.safe_load((ROOT / "params.yaml").read_text()) | changes
    values["model"]["severity"]["shift_scale"] = shift_scale
    return parse(values)


@pytest.fixture
def correction(tmp_path: Path) -> LayeredCorrection:
    """The correction of fits with the values of params.yaml, read back from its files."""
    loaded = LayeredCorrection.load(write_correction(tmp_path / "made"))
    for name, content in replace(loaded, fitted_by=_params().estimator_settings()).to_files().items():
        write_json(tmp_path / "read" / name, content)
    return LayeredCorrection.load(tmp_path / "read")


def test_the_same_estimator_has_no_gap(correction: LayeredCorrection) -> None:
    assert correction.fitted_by == _params().estimator_settings()
    assert estimator_gaps(_params(), correction) == ()
    assert estimator_gaps(_params(scoring={"n_test": 50, "n_average": 60}), correction) == ()


def test_another_estimator_or_another_prior_is_named(correction: LayeredCorrection) -> None:
    own = _params(estimator="mymodel:build")
    assert estimator_gaps(own, correction) == (
        "estimator: mymodel:build here, hurdle where the correction was fitted",
    )
    assert estimator_gaps(_params(shift_scale=0.75), correction) == (
        "model.severity.shift_scale: 0.75 here, 0.5 where the correction was fitted",
    )
    fitted_by_own = replace(correction, fitted_by=own.estimator_settings())
    assert estimator_gaps(_params(), fitted_by_own)[0].startswith("estimator: hurdle here, mymodel:build")
    settings = _params(estimator="mymodel:build", own={"estimator": {"n_draws": 9}})
    assert estimator_gaps(settings, fitted_by_own)[-1] == (
        "own.estimator.n_draws: 9 here, (none) where the correction was fitted"
    )


def test_a_gap_puts_an_experiment_outside_the_regime(correction: LayeredCorrection) -> None:
    n, rng = 20_000, np.random.default_rng(0)
    converted = np.arange(n) % 20 == 0
    covariates = Covariates((Feature("x", "binary"),), rng.integers(0, 2, (n, 1)).astype(np.float32))
    revenue = np.where(converted, np.exp(rng.normal(0, 0.9, n)), 0.0)
    trial = Trial(covariates, rng.integers(0, 2, n).astype(np.int32), converted, revenue, ("off", "on"))
    assert check_regime(trial, correction, estimator_gaps(_params(), correction)).ok is True
    regime = check_regime(trial, correction, estimator_gaps(_params(shift_scale=0.75), correction))
    assert regime.ok is False
    assert regime.messages[0].startswith("model.severity.shift_scale")
    assert "sweep" in regime.advice


def test_a_correction_that_does_not_tell_says_nothing(tmp_path: Path) -> None:
    older = LayeredCorrection.load(write_correction(tmp_path))
    assert "fitted_by" not in json.loads((tmp_path / COVERAGE_FILE).read_text())
    assert older.fitted_by is None
    assert estimator_gaps(_params(estimator="mymodel:build"), older) == ()
    assert estimator_gaps(_params(), None) == ()

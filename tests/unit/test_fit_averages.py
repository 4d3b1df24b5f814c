"""A fit that keeps draws keeps those of its averages: the same that its summary tells of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analysis_examples import write_params

from sbcflow.params import load
from sbcflow.sweep.fit import run_config


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Summary and arrays of the first config of the smoke test sweep, whose save_samples is true."""
    params = load(write_params(tmp_path_factory.mktemp("averages") / "params.yaml"))
    return run_config(params, "test", 0)


def test_everybody_comes_first(fitted: tuple[dict[str, Any], dict[str, np.ndarray]]) -> None:
    summary, arrays = fitted
    effects, everybody = summary["effects"], arrays["average_draws"][0]
    n_averages, n_effects, n_draws = arrays["average_draws"].shape
    assert arrays["average_share"].shape == (n_averages,) and arrays["average_share"][0] == 1
    assert arrays["average_truth"].shape == (n_averages, n_effects)
    assert n_averages > 1 and n_draws == arrays["draws"].shape[1]
    assert everybody[0].mean() == pytest.approx(effects["ate_1_mean"], rel=1e-5)
    assert everybody[0].std() == pytest.approx(effects["ate_1_sd"], rel=1e-5)
    assert arrays["average_truth"][0, 0] == effects["ate_1_truth"]
    # Any other row is somebody else's effect.
    assert arrays["average_draws"][1, 0].mean() != pytest.approx(effects["ate_1_mean"], rel=1e-5)


def test_segments_come_after_with_their_share(fitted: tuple[dict[str, Any], dict[str, np.ndarray]]) -> None:
    summary, arrays = fitted
    share = arrays["average_share"][1:]
    assert ((share > 0) & (share <= 1)).all()
    # The segments of each feature are all visitors, so that shares add up to the number of features.
    assert share.sum() == pytest.approx(arrays["covariates"].shape[1])
    lower, upper = np.quantile(arrays["average_draws"][1:], [0.05, 0.95], axis=-1)
    truth = arrays["average_truth"][1:]
    covered = (lower <= truth) & (truth <= upper)
    assert covered.mean() == pytest.approx(summary["effects"]["segment_coverage_90"])


def test_no_draws_no_averages(tmp_path: Path) -> None:
    assert run_config(load(write_params(tmp_path / "params.yaml")), "train", 0)[1] == {}

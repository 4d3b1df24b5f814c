"""The example two_part: a bootstrap's intervals are too narrow, and the correction mends most of it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pandas as pd
import pytest

from workflow_project import Project

HIGH_LEVELS = (0.9, 0.95, 0.975)


@pytest.fixture(scope="module")
def two_part(make_example: Callable[[str], Project]) -> Project:
    """The example, checked and run, with half of its bootstrap samples."""
    project = make_example("two_part")
    project.set_param("own.estimator", "{n_bootstrap: 50, C: 0.01, alpha: 300.0}")
    assert "problem" not in project.run("sbcflow", "check-estimator").stdout
    assert project.snakemake("--config", "configs_per_job=24") == 40
    return project


def test_the_bootstrap_is_overconfident_and_the_correction_mends_it(two_part: Project) -> None:
    folder = two_part.path / "runs/two-part-evaluation"
    scores = pd.read_csv(folder / "scorecard.csv").query("group == 'all'").set_index(["method", "level"])
    raw, layered = (scores.loc[method]["coverage"] for method in ("raw", "layered"))
    for level in HIGH_LEVELS:
        assert raw[level] < level - 0.04
        assert abs(layered[level] - level) < abs(raw[level] - level) / 2
    summary = json.loads((folder / "scorecard.json").read_text())
    errors = summary["mean_absolute_coverage_error"]
    assert errors["layered"]["value"] < errors["raw"]["value"] / 2
    assert summary["verdict"]["code"] == "better_than_raw"


def test_each_fit_is_of_this_estimator(two_part: Project) -> None:
    summary = next((two_part.path / "runs/two-part-test/configs").glob("*/summary.json"))
    ingredients = json.loads(summary.read_text())["ingredients"]
    assert ingredients["estimator"] == "two_part:build"
    assert ingredients["own"]["estimator"]["n_bootstrap"] == 50
    assert "two_part" in ingredients["source"]

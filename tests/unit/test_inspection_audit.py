"""An audit of real, small fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from analysis_examples import write_params

from sbcflow.calibration.comparison import coverage_error
from sbcflow.errors import ArtifactError, ParamsError
from sbcflow.files import read_json
from sbcflow.inspection.audit import audit, drawn
from sbcflow.inspection.audit_text import render_audit
from sbcflow.levels import LEVELS, coverage_metric
from sbcflow.params import Params, load
from sbcflow.sweep.fit import fit_config
from sbcflow.sweep.layout import summary_path
from sbcflow.sweep.plan import plan_config


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the first two configs of its train sweep fitted; its sampler converges on them."""
    folder = tmp_path_factory.mktemp("fitted")
    path = write_params(folder / "params.yaml")
    values = yaml.safe_load(path.read_text())
    values["inference"]["nuts"] |= {"n_warmup": 200, "n_samples": 600, "max_tree_depth": 4}
    path.write_text(yaml.safe_dump(values))
    params = load(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for index in range(2):
            fit_config(params, "train", index)
    return folder


@pytest.fixture
def params(project: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(project)
    return two_configs(load())


def two_configs(params: Params, **inference: object) -> Params:
    sweep = params.train_sweep.model_copy(update={"n_configs": 2, "scales": params.train_sweep.scales[:1]})
    settings = params.inference.model_copy(update=inference)
    return params.model_copy(update={"train_sweep": sweep, "inference": settings})


def test_an_audit_fits_by_nuts_and_leaves_nothing(params: Params, project: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in project.rglob("*")}
    said: list[str] = []
    found = audit(params, "train", 1.0, 0, say=said.append)
    assert {path: path.stat().st_mtime_ns for path in project.rglob("*")} == before
    assert found.config_ids == tuple(plan_config(params, "train", i).config_id for i in range(2))
    assert (found.n_fits, found.unconverged) == (2, 0)
    assert said[1].endswith("fitting it by NUTS, 2 of 2")
    metrics = [read_json(summary_path(found.run_id, one))["metrics"] for one in found.config_ids]
    means = [sum(m[coverage_metric(level)] for m in metrics) / 2 for level in LEVELS]
    assert found.attribution.approximate.value == pytest.approx(coverage_error(np.array(means)))
    assert found.attribution.reference.value != found.attribution.approximate.value
    text = render_audit(found)
    assert text.startswith(f"{found.run_id}: {found.n_fits} fits by laplace and again by nuts")
    assert set(found.plain()) >= {"run_id", "n_fits", "approximate", "reference", "share"}


@pytest.mark.parametrize("share", [0.0, -1.0, 1.1])
def test_a_share_that_is_none_is_refused(params: Params, share: float) -> None:
    with pytest.raises(ParamsError, match=r"share: must lie in \(0, 1\]"):
        audit(params, "train", share, 0, say=print)


def test_fits_by_nuts_need_no_audit(params: Params) -> None:
    with pytest.raises(ParamsError, match="by the inference method laplace"):
        audit(two_configs(params, method="nuts"), "train", 1.0, 0, say=print)


def test_a_config_that_is_not_fitted_is_named(params: Params) -> None:
    sweep = params.train_sweep.model_copy(update={"n_configs": 3})
    with pytest.raises(ArtifactError, match=r"summary.json: no such fit; fit the sweep first"):
        audit(params.model_copy(update={"train_sweep": sweep}), "train", 1.0, 0, say=print)


def test_the_seed_draws_and_two_are_the_fewest(params: Params) -> None:
    assert len(drawn(params, "train", 0.01, seed=1)) == 2

"""An audit of real, small fits."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from analysis_examples import write_params

from sbcflow.calibration.comparison import coverage_error
from sbcflow.errors import ArtifactError, ParamsError
from sbcflow.files import read_json
from sbcflow.inspection.audit import audit, find_audit
from sbcflow.inspection.audit_text import render_audit
from sbcflow.levels import LEVELS, coverage_metric
from sbcflow.params import Params, load
from sbcflow.sweep.audit import write_audit
from sbcflow.sweep.audit_plan import reference_params
from sbcflow.sweep.fit import fit_config
from sbcflow.sweep.layout import (
    audit_id,
    audit_path,
    config_dir,
    configs_dir,
    manifest_path,
    run_dir,
    summary_path,
)
from sbcflow.sweep.plan import plan_config
from sbcflow.sweep.record import write_manifest
from sbcflow.validate import validate


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
    assert said == [f"{found.run_id} config {i}: fitting it by NUTS" for i in range(2)]
    metrics = [read_json(summary_path(found.run_id, one))["metrics"] for one in found.config_ids]
    means = [sum(m[coverage_metric(level)] for m in metrics) / 2 for level in LEVELS]
    assert found.attribution.approximate.value == pytest.approx(coverage_error(np.array(means)))
    assert found.attribution.reference.value != found.attribution.approximate.value
    text = render_audit(found.plain())
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


def test_what_the_workflow_fitted_is_used(
    params: Params, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Recorded fits by NUTS give the figures that fitting here gives, and each fit is used under its key."""
    here = audit(params, "train", 1.0, 0, say=print)
    shutil.copytree(project / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    exact = reference_params(params, "train")
    fit_config(exact, "train", 1)
    said: list[str] = []
    assert audit(params, "train", 1.0, 0, say=said.append) == here
    assert [line.split(": ")[1][:20] for line in said] == ["fitting it by NUTS", "fitted by NUTS befor"]


@pytest.fixture
def audited(params: Params, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a sweep, its audit and an evaluation on it; the manifests of the others are bare."""
    shutil.copytree(project / "runs", tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    for index in range(2):
        fit_config(reference_params(params, "train"), "train", index)
    calibration: dict[str, object] = {
        "master_seed": 1,
        "n_configs": 2,
        "scales": [800],
        "generator_family": "v2",
        "sweep_kind": "train",
        "save_samples": False,
    }
    swept = write_manifest(params.train_sweep.id, "sweep", params={}, seed=1, calibration=calibration)
    run_dir("card").mkdir()
    write_manifest("card", "evaluation", params={}, seed=1, links={"test": swept})
    write_audit(params, "train", 1.0)
    return run_dir("card")


def test_a_record_is_found_from_the_evaluation_of_its_sweep(params: Params, audited: Path) -> None:
    here = audit(params, "train", 1.0, 0, say=print).plain()
    assert find_audit(audited) == {**here, "config_ids": list(here["config_ids"])}
    assert validate(audit_path(params.train_sweep.id).parent).ok


def test_a_record_of_fits_that_are_gone_is_none(params: Params, audited: Path) -> None:
    shutil.rmtree(config_dir(params.train_sweep.id, plan_config(params, "train", 1).config_id))
    assert find_audit(audited) is None


def test_an_audit_of_another_sweep_is_none(audited: Path) -> None:
    write_manifest("card", "evaluation", params={}, seed=1, links={"test": "2026-05-27T12-34-56Z_abc1234"})
    assert find_audit(audited) is None
    (audited / "manifest.json").unlink()
    assert find_audit(audited) is None


def test_a_record_that_was_altered_is_refused(params: Params, audited: Path) -> None:
    path = audit_path(params.train_sweep.id)
    path.write_text(path.read_text().replace('"n_fits": 2', '"n_fits": 3'))
    with pytest.raises(ArtifactError, match=r"audit.json: is not what manifest.json lists"):
        find_audit(audited)
    problems = " ".join(validate(path.parent).problems)
    assert "n_fits and unconverged together is 3; must be 2" in problems


@pytest.mark.usefixtures("audited")
def test_gathering_keeps_other_draws_and_removes_what_no_plan_has(params: Params) -> None:
    run_id = audit_id(params.train_sweep.id)
    stale = config_dir(run_id, "0000-00000000")
    shutil.copytree(next(configs_dir(run_id).iterdir()), stale)
    before = manifest_path(run_id).read_bytes()
    write_audit(params, "train", 1.0)
    assert not stale.exists()
    assert len(list(configs_dir(run_id).iterdir())) == 2
    assert manifest_path(run_id).read_bytes() == before


@pytest.mark.usefixtures("audited")
def test_a_fit_that_is_missing_from_a_record_is_a_problem(params: Params) -> None:
    run_id = audit_id(params.train_sweep.id)
    fits = sorted(configs_dir(run_id).iterdir())
    shutil.rmtree(fits[1])
    assert "has no fit by nuts of the configs [1]" in " ".join(validate(configs_dir(run_id).parent).problems)
    with pytest.raises(ArtifactError, match=r"smoke-train-audit/configs/0001-.*: no such file"):
        write_audit(params, "train", 1.0)

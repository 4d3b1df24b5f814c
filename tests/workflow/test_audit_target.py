"""`snakemake audit`: fits by NUTS fan out, are cached by key, and what they tell is recorded."""

from __future__ import annotations

import json
from pathlib import Path

from sbcflow import manifest
from sbcflow.sweep.layout import parse_config_id
from workflow_project import Project

AUDIT = "runs/smoke-test-audit"
TINY = """
train_sweep: {n_configs: 1}
test_sweep: {n_configs: 3}
inference: {nuts: {n_warmup: 200, n_samples: 600, max_tree_depth: 4}}
"""


def _refits(project: Project) -> dict[str, int]:
    return {
        path.parent.name: path.stat().st_mtime_ns
        for path in project.path.glob(f"{AUDIT}/configs/*/summary.json")
    }


def _sweep_files(project: Project) -> dict[Path, bytes]:
    return {
        path: path.read_bytes()
        for path in sorted((project.path / "runs/smoke-test").rglob("*"))
        if path.is_file()
    }


def test_an_audit_is_recorded_cached_and_grows(project: Project) -> None:
    """Two experiments by NUTS; nothing of the sweep changes; a second call fits nothing."""
    scenario = project.path.parent / "tiny.yaml"
    scenario.write_text(TINY)
    project.apply(scenario)
    assert project.repro() == 4
    before = _sweep_files(project)

    assert project.snakemake("audit") == 2
    first = _refits(project)
    found = json.loads(project.text(f"{AUDIT}/audit.json"))
    assert (len(first), found["n_fits"] + found["unconverged"]) == (2, 2)
    indices = sorted(parse_config_id(name).index for name in first)
    assert [parse_config_id(name).index for name in found["config_ids"]] == indices
    assert not set(first) & set(found["config_ids"]), "the settings of NUTS are in the keys of its fits"
    assert _sweep_files(project) == before
    assert "up to date" in project.run("dvc", "status").stdout
    _check_record(project)
    _check_shown(project, found)

    told, document = project.text(f"{AUDIT}/manifest.json"), project.text(f"{AUDIT}/audit.json")
    assert project.snakemake("audit") == 0
    assert (project.text(f"{AUDIT}/manifest.json"), project.text(f"{AUDIT}/audit.json")) == (told, document)
    assert project.snakemake("audit", "--config", "audit_share=1") == 1
    assert {name: time for name, time in _refits(project).items() if name in first} == first
    assert len(_refits(project)) == 3
    assert len(json.loads(project.text(f"{AUDIT}/audit.json"))["config_ids"]) == 3
    assert "up to date" in project.run("dvc", "status").stdout


def _check_record(project: Project) -> None:
    record = manifest.read(project.path / AUDIT / "manifest.json")
    sweep = manifest.read(project.path / "runs/smoke-test/manifest.json")
    assert record["pytyche"]["sbcflow"]["links"] == {"audited": sweep["experiment_id"]}
    assert record["params"]["inference"]["method"] == "nuts"
    assert ": ok (" in project.run("sbcflow", "validate", AUDIT).stdout


def _check_shown(project: Project, found: dict) -> None:
    card = project.run("sbcflow", "scorecard").stdout
    assert f"Audit of smoke-test: {found['n_fits']} fits by laplace and again by nuts" in card
    told = project.run("sbcflow", "audit", "smoke-test").stdout
    assert told.count("fitted by NUTS before") == 2
    assert "fitting it by NUTS" not in told
    out = project.run("sbcflow", "audit", "smoke-test", "--json").stdout
    assert json.loads(out[out.index("{") :]) == found


def test_bad_shares_end_before_any_work(project: Project) -> None:
    for share in ("0", "1.5", "-0.1", "true", "half"):
        done = project.run("snakemake", "audit", "--config", f"audit_share={share}", check=False)
        assert done.returncode != 0
        assert "error: audit_share: must be a number in (0, 1], got " in done.stdout
        assert "Traceback" not in done.stdout
    assert not (project.path / "runs").exists()


def test_a_sweep_by_nuts_has_no_audit(project: Project) -> None:
    project.set_param("inference.method", "nuts")
    done = project.run("snakemake", "audit", check=False)
    assert done.returncode != 0
    assert "error: an audit is of fits of the estimator hurdle by the inference method laplace" in done.stdout
    assert "Traceback" not in done.stdout
    assert not (project.path / "runs").exists()

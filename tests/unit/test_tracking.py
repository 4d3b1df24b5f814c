"""DVCLive's files: their content, and that no repository, variable or former folder reaches them."""

import csv
import json
import os
import subprocess
import time

import numpy as np
import pytest
import yaml

from sbcflow import tracking
from sbcflow.errors import ArtifactError
from sbcflow.tracking import TrackedFit, write_dvclive

FOREIGN = {
    "DVCLIVE_RESUME": "1",
    "DVCLIVE_TEST": "1",
    "DVCLIVE_LOGLEVEL": "DEBUG",
    "DVC_EXP_BASELINE_REV": "a" * 40,
    "DVC_EXP_NAME": "elsewhere",
    "DVC_STUDIO_TOKEN": "token",
    "DVC_STUDIO_URL": "http://127.0.0.1:9",
    "STUDIO_REPO_URL": "git@example.org:x/y.git",
}


def fits(n=3, **changes):
    return [
        TrackedFit(
            config_id=f"{i:04d}-1a2b3c4d",
            config_seed=2**53 - 1 - i,
            n_visitors=2000 * (1 + i % 2),
            generator_family="v2",
            metrics={
                "coverage_90": 0.1 + 0.2 * i,
                "rmse": 1 / 3,
                "bias": -0.5,
                "wall_seconds": 2.5,
                **changes,
            },
        )
        for i in range(n)
    ]


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def read_tsv(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


@pytest.fixture
def outside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_one_step_a_fit(outside):
    write_dvclive("run/dvclive", fits())
    folder = outside / "run/dvclive"
    names = ["coverage_90", "rmse", "bias", "wall_seconds"]
    assert sorted(contents(folder)) == sorted(
        ["metrics.json", "metrics.tsv", "params.yaml", *(f"plots/metrics/{name}.tsv" for name in names)]
    )
    for name in names:
        rows = read_tsv(folder / f"plots/metrics/{name}.tsv")
        assert [(int(row["step"]), float(row[name])) for row in rows] == [
            (i, fit.metrics[name]) for i, fit in enumerate(fits())
        ]
    assert json.loads((folder / "metrics.json").read_text()) == {**fits()[-1].metrics, "step": 2}
    assert yaml.safe_load((folder / "params.yaml").read_text()) == {
        "config_seed": [2**53 - 1, 2**53 - 2, 2**53 - 3],
        "n_visitors": [2000, 4000, 2000],
        "generator_family": ["v2", "v2", "v2"],
    }


def test_the_table_holds_all_of_it(outside):
    write_dvclive("dvclive", fits())
    rows = read_tsv(outside / "dvclive/metrics.tsv")
    assert list(rows[0]) == [
        *("step", "config_id", "config_seed", "n_visitors", "generator_family"),
        *("coverage_90", "rmse", "bias", "wall_seconds"),
    ]
    assert [row["config_id"] for row in rows] == [fit.config_id for fit in fits()]
    assert [int(row["config_seed"]) for row in rows] == [fit.config_seed for fit in fits()]
    assert [float(row["rmse"]) for row in rows] == [1 / 3] * 3


def test_the_bytes_follow_from_the_fits_alone(outside):
    write_dvclive("a", fits())
    time.sleep(0.01)
    numpy_fits = [
        TrackedFit(f.config_id, np.int64(f.config_seed), np.int32(f.n_visitors), f.generator_family, values)
        for f in fits()
        for values in [{name: np.float64(value) for name, value in f.metrics.items()}]
    ]
    write_dvclive("b", numpy_fits)
    assert contents(outside / "a") == contents(outside / "b")


def test_a_former_folder_is_replaced(outside):
    (outside / "dvclive/plots/metrics").mkdir(parents=True)
    (outside / "dvclive/plots/metrics/rmse.tsv").write_text("step\trmse\n9\t9\n")
    (outside / "dvclive/report.html").touch()
    write_dvclive("dvclive", fits(1))
    assert len(read_tsv(outside / "dvclive/plots/metrics/rmse.tsv")) == 1
    assert not (outside / "dvclive/report.html").exists()
    assert [p.name for p in outside.iterdir()] == ["dvclive"]


def _git(root, *arguments):
    who = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", root, *who, *arguments], check=True, capture_output=True)


@pytest.mark.parametrize("is_dvc", [False, True])
def test_no_repository_is_touched_whatever_the_variables(outside, monkeypatch, is_dvc):
    """As under ``dvc exp run``: Git's index, refs and worktree, and .dvc, stay byte for byte."""
    monkeypatch.setenv("HOME", str(outside / "home"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    root = outside / "repo"
    root.mkdir()
    _git(root, "init", "--quiet")
    if is_dvc:
        (root / ".dvc").mkdir()
        (root / ".dvc/config").write_text('[studio]\n    token = "token"\n')
    (root / "dvc.yaml").write_text("stages: {}\n")
    _git(root, "add", ".")
    _git(root, "commit", "--quiet", "-m", "first")
    before = contents(root)
    monkeypatch.chdir(root)
    for name, value in {**FOREIGN, "DVC_ROOT": str(root), "GIT_DIR": str(root / ".git")}.items():
        monkeypatch.setenv(name, value)
    write_dvclive("runs/pilot/dvclive", fits())
    after = contents(root)
    written = {name for name in after if name.startswith("runs/pilot/dvclive/")}
    assert {name: after[name] for name in after.keys() - written} == before

    for name in (*FOREIGN, "DVC_ROOT", "GIT_DIR"):
        monkeypatch.delenv(name)
    monkeypatch.chdir(outside)
    write_dvclive("plain", fits())
    assert contents(root / "runs/pilot/dvclive") == contents(outside / "plain")


def test_the_environment_of_the_caller_is_left_alone(outside, monkeypatch):
    monkeypatch.setenv("DVC_EXP_NAME", "mine")
    before = dict(os.environ)
    write_dvclive("dvclive", fits(1))
    assert dict(os.environ) == before
    assert os.getcwd() == str(outside)  # noqa: PTH109


def test_a_sweep_has_a_fit(outside):
    with pytest.raises(ArtifactError, match="no fit to track"):
        write_dvclive("dvclive", [])
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_metric_that_is_not_finite_is_named(outside, value):
    with pytest.raises(ArtifactError, match=r"dvclive: 0000-1a2b3c4d: rmse is (nan|inf); must be finite"):
        write_dvclive("dvclive", fits(rmse=value))
    assert list(outside.iterdir()) == []


def test_a_metric_missing_from_a_fit_is_named(outside):
    odd = TrackedFit("0009-1a2b3c4d", 1, 2000, "v2", {"rmse": 1.0})
    with pytest.raises(ArtifactError, match="0009-1a2b3c4d has the metrics rmse; every fit must have"):
        write_dvclive("dvclive", [*fits(), odd])
    assert list(outside.iterdir()) == []


def test_a_failure_of_dvclive_leaves_the_former_folder(outside, monkeypatch):
    (outside / "dvclive").mkdir()
    (outside / "dvclive/old").touch()
    monkeypatch.setattr(tracking, "CHILD", "raise RuntimeError('no disk')")
    with pytest.raises(ArtifactError, match="dvclive: DVCLive failed: RuntimeError: no disk"):
        write_dvclive("dvclive", fits())
    assert [p.name for p in outside.rglob("*")] == ["dvclive", "old"]

"""``sbcflow status``, ``explain`` and ``replay`` on a real run, and what they say of a fit that failed."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from workflow_project import Project

COMMAND = "import sys; sys.argv[0] = 'sbcflow'; from sbcflow.cli import main; main()"
N_FITS = {"smoke-train": 3, "smoke-test": 2}


def _sbcflow(project: Project, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = project.run("python", "-c", COMMAND, *words, check=False)
    assert done.returncode == code, done.stdout
    return done


def _json(project: Project, *words: str) -> Any:
    return json.loads(_sbcflow(project, *words, "--json").stdout)


def test_a_run_is_done_and_nothing_would_run(reproduced: Project) -> None:
    statuses = _json(reproduced, "status")
    assert {one["run_id"]: one["counts"]["done"] for one in statuses} == N_FITS
    assert all(one["n_configs"] == one["counts"]["done"] and one["gathered"] for one in statuses), statuses
    assert all(one["problems"] == [] and one["hosts"][0]["cache_misses"] >= 0 for one in statuses)
    assert "3 of 3 fits done\ngathered: yes\n" in _sbcflow(reproduced, "status", "--watch").stdout
    for run_id, n_fits in N_FITS.items():
        assert (
            f"nothing would run: all of {n_fits} configs are fitted\n"
            in _sbcflow(reproduced, "explain", run_id).stdout
        )
    assert reproduced.run("git", "status", "--short").stdout == ""


def test_a_changed_setting_is_named_for_every_config(reproduced: Project) -> None:
    reproduced.set_param("model.severity.shift_scale", 0.6)
    for run_id, n_fits in N_FITS.items():
        would_run = _json(reproduced, "explain", run_id)["would_run"]
        change = {"name": "model.severity.shift_scale", "before": 0.15, "after": 0.6}
        assert [one["changes"] for one in would_run] == [[change]] * n_fits
        text = _sbcflow(reproduced, "explain", run_id).stdout
        assert text.endswith(
            f"\n{n_fits} configs (0000-000{n_fits - 1}): model.severity.shift_scale: 0.15 -> 0.6\n"
        )
    status = _sbcflow(reproduced, "status", "smoke-train").stdout
    assert "0 of 3 fits done, 3 missing; no job runs\ngathered: no, the table is of another plan\n" in status
    assert (
        "the plan has moved on"
        in _sbcflow(reproduced, "replay", "smoke-train", would_run[0]["former"], code=2).stdout
    )
    reproduced.restore()


def test_an_edited_module_is_named(reproduced: Project) -> None:
    path = reproduced.path / "src/sbcflow/likelihood.py"
    path.write_text(f"{path.read_text()}\n\nA_LINE_THAT_COUNTS = 1\n")
    text = _sbcflow(reproduced, "explain", "train_sweep").stdout
    assert text.endswith("\n3 configs (0000-0002): source: sbcflow.likelihood changed\n")
    reproduced.restore()


def test_a_fit_repeats_to_the_bit(reproduced: Project) -> None:
    replayed = _sbcflow(reproduced, "replay", "smoke-test", "1").stdout
    assert "fields are the same, draws too\n" in replayed
    assert reproduced.run("git", "status", "--short").stdout == ""
    assert reproduced.run("dvc", "status").stdout.endswith("up to date.\n")


def test_a_fit_that_failed_is_named_with_its_reason(project: Project) -> None:
    project.edit(
        "src/sbcflow/sweep/fit.py",
        "    sweep, execution = params",
        "    if index == 1:\n        raise ValueError('made to fail')\n    sweep, execution = params",
    )
    assert project.run("snakemake", "train_sweep", check=False).returncode != 0
    (status,) = _json(project, "status", "smoke-train")
    assert (status["counts"]["done"], status["counts"]["failed"], status["gathered"]) == (2, 1, False)
    (failed,) = status["unfinished"]
    assert failed["config_id"].startswith("0001-") and "ValueError: made to fail" in failed["message"]
    assert "made to fail" in project.text(failed["log"])

"""What is fitted again, and what is not: by the cache key alone, with Snakemake's metadata or without."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from workflow_project import Project

N_TRAIN, N_TEST = 3, 2
N_ALL = N_TRAIN + N_TEST
LIKELIHOOD = "src/sbcflow/likelihood.py"


def test_only_what_changed_is_fitted(reproduced: Project) -> None:
    """One story, since each step needs the state that the last one left."""
    assert reproduced.repro() == 0
    _add_configs(reproduced)
    _change_the_model_and_go_back(reproduced)
    _edit_words_and_work(reproduced)


def _add_configs(project: Project) -> None:
    experiment = _experiment_id(project)
    project.set_param("train_sweep.n_configs", N_TRAIN + 2)
    assert project.repro() == 2
    assert len(_rows(project)) == N_TRAIN + 2
    project.set_param("train_sweep.n_configs", N_TRAIN)
    assert project.repro() == 0
    assert len(_rows(project)) == N_TRAIN
    assert len(list(project.path.glob("runs/smoke-train/configs/*"))) == N_TRAIN
    project.restore()
    assert _experiment_id(project) == experiment


def _change_the_model_and_go_back(project: Project) -> None:
    before = _results(project)
    project.set_param("model.severity.shift_scale", 0.6)
    assert project.repro() == N_ALL
    assert _results(project) != before
    project.restore()
    assert project.repro() == 0
    assert _results(project) == before


def _edit_words_and_work(project: Project) -> None:
    _add_words(project)
    assert project.repro() == 0
    text = project.text(LIKELIHOOD)
    (project.path / LIKELIHOOD).write_text(f"{text}\n\nA_LINE_THAT_COUNTS = 1\n")
    assert project.repro() == N_ALL
    project.restore()
    assert project.repro() == 0


def _add_words(project: Project) -> None:
    text = project.text(LIKELIHOOD)
    (project.path / LIKELIHOOD).write_text(f"# Words that change nothing.\n{text}")


def test_a_clone_without_metadata_fits_nothing_again(reproduced: Project, tmp_path: Path) -> None:
    reproduced.run(
        "dvc", "remote", "add", "--force", "--local", "--default", "here", str(tmp_path / "remote")
    )
    reproduced.run("dvc", "push", "--quiet")
    clone = reproduced.clone(tmp_path / "clone")
    clone.run("dvc", "remote", "add", "--local", "--default", "here", str(tmp_path / "remote"))
    clone.run("dvc", "pull", "--quiet")
    assert clone.repro() == 0
    _add_words(clone)  # so that Snakemake is asked, and has no records to answer from
    assert clone.repro("train_sweep") == 0
    clone.set_param("train_sweep.n_configs", N_TRAIN + 1)
    assert clone.repro("train_sweep") == 1
    assert _results(clone)[:-1] == _results(reproduced)


def test_plain_snakemake_gathers_anew_in_any_state(reproduced: Project) -> None:
    """Without DVC: an older table put back, newer than all it is made from, is not believed."""
    aggregate = reproduced.path / "runs/smoke-train/aggregate.csv"
    right = aggregate.read_bytes()
    aggregate.write_bytes(right.splitlines(keepends=True)[0])
    assert reproduced.snakemake("train_sweep") == 0
    assert aggregate.read_bytes() == right


def test_one_core_and_two_give_the_same_table(reproduced: Project, project: Project) -> None:
    assert project.snakemake("--cores", "1", "train_sweep") == N_TRAIN
    assert _results(project) == _results(reproduced)


def test_a_killed_sweep_loses_only_what_was_in_flight(project: Project) -> None:
    project.set_param("train_sweep.n_configs", 6)
    configs = project.path / "runs/smoke-train/configs"
    with subprocess.Popen(
        ["dvc", "repro", "train_sweep"],
        cwd=project.path,
        env=project.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as running:
        _wait_for(lambda: len(list(configs.glob("*/summary.json"))) >= 2)
        os.killpg(running.pid, signal.SIGKILL)
    kept = {path: path.stat().st_mtime_ns for path in configs.glob("*/summary.json")}
    assert 2 <= len(kept) < 6
    assert project.repro("train_sweep") == 6 - len(kept)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert len(_rows(project)) == 6


def test_an_edited_or_cut_summary_is_refused_by_name(reproduced: Project) -> None:
    summary = next(reproduced.path.glob("runs/smoke-train/configs/0001-*/summary.json"))
    whole = summary.read_text()
    for text in (whole[: len(whole) // 2], whole.replace('"seed": ', '"seed": 1', 1)):
        assert text != whole
        summary.unlink()
        summary.write_text(text)
        done = reproduced.run("snakemake", "train_sweep", check=False)
        assert done.returncode != 0
        assert re.search(r"error: .*configs/0001-\w{8}/summary\.json", done.stdout), done.stdout
    summary.unlink()
    assert reproduced.snakemake("train_sweep") == 1
    reproduced.restore()


def test_an_altered_table_or_correction_is_not_used(reproduced: Project) -> None:
    for file, stage in (
        ("runs/smoke-train/aggregate.csv", "fit_corrections"),
        ("runs/smoke-corrections/coverage_correction.json", "evaluate_layered"),
    ):
        path = reproduced.path / file
        text = path.read_text().replace("0.", "0.1", 1)
        path.unlink()  # it may be a link into DVC's cache
        path.write_text(text)
        done = reproduced.run("dvc", "repro", "--force", "--single-item", stage, check=False)
        assert done.returncode != 0
        assert f"error: {file}: is not what manifest.json lists; make the run again" in done.stdout
        reproduced.restore()


def _wait_for(condition, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def _rows(project: Project) -> list[dict[str, str]]:
    header, *lines = project.text("runs/smoke-train/aggregate.csv").splitlines()
    return [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]


def _results(project: Project) -> list[dict[str, str]]:
    """The rows of the train sweep's table, as text, less how long each took."""
    return [{name: value for name, value in row.items() if name != "wall_seconds"} for row in _rows(project)]


def _experiment_id(project: Project) -> str:
    return json.loads(project.text("runs/smoke-train/manifest.json"))["experiment_id"]

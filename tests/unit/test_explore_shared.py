"""Fits are taken over by their keys: whole and sound ones, as copies, at their place in the new sweep."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from analysis_examples import write_params

from sbcflow.explore.plan import PlannedExperiment, plan_experiments
from sbcflow.explore.shared import share_fits
from sbcflow.files import sha256_of, write_json
from sbcflow.sweep.layout import config_dir, configs_dir, draws_path, summary_path
from sbcflow.sweep.summary import read_summary, write_summary

N_CONFIGS = "exploratory_sweep.n_configs"
SCALES = "exploratory_sweep.scales"
SAMPLES = "exploratory_sweep.save_samples"


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path / "params.yaml")


def _plan(**values: Any) -> PlannedExperiment:
    keys = {"n_configs": N_CONFIGS, "scales": SCALES, "save_samples": SAMPLES}
    return plan_experiments({keys[name]: [value] for name, value in values.items()})[0]


def _finish(planned: PlannedExperiment) -> None:
    """Write what fits of a sweep would leave, as far as sharing looks at it."""
    for one in planned.configs:
        draws, checksum = draws_path(planned.sweep.id, one.config_id), None
        if planned.sweep.save_samples:
            draws.parent.mkdir(parents=True)
            draws.write_bytes(f"draws of {one.seed}".encode())
            checksum = sha256_of(draws)
        config = {"index": one.index, "seed": one.seed, "n_visitors": one.n_visitors}
        summary = {"config_id": one.config_id, "key": one.key, "config": config, "metrics": {"crps": 1.5}}
        write_summary(summary_path(planned.sweep.id, one.config_id), {**summary, "draws_sha256": checksum})


def _summaries(planned: PlannedExperiment) -> list[Path]:
    return [summary_path(planned.sweep.id, one.config_id) for one in planned.configs]


def test_what_another_sweep_has_is_copied_and_the_rest_is_not_there() -> None:
    two, three = _plan(n_configs=2), _plan(n_configs=3)
    _finish(two)
    assert share_fits(three) == 2
    assert [path.exists() for path in _summaries(three)] == [True, True, False]
    for source, copy in zip(_summaries(two), _summaries(three), strict=False):
        assert copy.read_bytes() == source.read_bytes()
        assert copy.stat().st_ino != source.stat().st_ino and not copy.is_symlink()
    assert share_fits(three) == 0
    assert share_fits(two) == 0


def test_a_fit_takes_its_place_in_the_new_order() -> None:
    narrow, wide = _plan(n_configs=2, scales=[800]), _plan(n_configs=2, scales=[900, 800])
    _finish(narrow)
    assert share_fits(wide) == 2
    for i in (1, 3):
        summary = read_summary(wide.sweep, wide.configs[i])
        assert (summary["config_id"], summary["config"]["index"]) == (wide.configs[i].config_id, i)
        assert summary["metrics"] == {"crps": 1.5}


def test_draws_come_along_and_only_where_they_are_kept() -> None:
    two, three, without = (
        _plan(n_configs=n, save_samples=samples) for n, samples in ((2, True), (3, True), (2, False))
    )
    _finish(two)
    assert share_fits(three) == 2
    copy = draws_path(three.sweep.id, three.configs[0].config_id)
    assert copy.read_bytes() == f"draws of {three.configs[0].seed}".encode()
    assert share_fits(without) == 0
    assert not configs_dir(without.sweep.id).exists()


def _cut(summary: Path) -> None:
    summary.write_bytes(summary.read_bytes()[:40])


def _edit(summary: Path) -> None:
    summary.write_text(summary.read_text().replace("1.5", "1.4"))


def _of_another_key(summary: Path) -> None:
    content = json.loads(summary.read_text())
    content.pop("seal")
    write_summary(summary, {**content, "key": content["key"][:8] + "0" * 56})


def _no_summary(summary: Path) -> None:
    write_json(summary, [])


def _alter_draws(summary: Path) -> None:
    summary.with_name("draws.npz").write_bytes(b"other")


def _lose_draws(summary: Path) -> None:
    summary.with_name("draws.npz").unlink()


@pytest.mark.parametrize("spoil", [_cut, _edit, _of_another_key, _no_summary, _alter_draws, _lose_draws])
def test_what_is_not_sound_is_left_and_another_copy_is_found(spoil: Any) -> None:
    two, three = _plan(n_configs=2, save_samples=True), _plan(n_configs=3, save_samples=True)
    _finish(two)
    spoil(_summaries(two)[0])
    assert share_fits(three) == 1
    assert not config_dir(three.sweep.id, three.configs[0].config_id).exists()
    later = Path("runs", "z-other", "configs", two.configs[0].config_id)
    shutil.rmtree(configs_dir(two.sweep.id))
    _finish(two)
    shutil.copytree(_summaries(two)[0].parent, later)
    spoil(_summaries(two)[0])
    assert share_fits(three) == 1


def test_a_fit_that_is_there_is_left_as_it_is() -> None:
    two, three = _plan(n_configs=2), _plan(n_configs=3)
    _finish(two)
    broken = _summaries(three)[0]
    broken.parent.mkdir(parents=True)
    broken.write_text("{")
    assert share_fits(three) == 1
    assert broken.read_text() == "{"


def test_hidden_folders_and_other_names_are_passed_over() -> None:
    two, three = _plan(n_configs=2), _plan(n_configs=3)
    _finish(two)
    Path("runs", two.sweep.id).rename(Path("runs", ".hidden"))
    Path("runs", "other", "configs", "not-a-config").mkdir(parents=True)
    assert share_fits(three) == 0

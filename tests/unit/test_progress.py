"""The line that a finished fit prints, from files alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from sbcflow.params import parse
from sbcflow.sweep.layout import summary_path
from sbcflow.sweep.plan import plan_sweep
from sbcflow.sweep.progress import progress_line, seconds_left

ROOT = Path(__file__).parents[2]


def test_time_left_comes_from_the_gaps_between_fits() -> None:
    assert seconds_left([0.0, 10.0, 20.0, 30.0], n_left=5, fit_seconds=9.0) == pytest.approx(50.0)


def test_two_workers_that_end_in_pairs_are_averaged() -> None:
    assert seconds_left([0.0, 20.0, 20.0, 40.0, 40.0], n_left=4, fit_seconds=19.0) == pytest.approx(40.0)


def test_a_pause_between_two_runs_does_not_count() -> None:
    assert seconds_left([0.0, 10.0, 90_000.0, 90_010.0], n_left=3, fit_seconds=9.0) == pytest.approx(30.0)


@pytest.mark.parametrize("finished", [[], [5.0], [0.0, 90_000.0]])
def test_too_few_fits_tell_nothing(finished: list[float]) -> None:
    assert seconds_left(finished, n_left=3, fit_seconds=9.0) is None


def test_a_line_names_the_fit_and_counts_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    params = parse(yaml.safe_load((ROOT / "params.yaml").read_text()))
    plan = plan_sweep(params, "train")
    summary = {
        "timings": {"wall_seconds": 9.0},
        "diagnostics": {"khat": 0.31},
        "metrics": {"coverage_90": 0.874},
    }
    for position, config in enumerate(plan[:3]):
        path = summary_path("pilot-train", config.config_id)
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(summary))
        os.utime(path, (0, 10.0 * position))
    assert progress_line(params.train_sweep.id, plan, plan[2].config_id) == (
        f"pilot-train {plan[2].config_id}: 9.0 s, k-hat 0.31, 90% covers 0.874; 3 of 24 fits done, "
        "about 0:03:30 left"
    )
    drawn = progress_line(params.train_sweep.id, plan, plan[2].config_id, bar=True)
    assert "0.874; ██░░░░░░░░░░░░░░░░░░ 3 of 24 fits done" in drawn

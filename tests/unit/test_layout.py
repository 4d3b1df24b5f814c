"""Names and paths of a run are made and parsed in one place."""

from __future__ import annotations

import re

import pytest

from sbcflow.errors import ArtifactError
from sbcflow.sweep import layout

KEY = "1a2b3c4d" + "0" * 56


@pytest.mark.parametrize("index", [0, 7, 9999, 10_000, 123_456])
def test_a_config_id_parses_back(index: int) -> None:
    config_id = layout.make_config_id(index, KEY)
    assert re.fullmatch(layout.CONFIG_ID_PATTERN, config_id)
    assert layout.parse_config_id(config_id) == layout.ConfigId(index, "1a2b3c4d")


@pytest.mark.parametrize(
    "name", ["7-1a2b3c4d", "0007-1a2b3c4", "0007-1A2B3C4D", "0007", "0007-1a2b3c4d.tmp", ""]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ArtifactError, match="expected <index>-<key8>"):
        layout.parse_config_id(name)


def test_config_ids_sort_by_index() -> None:
    names = [layout.make_config_id(index, KEY) for index in range(120)]
    assert sorted(names) == names


def test_a_runs_files_lie_in_its_folder_and_git_files_do_not() -> None:
    config_id = layout.make_config_id(7, KEY)
    assert str(layout.summary_path("pilot", config_id)) == "runs/pilot/configs/0007-1a2b3c4d/summary.json"
    assert str(layout.draws_path("pilot", config_id)) == "runs/pilot/configs/0007-1a2b3c4d/draws.npz"
    assert str(layout.aggregate_path("pilot")) == "runs/pilot/aggregate.csv"
    assert str(layout.manifest_path("pilot")) == "runs/pilot/manifest.json"
    assert str(layout.metrics_path("train_sweep")) == "metrics/train_sweep.json"
    batch_id = layout.make_batch_id(4, 7, KEY)
    assert str(layout.fit_log_path("pilot", batch_id)) == "logs/pilot/0004-0007-1a2b3c4d.log"
    assert str(layout.job_record_path("pilot", batch_id)) == "logs/pilot/0004-0007-1a2b3c4d.json"

"""Batches cut a plan by index, whatever is fitted; a job fits what is missing of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.cli import parse_config

from sbcflow.errors import ArtifactError, ParamsError
from sbcflow.params import Params, parse
from sbcflow.sweep.batch import BatchSettings, find_batch, plan_batches
from sbcflow.sweep.layout import draws_path, parse_batch_id, summary_path
from sbcflow.sweep.plan import PlannedConfig, plan_sweep

ROOT = Path(__file__).parents[2]


def _params(**train: Any) -> Params:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["train_sweep"].update(train)
    return parse(values)


PARAMS = _params(n_configs=5, scales=[500, 2000])
PLAN = plan_sweep(PARAMS, "train")


def _fit(one: PlannedConfig) -> Path:
    path = summary_path("pilot-train", one.config_id)
    path.parent.mkdir(parents=True)
    path.touch()
    return path


@given(size=st.integers(1, 14))
@settings(deadline=None)
def test_batches_of_any_size_are_the_plan_in_order(size: int) -> None:
    batches = plan_batches(PARAMS, "train", size)
    assert tuple(one for batch in batches for one in batch.configs) == PLAN
    sizes = [len(batch.configs) for batch in batches]
    assert set(sizes[:-1]) <= {size}
    assert 1 <= sizes[-1] <= size
    assert len({batch.batch_id for batch in batches}) == len(batches)


@given(size=st.integers(1, 14))
@settings(deadline=None)
def test_a_name_tells_the_configs_and_finds_the_batch(size: int) -> None:
    for batch in plan_batches(PARAMS, "train", size):
        named = parse_batch_id(batch.batch_id)
        assert [one.index for one in batch.configs] == list(range(named.first, named.last + 1))
        assert find_batch(PARAMS, "train", batch.batch_id) == batch


def test_a_batch_is_named_by_its_configs_and_not_by_those_beside_it() -> None:
    """Known answers: the same ten indices in two sweeps, and a longer plan of the same sweep."""
    longer = plan_batches(_params(n_configs=6, scales=[500, 2000]), "train", 4)
    reseeded = plan_batches(_params(n_configs=5, scales=[500, 2000], master_seed=7), "train", 4)
    ids = [batch.batch_id for batch in plan_batches(PARAMS, "train", 4)]
    assert [name[:9] for name in ids] == ["0000-0003", "0004-0007", "0008-0009"]
    assert [batch.batch_id for batch in longer][:2] == ids[:2]
    assert longer[2].batch_id[:9] == "0008-0011"
    assert not {batch.batch_id for batch in reseeded} & set(ids)


def test_a_batch_is_the_same_whatever_is_fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = plan_batches(PARAMS, "train", 4)
    for one in PLAN[:6]:
        _fit(one)
    assert plan_batches(PARAMS, "train", 4) == before
    assert find_batch(PARAMS, "train", before[1].batch_id) == before[1]


def test_what_has_no_summary_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    first, second, last = plan_batches(PARAMS, "train", 4)
    for index in (1, 2, 4, 5, 6, 7):
        _fit(PLAN[index])
    # Draws come before a summary: they alone say that a job was killed.
    draws = draws_path("pilot-train", PLAN[8].config_id)
    draws.parent.mkdir(parents=True)
    draws.touch()
    # The same index under another key is another config's.
    stale = summary_path("pilot-train", "0009-00000000")
    stale.parent.mkdir(parents=True)
    stale.touch()
    assert [[one.index for one in batch.missing()] for batch in (first, second, last)] == [[0, 3], [], [8, 9]]


@pytest.mark.parametrize("change", [{"master_seed": 7}, {"scales": [500, 3000]}])
def test_a_plan_that_changed_on_the_way_is_refused(change: dict[str, Any]) -> None:
    (batch, *_) = plan_batches(PARAMS, "train", 3)
    changed = _params(**{"n_configs": 5, "scales": [500, 2000], **change})
    message = (
        rf"^{batch.batch_id}: the configs 0 to 2 of the train sweep are now 0000-0002-[0-9a-f]{{8}}: "
        r"a value or the source changed while the sweep ran; start it again$"
    )
    with pytest.raises(ArtifactError, match=message):
        find_batch(changed, "train", batch.batch_id)


@pytest.mark.parametrize("name", ["0010-0012-1a2b3c4d", "0003-0001-1a2b3c4d", "0000-999999999-1a2b3c4d"])
def test_a_batch_outside_the_plan_is_refused(name: str) -> None:
    with pytest.raises(ArtifactError, match=f"^{name}: .* of the train sweep are now "):
        find_batch(PARAMS, "train", name)


def test_a_plan_that_was_cut_short_has_not_its_last_batches() -> None:
    *_, last = plan_batches(PARAMS, "train", 4)
    with pytest.raises(ArtifactError, match=rf"^{last.batch_id}: .* are now none: .*start it again$"):
        find_batch(_params(n_configs=4, scales=[500, 2000]), "train", last.batch_id)


@pytest.mark.parametrize("name", ["0000-0003", "0-3-1a2b3c4d", "0000-0003-1A2B3C4D", "../0000-0003-1a2b3c4d"])
def test_other_names_are_no_batches(name: str) -> None:
    with pytest.raises(ArtifactError, match="not a batch; expected <first>-<last>-<digest8>"):
        find_batch(PARAMS, "train", name)


def test_a_sweep_is_found_under_its_own_kind() -> None:
    test = plan_batches(PARAMS, "test", 100)
    assert [(batch.run_id, len(batch.configs)) for batch in test] == [("pilot-test", 12)]
    with pytest.raises(ArtifactError, match="of the train sweep are now"):
        find_batch(PARAMS, "train", test[0].batch_id)


def size(settings: dict, n_configs: int = 24, n_scales: int = 1) -> int:
    sweep = PARAMS.train_sweep.model_copy(update={"n_configs": n_configs, "scales": (1000,) * n_scales})
    return BatchSettings.take(settings).size(sweep)


def test_one_config_a_job_unless_more_are_asked_for() -> None:
    assert size({}) == 1
    assert size({"configs_per_job": 25, "train_sweep": {}}) == 25
    assert size({"configs_per_job": 3, "parallel_fits": 2}) == 3


@pytest.mark.parametrize(
    ("parallel_fits", "n_configs", "n_scales", "expected"),
    [(2, 24, 1, 6), (2, 50, 1, 13), (2, 25, 2, 13), (64, 50, 1, 1), (1, 1, 1, 1), (2, 10_000, 1, 50)],
)
def test_each_of_the_parallel_fits_gets_two_jobs(parallel_fits, n_configs, n_scales, expected) -> None:
    assert size({"parallel_fits": parallel_fits}, n_configs, n_scales) == expected


def test_the_settings_are_taken_out_from_among_the_run_values() -> None:
    settings = {"configs_per_job": 3, "parallel_fits": 2, "train_sweep": {}}
    BatchSettings.take(settings)
    assert settings == {"train_sweep": {}}


@pytest.mark.parametrize("name", ["configs_per_job", "parallel_fits"])
@pytest.mark.parametrize("value", ["3", 0, -1, True, False, 2.5, 3.0, [3], {}])
def test_other_sizes_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(ParamsError, match=rf"^{name}: must be an integer >= 1, got ") as caught:
        size({name: value})
    assert str(caught.value).endswith(repr(value))


@pytest.mark.parametrize(
    ("given", "expected"), [("3", 3), ("12", 12), ("0", None), ("2.5", None), ("true", None)]
)
def test_sizes_as_snakemake_reads_them_from_its_command_line(given: str, expected: int | None) -> None:
    config = parse_config([f"configs_per_job={given}"])
    if expected is not None:
        assert size(config) == expected
    else:
        with pytest.raises(ParamsError, match=r"^configs_per_job: "):
            size(config)


def test_the_size_is_no_run_value() -> None:
    """It reaches no key: params.yaml cannot hold it, and each size gives the same configs."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    with pytest.raises(ParamsError, match="configs_per_job"):
        parse({**values, "configs_per_job": 3})
    ids = [[one.config_id for b in plan_batches(PARAMS, "train", n) for one in b.configs] for n in (1, 3, 10)]
    assert ids[0] == ids[1] == ids[2]

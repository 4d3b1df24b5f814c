"""A sweep to a precision: how many configs it takes is a function of its params and its fits alone."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sweep_examples import fit, values

from sbcflow.calibration.confidence_sequence import betting_interval, fewest_observations
from sbcflow.errors import ArtifactError, ParamsError
from sbcflow.inspection.explain import explain_sweep
from sbcflow.inspection.status import sweep_status
from sbcflow.inspection.status_text import render_status
from sbcflow.params import Params, parse
from sbcflow.scenario import apply_scenario
from sbcflow.sweep.batch import BatchSettings, cut_batches, find_batch
from sbcflow.sweep.layout import look_path, summary_path
from sbcflow.sweep.plan import plan_sweep
from sbcflow.sweep.progress import progress_line
from sbcflow.sweep.rounds import (
    check_rounds,
    look_id_of,
    precision_record,
    round_configs,
    round_of,
    round_sizes,
    run_rounds,
    taken,
    taken_so_far,
    write_look,
)

ROOT = Path(__file__).parents[2]
TARGET = {"level": 0.9, "half_width": 0.1}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def _tree(precision: Any, **train: Any) -> dict[str, Any]:
    tree: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    tree["train_sweep"].pop("n_configs")
    tree["train_sweep"] |= {"precision": precision, "scales": [800], **train}
    tree["generators"]["v2"]["templates"] = ["constant", "reversal"]
    return tree


def _params(**precision: Any) -> Params:
    return parse(_tree({**TARGET, **precision}))


def _coverage(index: int) -> float:
    """A coverage that its index alone decides, so that any two sweeps agree on it."""
    return float(np.random.default_rng(index).uniform(0.7, 1.0))


def _fit(params: Params, first: int, last: int, **diagnostics: Any) -> None:
    told = {"escalated": False, "converged": True, **diagnostics}
    for planned in plan_sweep(params, "train", last)[first:]:
        metrics = {"coverage_90": _coverage(planned.index)}
        fit(params, "train", planned, metrics=metrics, diagnostics=told)


def test_rounds_are_whole_cycles_from_the_fewest_to_the_most() -> None:
    sizes = round_sizes(_params(max_configs=101), "train")
    assert sizes[0] == 2 * -(-fewest_observations(0.1) // 2)
    assert sizes[-1] == 100
    assert all(size % 2 == 0 for size in sizes)
    assert all(a < b <= max(1.25 * a + 2, a + 2) for a, b in itertools.pairwise(sizes))


def test_rounds_count_the_scales_and_the_templates() -> None:
    two = parse(_tree(TARGET, scales=[500, 800]))
    assert two.train_sweep.precision is not None and two.train_sweep.precision.max_configs == 1000
    assert round_sizes(two, "train")[0] == 2 * -(-fewest_observations(0.1) // 4)
    one = parse(_tree(TARGET, generator_family="prior"))
    assert round_sizes(one, "train")[0] == fewest_observations(0.1)


def test_a_precision_out_of_reach_is_refused_before_any_work() -> None:
    params = _params(half_width=0.001, max_configs=1000)
    with pytest.raises(
        ParamsError, match=r"^train_sweep\.precision\.max_configs: must be at least 1842, .*1000$"
    ):
        check_rounds(params)
    check_rounds(_params())
    check_rounds(values())


@pytest.mark.parametrize(
    ("precision", "message"),
    [
        (
            {"level": 0.91, "half_width": 0.1},
            r"train_sweep\.precision\.level: must be one of the levels .*0\.9,",
        ),
        ({"level": 0.9, "half_width": 0.5}, r"train_sweep\.precision\.half_width: .* less than 0\.5"),
        ({"level": 0.9, "half_width": 0}, r"train_sweep\.precision\.half_width: .* greater than 0"),
        ({"level": 0.9}, r"train_sweep\.precision\.half_width: is missing"),
        ({**TARGET, "max_configs": 0}, r"train_sweep\.precision\.max_configs: "),
        (
            {**TARGET, "halfwidth": 0.1},
            r"train_sweep\.precision\.halfwidth: unknown key; did you mean half_width",
        ),
        (None, r"train_sweep\.n_configs: is missing; give it, or precision"),
    ],
)
def test_what_is_no_precision_is_refused_by_name(precision: Any, message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        parse(_tree(precision))


def test_one_of_the_two_sizes() -> None:
    with pytest.raises(ParamsError, match=r"train_sweep\.precision: takes the place of n_configs; give one"):
        parse(_tree(TARGET, n_configs=3))


def test_the_size_that_is_not_given_is_in_no_dump() -> None:
    """So a sweep of n_configs has the manifest and the names that it always had."""
    assert "precision" not in values().train_sweep.model_dump(mode="json")
    assert "n_configs" not in _params().train_sweep.model_dump(mode="json")
    plan = plan_sweep(values(), "train")
    assert taken(values(), "train").plan == taken_so_far(values(), "train").plan == plan


def test_a_scenario_changes_one_size_for_the_other() -> None:
    Path("params.yaml").write_text((ROOT / "params.yaml").read_text())
    Path("to.yaml").write_text("train_sweep:\n  precision: {level: 0.9, half_width: 0.05}\n")
    Path("narrower.yaml").write_text("train_sweep:\n  precision: {half_width: 0.04}\n")
    Path("back.yaml").write_text("train_sweep:\n  n_configs: 24\n")
    before = Path("params.yaml").read_text()
    assert apply_scenario("to.yaml").train_sweep.n_configs is None
    narrower = apply_scenario("narrower.yaml").train_sweep.precision
    assert narrower is not None and (narrower.level, narrower.half_width) == (0.9, 0.04)
    apply_scenario("back.yaml")
    assert Path("params.yaml").read_text() == before


def test_the_first_round_that_is_narrow_enough_ends_the_sweep() -> None:
    params = _params(half_width=0.08)
    _fit(params, 0, 100)
    found = taken(params, "train")
    *before, last = found.looks
    assert before and last.reached and not any(look.reached for look in before)
    assert [look.n_configs for look in found.looks] == list(round_sizes(params, "train"))[: len(found.looks)]
    assert len(found.plan) == last.n_configs == last.n_fits
    cycles = [np.array([_coverage(i), _coverage(i + 1)]) for i in range(0, last.n_configs, 2)]
    bounds = betting_interval(cycles, guess=0.9, half_width=0.08)
    assert (last.lower, last.upper) == (bounds.lower, bounds.upper)


def test_fits_beyond_the_end_change_nothing() -> None:
    params = _params(half_width=0.08)
    _fit(params, 0, 100)
    n = len(taken(params, "train").plan)
    for planned in plan_sweep(params, "train", 100)[n:]:
        summary_path("pilot-train", planned.config_id).unlink()
    assert len(taken(params, "train").plan) == n


def test_a_tighter_target_keeps_the_fits() -> None:
    _fit(_params(), 0, 200)
    few, more = (taken(_params(half_width=h), "train").plan for h in (0.1, 0.06))
    assert len(few) < len(more) and more[: len(few)] == few


def test_max_configs_ends_the_sweep_with_what_it_has() -> None:
    params = _params(half_width=0.05, max_configs=41)
    _fit(params, 0, 40)
    found = taken(params, "train")
    assert found.is_decided and len(found.plan) == 40 and not found.looks[-1].reached
    record = precision_record(params, "train", found.looks)
    assert record["half_width"] > record["wanted_half_width"] == 0.05
    assert (record["reached"], record["n_configs"], record["looks"][-1]) == (False, 40, 40)
    assert "precision: missed at max_configs: 40 configs" in render_status(sweep_status(params, "train"))


def test_fits_that_did_not_converge_are_left_out_and_counted() -> None:
    params = _params()
    n = round_sizes(params, "train")[0]
    _fit(params, 0, 100)
    all_there = taken(params, "train").looks[0]
    _fit(params, 0, 2, converged=False)
    less = taken(params, "train").looks[0]
    assert (all_there.n_fits, all_there.n_left_out) == (n, 0)
    assert (less.n_fits, less.n_left_out) == (n - 2, 2)
    assert (less.lower, less.upper) != (all_there.lower, all_there.upper)


def test_so_far_it_is_in_the_first_round_that_is_not_done() -> None:
    params = _params(half_width=0.06)
    first, second, *_ = round_sizes(params, "train")
    assert len(taken_so_far(params, "train").plan) == first
    _fit(params, 0, first)
    begun = taken_so_far(params, "train")
    assert (len(begun.plan), len(begun.looks), begun.is_decided) == (second, 1, False)
    status = sweep_status(params, "train")
    assert f"{first} of {second} fits done" in render_status(status)
    assert f"precision: not yet: {first} configs" in render_status(status)
    assert explain_sweep(params, "train").n_configs == second
    with pytest.raises(ArtifactError, match="no such fit"):
        taken(params, "train")
    plan = plan_sweep(params, "train", round_of(params, "train", 0))
    told = progress_line("pilot-train", plan, plan[0].config_id, among=" in this round")
    assert f"{first} of {first} fits done in this round" in told


def test_a_summary_of_another_key_or_an_edited_one_is_refused() -> None:
    params = _params()
    _fit(params, 0, round_sizes(params, "train")[0])
    planned = plan_sweep(params, "train", 2)[1]
    path = summary_path("pilot-train", planned.config_id)
    whole = path.read_text()
    for text in (
        whole[:50],
        whole.replace('"coverage_90": 0.', '"coverage_90": 0.1'),
        whole.replace(planned.key, "0" * 64),
    ):
        assert text != whole
        path.write_text(text)
        with pytest.raises(ArtifactError, match=rf"{planned.config_id}/summary.json.*rm -r"):
            taken(params, "train")
        assert not taken_so_far(params, "train").is_decided


class _AskedError(Exception):
    """A look is to be made first."""


def _ask(look_id: str) -> Path:
    path = look_path("pilot-train", look_id)
    if not path.exists():
        raise _AskedError(look_id)
    return path


def _play(params: Params, batches_of: int) -> Iterator[str]:
    """Run the rounds as Snakemake does: make each look that is asked for, once the round's jobs are done."""
    while True:
        try:
            run_rounds(params, "train", _ask)
            return
        except _AskedError as asked:
            look_id = str(asked)
        for batch in cut_batches("pilot-train", round_configs(params, "train", look_id), batches_of):
            assert find_batch(params, "train", batch.batch_id) == batch
            _fit(params, batch.configs[0].index, batch.configs[-1].index + 1)
        write_look(params, "train", look_id)
        yield look_id


@pytest.mark.parametrize("batches_of", [1, 7])
def test_rounds_fit_what_is_taken_and_no_more(batches_of: int) -> None:
    params = _params(half_width=0.07)
    asked = list(_play(params, batches_of))
    found = taken(params, "train")
    assert len(list(Path("runs/pilot-train/configs").iterdir())) == len(found.plan)
    assert len(asked) == len(found.looks) > 1
    assert asked[-1] == look_id_of(found.plan, found.looks[-1].n_configs)
    assert json.loads(look_path("pilot-train", asked[-1]).read_text())["reached"]
    assert list(_play(params, batches_of)) == []


def test_an_interrupted_sweep_ends_where_another_does() -> None:
    params = _params(half_width=0.07)
    _fit(params, 3, 11)  # what was in flight of a sweep that was killed
    list(_play(params, 4))
    assert taken(params, "train").looks[-1].reached
    n_fitted = len(list(Path("runs/pilot-train/configs").iterdir()))
    assert n_fitted == len(taken(params, "train").plan)


def test_a_job_is_sized_by_its_round() -> None:
    settings = BatchSettings(parallel_fits=2)
    assert settings.size(_params().train_sweep, 16) == 4
    assert settings.size(values().train_sweep) == 6

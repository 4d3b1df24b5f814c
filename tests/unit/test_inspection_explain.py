"""Why configs would run, from former summaries that were made for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sweep_examples import STARTED, fit, fit_all, values

from sbcflow.inspection.explain import Explained, Explanation, explain_sweep
from sbcflow.inspection.explain_text import render_explained
from sbcflow.inspection.values import ABSENT
from sbcflow.params import Params
from sbcflow.provenance import numeric_versions
from sbcflow.sweep import key
from sbcflow.sweep.layout import configs_dir
from sbcflow.sweep.plan import plan_sweep
from sbcflow.sweep.sources import source_digests

RUN = "pilot-train"
SMALL = {"train_sweep__n_configs": 6}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    _forget()


def _forget() -> None:
    """Let keys be made anew: what they are made of was exchanged."""
    key.context_key.cache_clear()
    plan_sweep.cache_clear()


@pytest.fixture(autouse=True)
def before(folder: Path) -> Params:
    """Run values, every config of whose train sweep is fitted."""
    assert folder == Path.cwd()
    params = values(**SMALL)
    fit_all(params)
    return params


def _explain(**changes: Any) -> Explained:
    return explain_sweep(values(**{**SMALL, **changes}), "train")


def _steps(one: Explanation) -> dict[str, tuple[object, object]]:
    return {change.name: (change.before, change.after) for change in one.changes}


def _text(**changes: Any) -> list[str]:
    return render_explained(_explain(**changes)).splitlines()


def test_nothing_has_changed(before: Params) -> None:
    explained = explain_sweep(before, "train")
    assert explained.would_run == ()
    assert render_explained(explained) == (
        "pilot-train (train_sweep): nothing would run: all of 6 configs are fitted\n"
    )


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({"model__severity__shift_scale": 0.6}, "model.severity.shift_scale: 0.15 -> 0.6"),
        ({"model__basis__interactions": False}, "model.basis.interactions: true -> false"),
        ({"inference__method": "nuts"}, "inference.method: laplace -> nuts"),
        ({"inference__nuts__n_warmup": 400}, "inference.nuts.n_warmup: 150 -> 400"),
        ({"scoring__n_test": 400}, "scoring.n_test: 500 -> 400"),
        ({"generators__v2__n_arms": 3}, "generators.v2.n_arms: 2 -> 3"),
        ({"train_sweep__save_samples": True}, "train_sweep.save_samples: false -> true"),
    ],
    ids=str,
)
def test_a_setting_is_named_as_in_params(change: dict[str, Any], step: str) -> None:
    assert _text(**change) == [
        "pilot-train (train_sweep): 6 of 6 configs would run",
        f"6 configs (0000-0005): {step}",
    ]


def test_what_a_config_draws_is_told_of_each(before: Params) -> None:
    explained = _explain(generators__v2__base_rate=[0.02, 0.1])
    was = {one.index: one.knobs["base_rate"] for one in plan_sweep(before, "train")}
    for one in explained.would_run:
        (name, (old, new)), *others = _steps(one).items()
        assert (name, others) == ("knobs.base_rate", [])
        assert old == was[one.index] != new
    assert render_explained(explained).endswith("6 configs (0000-0005): knobs.base_rate: another in each\n")


@pytest.mark.parametrize(
    ("change", "step"),
    [
        (lambda was: {**was, "sbcflow.likelihood": "0" * 16}, "source: sbcflow.likelihood changed"),
        (lambda was: {**was, "sbcflow.new": "0" * 16}, "source: sbcflow.new added"),
        (
            lambda was: {name: digest for name, digest in was.items() if name != "sbcflow.basis"},
            "source: sbcflow.basis removed",
        ),
        (
            lambda was: {**was, "sbcflow.basis": "1" * 16, "sbcflow.model": "2" * 16},
            "source: sbcflow.basis changed, sbcflow.model changed",
        ),
    ],
)
def test_modules_are_named(monkeypatch: pytest.MonkeyPatch, change: Any, step: str) -> None:
    now = change(dict(source_digests()))
    monkeypatch.setattr(key, "source_digests", lambda: now)
    _forget()
    assert _text()[1:] == [f"6 configs (0000-0005): {step}"]


def test_libraries_are_named_with_their_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    was = numeric_versions()["jax"]
    _exchange_versions(monkeypatch, {**numeric_versions(), "jax": "99.1"})
    assert _text()[1:] == [f"6 configs (0000-0005): libraries: jax {was} -> 99.1"]


def _exchange_versions(monkeypatch: pytest.MonkeyPatch, versions: Mapping[str, str]) -> None:
    monkeypatch.setattr(key, "numeric_versions", lambda: versions)
    _forget()


def test_several_changes_are_all_told(monkeypatch: pytest.MonkeyPatch) -> None:
    _exchange_versions(monkeypatch, {**numeric_versions(), "jax": "99.1", "numpy": "98"})
    versions = numeric_versions()
    lines = _text(model__severity__shift_scale=0.6, scoring__n_test=400)
    assert lines[1:] == [
        "6 configs (0000-0005):",
        "  model.severity.shift_scale: 0.15 -> 0.6",
        "  scoring.n_test: 500 -> 400",
        f"  libraries: jax {versions['jax']} -> 99.1, numpy {versions['numpy']} -> 98",
    ]


def test_a_number_that_only_changed_its_type_is_a_change(before: Params) -> None:
    """As it is to the key: 1 and 1.0 are not one text."""
    told = {**key.context_ingredients(before, before.train_sweep), "save_samples": 0}
    _move(before, 0, ingredients=told)
    assert _steps(_explain().would_run[0]) == {"train_sweep.save_samples": (0, False)}


def _move(params: Params, index: int, **changes: Any) -> str:
    """Make the fit of a config a former one, under another key; return its folder's name."""
    planned = plan_sweep(params, "train")[index]
    path = fit(params, "train", planned, **changes)
    return path.parent.rename(path.parent.with_name(f"{index:04d}-00000000")).name


def test_new_configs_were_never_fitted_and_the_others_stay() -> None:
    explained = _explain(train_sweep__n_configs=9)
    assert [(one.index, one.reason, one.former) for one in explained.would_run] == [
        (index, "never fitted", None) for index in (6, 7, 8)
    ]
    assert render_explained(explained) == (
        "pilot-train (train_sweep): 3 of 9 configs would run\n3 configs (0006-0008): never fitted\n"
    )


def test_another_master_seed_is_told_without_what_it_draws() -> None:
    lines = _text(train_sweep__master_seed=1)
    assert lines[1:] == ["6 configs (0000-0005): seed: another in each, and what it draws"]
    steps = _steps(_explain(train_sweep__master_seed=1).would_run[0])
    assert {"seed", "knobs.base_rate"} <= steps.keys()
    assert steps["seed"] == tuple(
        plan_sweep(values(**SMALL, train_sweep__master_seed=seed), "train")[0].seed for seed in (20260527, 1)
    )


def test_a_config_that_moved_is_found_by_its_seed() -> None:
    """Another scale takes every other place: the configs in between were never fitted."""
    explained = _explain(train_sweep__scales=[500, 20000])
    moved = {one.index: _steps(one) for one in explained.would_run if one.reason == "changed"}
    assert moved == {2 * index + 1: {"index": (index, 2 * index + 1)} for index in range(6)}
    new = [one.index for one in explained.would_run if one.reason == "never fitted"]
    assert new == [0, 2, 4, 6, 8, 10]


def test_another_scale_in_the_place_of_one(before: Params) -> None:
    steps = _steps(_explain(train_sweep__scales=[500]).would_run[3])
    assert steps["n_visitors"] == (20000, 500)
    assert steps["seed"][0] == plan_sweep(before, "train")[3].seed


def test_another_family_names_the_settings_of_both() -> None:
    steps = _steps(_explain(train_sweep__generator_family="prior").would_run[0])
    assert steps["train_sweep.generator_family"] == ("v2", "prior")
    assert steps["generators.v2.n_arms"] == (2, ABSENT)
    assert steps["generators.prior.n_arms"] == (ABSENT, 2)


def test_of_several_former_fits_the_latest_counts() -> None:
    for value, ended in ((0.7, 50.0), (0.8, 70.0), (0.9, 60.0)):
        params = values(**SMALL, model__severity__shift_scale=value)
        fit(params, "train", plan_sweep(params, "train")[0], execution={"ended": STARTED + ended})
    steps = [_steps(one) for one in _explain(model__severity__shift_scale=0.6).would_run]
    assert steps[0] == {"model.severity.shift_scale": (0.8, 0.6)}
    assert steps[1] == {"model.severity.shift_scale": (0.15, 0.6)}


def test_reasons_that_differ_are_told_apart() -> None:
    other = values(**SMALL, model__severity__shift_scale=0.7)
    for planned in plan_sweep(other, "train")[3:]:
        fit(other, "train", planned, execution={"ended": STARTED + 1000.0})
    lines = _text(model__severity__shift_scale=0.6)
    assert lines[1:] == [
        "3 configs (0000-0002): model.severity.shift_scale: 0.15 -> 0.6",
        "3 configs (0003-0005): model.severity.shift_scale: 0.7 -> 0.6",
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"ingredients": None}, "fitted by a version that kept no ingredients"),
        ({"key": "0" * 64}, "fitted from the same ingredients, by a version that made keys otherwise"),
    ],
)
def test_summaries_of_other_versions(before: Params, changes: dict[str, Any], reason: str) -> None:
    former = _move(before, 2, **changes)
    (one,) = _explain().would_run
    assert (one.index, one.reason, one.former, one.changes) == (2, reason, former, ())
    assert _text()[1:] == [f"1 config (0002): {reason}"]


@pytest.mark.parametrize("text", ["{", "[]", '{"config": 1}', ""])
def test_a_former_summary_that_cannot_be_read_tells_nothing(before: Params, text: str) -> None:
    folder = _move(before, 2)
    (configs_dir(RUN) / folder / "summary.json").write_text(text)
    assert _text()[1:] == ["1 config (0002): fitted before, and that summary cannot be read"]
    # One that can be read is preferred, even of another seed.
    other = values(**SMALL, train_sweep__master_seed=1)
    fit(other, "train", plan_sweep(other, "train")[2], execution={"ended": 1.0})
    assert _text()[1:] == [_seeds_of(other, before, 2)]
    other = values(**SMALL, model__severity__shift_scale=0.7)
    fit(other, "train", plan_sweep(other, "train")[2], execution={"ended": 1.0})
    assert _text()[1:] == ["1 config (0002): model.severity.shift_scale: 0.7 -> 0.15"]


def _seeds_of(other: Params, params: Params, index: int) -> str:
    old, new = (plan_sweep(one, "train")[index].seed for one in (other, params))
    return f"1 config ({index:04d}): seed: {old} -> {new}, and what it draws"


@pytest.mark.parametrize("config", [5, {"seed": [1]}, {"seed": "x", "knobs": 3}], ids=str)
def test_sealed_summaries_of_no_form_do_no_harm(before: Params, config: Any) -> None:
    _move(before, 2, config=config, execution=[])
    (one,) = _explain().would_run
    assert one.index == 2


def test_folders_that_are_none_of_fits_are_left_alone() -> None:
    for name in ("x", "0001-00000000", ".0001-0000.tmp"):
        (configs_dir(RUN) / name).mkdir()
    (configs_dir(RUN) / "0002-11111111").write_text("a file")
    assert _explain().would_run == ()
    assert len(_explain(model__severity__shift_scale=0.6).would_run) == 6


def test_nothing_is_written_and_it_is_plain_json(folder: Path) -> None:
    paths = {path: path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))}
    plain = _explain(generators__v2__n_arms=3, train_sweep__generator_family="prior").plain()
    assert json.loads(json.dumps(plain)) == plain
    assert (plain["run_id"], plain["n_configs"], len(plain["would_run"])) == (RUN, 6, 6)
    assert {"name": "generators.v2.n_arms", "before": 2} in plain["would_run"][0]["changes"]
    assert {path: path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))} == paths

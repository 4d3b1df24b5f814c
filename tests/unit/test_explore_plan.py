"""The plan of an exploration: every combination checked first, each with names that hold what it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from analysis_examples import write_params

from sbcflow.errors import ParamsError
from sbcflow.experiment.git.names import check_name
from sbcflow.explore import names
from sbcflow.explore.plan import PlannedExperiment, plan_experiments
from sbcflow.params import parse
from sbcflow.sweep import key
from sbcflow.sweep.plan import plan_sweep

N_CONFIGS = "exploratory_sweep.n_configs"
SHIFT = "model.severity.shift_scale"


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "params.yaml"
    write_params(path)
    return path


def _one(path: Path, **sets: Any) -> PlannedExperiment:
    return plan_experiments({name.replace("__", "."): [value] for name, value in sets.items()}, path)[0]


def test_a_combination_is_a_params_file_that_differs_in_its_values(params: Path) -> None:
    before = params.read_text()
    planned = plan_experiments({N_CONFIGS: [2, 3], SHIFT: [0.25, 1e-3]}, params)
    assert [dict(one.values) for one in planned] == [
        {N_CONFIGS: 2, SHIFT: 0.25},
        {N_CONFIGS: 2, SHIFT: 1e-3},
        {N_CONFIGS: 3, SHIFT: 0.25},
        {N_CONFIGS: 3, SHIFT: 1e-3},
    ]
    last = planned[-1]
    assert last.params == parse(yaml.safe_load(last.text))
    assert (last.sweep.n_configs, last.params.model.severity.shift_scale) == (3, 0.001)
    assert len(last.configs) == 3
    lines = zip(before.splitlines(), last.text.decode().splitlines(), strict=True)
    assert [new.split(":")[0].strip() for old, new in lines if old != new] == [
        "id",
        "n_configs",
        "shift_scale",
    ]
    assert params.read_text() == before
    assert [path.name for path in params.parent.iterdir()] == ["params.yaml"]


def test_names_say_what_was_set_and_the_run_is_named_alike(params: Path) -> None:
    planned = plan_experiments({N_CONFIGS: [2], SHIFT: [0.25]}, params)[0]
    slug, _, digits = planned.name.rpartition("-")
    assert slug == "n_configs=2,shift_scale=0.25"
    assert planned.sweep.id == f"smoke-prior-{digits}"
    assert plan_experiments({N_CONFIGS: [2], SHIFT: [0.25]}, params)[0] == planned


@pytest.mark.parametrize(
    ("values", "slug"),
    [
        ({"a.sd": 1, "b.sd": -2.5}, "a.sd=1,b.sd=-2.5"),
        ({"x.a.sd": 1, "y.a.sd": 2, "n": True}, "x.a.sd=1,y.a.sd=2,n=true"),
        ({"g.base_rate[0]": 0.01}, "base_rate.0=0.01"),
        ({"a.scales": [800, 900], "b": None}, "scales=800+900,b=null"),
        ({"a": "../../b c~^:?*[\\@{.lock"}, "a=.-.-b-c-.lock"),
        ({"a": "x" * 500}, f"a={'x' * 89}"),
    ],
)
def test_names_are_references_of_git(values: dict[str, Any], slug: str) -> None:
    name = names.experiment_name(values, "1a2b3c4d")
    assert name == f"{slug}-1a2b3c4d"
    assert check_name(name) == name
    assert "/" not in name and len(name) <= 100


def _forget() -> None:
    """Forget keys and plans, which a process makes once: its source does not change."""
    key.context_key.cache_clear()
    plan_sweep.cache_clear()


def test_the_digest_follows_settings_and_fits(params: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = _one(params, exploratory_sweep__n_configs=2)
    others = [
        _one(params, exploratory_sweep__n_configs=3),
        _one(params, exploratory_sweep__n_configs=2, exploratory_sweep__master_seed=7),
        _one(params, exploratory_sweep__n_configs=2, model__severity__shift_scale=0.3),
        _one(params, exploratory_sweep__n_configs=2, exploratory_sweep__id="other"),
    ]
    assert _one(params, exploratory_sweep__n_configs=2, fit_corrections__seed=9).sweep.id == first.sweep.id
    monkeypatch.setattr(key, "source_digests", lambda: {"sbcflow.model": "another"})
    _forget()
    others.append(_one(params, exploratory_sweep__n_configs=2))
    _forget()
    assert len({one.name[-8:] for one in [first, *others]}) == 1 + len(others)
    assert others[-1].name != first.name


def test_fits_keep_their_keys_whatever_the_run_is_called(params: Path) -> None:
    two, three = plan_experiments({N_CONFIGS: [2, 3]}, params)
    assert two.sweep.id != three.sweep.id
    assert two.configs == three.configs[:2]
    assert replace(two.configs[0], key=three.configs[0].key) == three.configs[0]


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (
            {"model.shift_scale": [1]},
            "model.shift_scale: unknown key; did you mean model.severity.shift_scale?",
        ),
        ({"qqqqqq": [1]}, "qqqqqq: unknown key (sections: "),
        ({"estimator.prior": [1]}, "estimator.prior: unknown key"),
        ({"model.basis": [1]}, "model.basis: is a section; set one of model.basis."),
        ({N_CONFIGS: [2, 0]}, f"with {N_CONFIGS}=0: {N_CONFIGS}: Input should be greater"),
        ({N_CONFIGS: ["many"]}, f"{N_CONFIGS}: Input should be a valid integer, got 'many'"),
        ({"train_sweep.master_seed": [20260528]}, "must differ"),
        ({"fit_corrections.seed": [1, 2]}, "fit_corrections.seed: seed=1-"),
        ({"fit_corrections.seed": [1, 2]}, "would be the same sweep"),
        ({SHIFT: [1, 1.0]}, f"{SHIFT}: shift_scale=1-"),
        ({"exploratory_sweep.id": ["x" * 75]}, "exploratory_sweep.id: "),
    ],
)
def test_what_is_not_allowed_is_one_line_and_writes_nothing(
    params: Path, sets: dict[str, list[Any]], said: str
) -> None:
    with pytest.raises(ParamsError) as refused:
        plan_experiments(sets, params)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert [path.name for path in params.parent.iterdir()] == ["params.yaml"]


def test_a_params_file_that_is_not_there_is_named(params: Path) -> None:
    with pytest.raises(ParamsError, match=r"other\.yaml: no such file"):
        plan_experiments({N_CONFIGS: [2]}, params.with_name("other.yaml"))

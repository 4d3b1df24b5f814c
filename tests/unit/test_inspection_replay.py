"""A replay of real, small fits: the same to the bit, and each thing that was changed is found."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analysis_examples import write_params

from sbcflow import cli, devices, runtime
from sbcflow.errors import ArtifactError, ParamsError
from sbcflow.files import read_json, read_npz, sha256_of, write_npz
from sbcflow.inspection import replay as replay_module
from sbcflow.inspection.replay import Replay, replay
from sbcflow.inspection.replay_text import render_replay
from sbcflow.params import Params, load
from sbcflow.sweep.fit import fit_config
from sbcflow.sweep.layout import draws_path, summary_path
from sbcflow.sweep.plan import plan_config
from sbcflow.sweep.summary import SEAL, write_summary

TRAIN, TEST = "smoke-train", "smoke-test"


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the first config of the train sweep and of the test sweep fitted."""
    folder = tmp_path_factory.mktemp("fitted")
    params = load(write_params(folder / "params.yaml"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fit_config(params, "train", 0)
        fit_config(params, "test", 0)
    return folder


@pytest.fixture(autouse=True)
def folder(fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    copy = shutil.copytree(fitted, tmp_path / "project")
    monkeypatch.chdir(copy)
    # They set variables of the whole process, for libraries that tests have imported already.
    monkeypatch.setattr(runtime, "configure", lambda: None)
    monkeypatch.setattr(devices, "claim_gpu", lambda: None)
    return copy


@pytest.fixture
def params() -> Params:
    return load()


@pytest.fixture
def sbcflow(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Runs a command and returns its exit code, stdout and stderr."""

    def run(*words: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["sbcflow", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return (ended.value.code or 0, *capsys.readouterr())

    return run


def _replay(params: Params, kind: str = "train", config: str = "0") -> Replay:
    return replay(params, kind, config, say=lambda _: None)


def _rewrite(path: Path, **sections: Any) -> None:
    """Change a summary and seal it again."""
    content = {name: value for name, value in read_json(path).items() if name != SEAL}
    for name, change in sections.items():
        content[name] = {**content[name], **change} if isinstance(change, dict) else change
    write_summary(path, content)


def test_a_replay_is_the_same_to_the_bit_and_leaves_nothing(params: Params, folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))}
    for kind, run_id, words in (
        ("train", TRAIN, "fields are the same\n"),
        ("test", TEST, "fields are the same, draws too\n"),
    ):
        replayed = _replay(params, kind)
        assert replayed.is_same and replayed.n_fields > 80
        assert render_replay(replayed).startswith(f"{run_id} {plan_config(params, kind, 0).config_id} (")
        assert render_replay(replayed).endswith(f": all {replayed.n_fields} {words}")
    assert {path: path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))} == before
    assert Path.cwd() == folder


def test_a_number_that_was_changed_is_named(params: Params, sbcflow: Callable[..., Any]) -> None:
    path = summary_path(TRAIN, plan_config(params, "train", 0).config_id)
    rmse = read_json(path)["metrics"]["rmse"]
    _rewrite(path, metrics={"rmse": 2 * rmse})
    code, out, err = sbcflow("replay", "train_sweep", "0")
    assert code == 1
    head, heading, row = out.splitlines()
    assert " 1 of " in head and head.endswith(" fields differ")
    assert heading.split() == ["field", "recorded", "replayed", "relative", "difference"]
    assert row.split() == ["metrics.rmse", repr(2 * rmse), repr(rmse), "0.5"]
    assert "fitting it again; it took" in err

    code, out, _ = sbcflow("replay", TRAIN, path.parent.name, "--json")
    plain = json.loads(out)
    assert (code, plain["same"], plain["has_draws"]) == (1, False, False)
    assert plain["differing"] == [
        {"name": "metrics.rmse", "recorded": 2 * rmse, "replayed": rmse, "relative": 0.5}
    ]


@pytest.mark.parametrize(
    ("sections", "name", "recorded", "replayed"),
    [
        ({"diagnostics": {"converged": 1}}, "diagnostics.converged", 1, True),
        ({"diagnostics": {"extra": None}}, "diagnostics.extra", None, ...),
        ({"config": {"seed": 0}}, "config.seed", 0, "the seed"),
        ({"versions": {"jax": "0"}}, "versions.jax", "0", "the version"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_anything_else_that_was_changed_is_named(
    params: Params, sections: dict[str, Any], name: str, recorded: object, replayed: object
) -> None:
    path = summary_path(TRAIN, plan_config(params, "train", 0).config_id)
    _rewrite(path, **sections)
    (found,) = _replay(params).differing
    assert (found.name, found.before) == (name, recorded)
    assert ("replayed" in found.plain("recorded", "replayed")) is (replayed is not ...)
    if isinstance(replayed, bool):
        assert found.after is replayed


def test_a_field_that_is_gone_is_named(params: Params) -> None:
    path = summary_path(TRAIN, plan_config(params, "train", 0).config_id)
    content = {name: value for name, value in read_json(path).items() if name not in (SEAL, "effects")}
    write_summary(path, content)
    names = {one.name for one in _replay(params).differing}
    assert names and all(name.startswith("effects.") for name in names)


def test_how_it_ran_is_a_note_and_no_difference(params: Params) -> None:
    path = summary_path(TRAIN, plan_config(params, "train", 0).config_id)
    device = read_json(path)["device"]
    _rewrite(
        path,
        timings={"wall_seconds": 77.7},
        device="abacus",
        execution={"host": "elsewhere", "platform": "wood", "ended": 1.0},
    )
    replayed = _replay(params)
    assert replayed.is_same and replayed.seconds[0] == 77.7
    assert [note.partition(", ")[0] for note in replayed.notes] == [
        "host: recorded on elsewhere",
        "platform: recorded on wood",
        "device: recorded on abacus",
    ]
    assert f"note: device: recorded on abacus, replayed on {device}\n" in render_replay(replayed)


def _rewrite_draws(params: Params, **arrays: Any) -> None:
    """Change draws, and the summary so that it names them."""
    config_id = plan_config(params, "test", 0).config_id
    path = draws_path(TEST, config_id)
    write_npz(path, **{**read_npz(path), **arrays})
    _rewrite(summary_path(TEST, config_id), draws_sha256=sha256_of(path))


def test_draws_that_were_changed_are_told_with_the_largest_difference(params: Params) -> None:
    draws = read_npz(draws_path(TEST, plan_config(params, "test", 0).config_id))["draws"].copy()
    draws[3, 5] += 0.25
    draws[4, 6] -= 0.75
    _rewrite_draws(params, draws=draws)
    replayed = _replay(params, "test")
    assert not replayed.is_same and replayed.differing == ()
    assert [(one.name, one.largest) for one in replayed.draws] == [("draws", pytest.approx(0.75, rel=1e-5))]
    assert render_replay(replayed).splitlines()[1] == "draws differs, by at most 0.75"
    assert json.loads(json.dumps(replayed.plain()))["draws"][0]["name"] == "draws"


def test_draws_of_another_shape_or_type_are_told(params: Params) -> None:
    sound = read_npz(draws_path(TEST, plan_config(params, "test", 0).config_id))
    truth = sound["truth"].copy()
    truth[0] = np.nan
    _rewrite_draws(params, draws=sound["draws"][:, :-1], arm=sound["arm"].astype(np.int16), truth=truth)
    replayed = _replay(params, "test")
    assert render_replay(replayed).splitlines()[1:] == [
        f"arm differs: recorded as int16 (40,), replayed as {sound['arm'].dtype} (40,)",
        "draws differs: recorded as float32 (40, 199), replayed as float32 (40, 200)",
        "truth differs, by what is no number",
    ]
    assert {one["largest_difference"] for one in replayed.plain()["draws"]} == {None}


def test_what_cannot_be_replayed_is_one_line(params: Params, sbcflow: Callable[..., Any]) -> None:
    planned = plan_config(params, "train", 0)
    path = summary_path(TRAIN, planned.config_id)
    stale = f"0000-{'0' * 8}"
    for words, message in (
        (("nope", "0"), "'nope': no such sweep; allowed: smoke-train (train_sweep), "),
        ((TRAIN, "3"), "3: smoke-train has no such config; allowed: 0 to 2"),
        ((TRAIN, "0009-00000000"), "0009-00000000: smoke-train has no such config; allowed: 0 to 2"),
        ((TRAIN, "first"), "first: not a config's folder; expected <index>-<key8>"),
        ((TRAIN, "9" * 5000), "not a config's folder"),
        ((TRAIN, "1"), "summary.json: no such fit, so there is nothing to compare with; `sbcflow explain "),
        ((TRAIN, stale), f"{stale}: the plan has moved on, the config is now {planned.config_id}; `sbcflow"),
    ):
        code, out, err = sbcflow("replay", *words)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith("error: ") and message in err
    path.write_text(path.read_text().replace('"seed"', '"sead"', 1))
    code, out, err = sbcflow("replay", TRAIN, "0")
    assert (code, out) == (2, "") and "its seal does not match" in err


def test_altered_draws_are_refused(params: Params) -> None:
    path = draws_path(TEST, plan_config(params, "test", 0).config_id)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match=r"draws\.npz: is missing or altered"):
        _replay(params, "test")


def test_a_fit_that_fails_leads_back_to_the_folder(
    params: Params, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ParamsError("no")

    monkeypatch.setattr(replay_module, "run_config", fail)
    with pytest.raises(ParamsError, match="no"):
        _replay(params)
    assert Path.cwd() == folder

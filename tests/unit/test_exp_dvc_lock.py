"""A lock entry is kept or rewritten with real values; it never claims what was not done."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from sbcflow.errors import ArtifactError
from sbcflow.experiment.dvc.lock import Produced, truthful_lock
from sbcflow.experiment.dvc.project import read_project
from sbcflow.experiment.params.yaml_values import dump_yaml, load_yaml, same

PROJECT = b"""\
stages:
  train:
    cmd: python train.py
    deps: [data, train.py]
    params: [lr, opt.beta]
    outs: [model.bin]
    metrics: [m.json: {cache: false}]
  evaluate:
    cmd: python evaluate.py
    deps: [model.bin]
    outs: [report.txt]
  other:
    cmd: echo
    deps: [other.py]
    outs: [other.txt]
"""
TREE = {
    "train.py": b"train", "other.py": b"other", "m.json": b'{"m": 1}',
    "params.yaml": b"lr: 0.1\nopt: {beta: 1}\nunused: 0\n",
}  # fmt: skip


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _item(path: str, content: bytes) -> dict[str, Any]:
    return {"path": path, "hash": "md5", "md5": _md5(content), "size": len(content)}


def _made(content: bytes) -> Produced:
    return Produced(_md5(content), len(content))


DATA = {"path": "data", "hash": "md5", "md5": "0" * 32 + ".dir", "size": 9, "nfiles": 2}
ENTRIES: dict[str, Any] = {
    "train": {
        "cmd": "python train.py",
        "deps": [DATA, _item("train.py", b"train")],
        "params": {"params.yaml": {"lr": 0.1, "opt.beta": 1}},
        "outs": [_item("m.json", b'{"m": 1}'), _item("model.bin", b"model")],
    },
    "evaluate": {
        "cmd": "python evaluate.py",
        "deps": [_item("model.bin", b"model")],
        "outs": [_item("report.txt", b"report")],
    },
    "other": {"cmd": "echo", "deps": [_item("other.py", b"other")], "outs": [_item("other.txt", b"o")]},
}
LOCK = b"# a comment\n" + dump_yaml({"schema": "2.0", "stages": ENTRIES})
NEW_PARAMS = TREE["params.yaml"].replace(b"0.1", b"1e-3")


def _run(tree=None, changed=None, produced=None, lock=LOCK, project=PROJECT, folder=""):
    """The lock for a baseline's tree with some files replaced; None in ``tree`` removes one."""
    files = {**TREE, **(tree or {})}
    changed = set(tree or {}) if changed is None else changed
    return truthful_lock(lock, read_project(project, folder), files.get, changed, produced or {})


def _stages(text: bytes | None) -> dict[str, Any]:
    return YAML(typ="safe").load(text)["stages"] if text else {}


def test_nothing_changed_is_the_lock_itself() -> None:
    assert _run() is LOCK
    assert _run(tree={"README.md": b"x", "params.yaml": TREE["params.yaml"] + b"more: 1\n"}) is LOCK
    assert _run(produced={"m.json": _made(TREE["m.json"])}) is LOCK
    assert _run(produced={"elsewhere.bin": _made(b"x")}) is LOCK


def test_no_lock_stays_none() -> None:
    assert _run(lock=None) is None
    assert _run(lock=None, produced={"model.bin": _made(b"x")}) is None


def test_all_outs_made_rewrites_the_entry() -> None:
    tree = {"params.yaml": NEW_PARAMS, "m.json": b"{}", "train.py": b"train 2"}
    produced = {"m.json": _made(b"{}"), "model.bin": _made(b"new")}
    stages = _stages(_run(tree, produced=produced))
    assert stages["train"] == {
        "cmd": "python train.py",
        "deps": [DATA, _item("train.py", b"train 2")],
        "params": {"params.yaml": {"lr": 0.001, "opt.beta": 1}},
        "outs": [_item("m.json", b"{}"), _item("model.bin", b"new")],
    }
    assert stages["other"] == ENTRIES["other"]


@pytest.mark.parametrize("file", [{"params.yaml": NEW_PARAMS}, {"train.py": b"train 2"}, {"data/a.csv": b""}])
def test_inputs_without_their_outs_leave_the_entry_and_those_behind_it(file: dict) -> None:
    tree = {**file, "m.json": b"{}"}
    assert _run(tree, produced={"m.json": _made(b"{}")}) is LOCK


def test_metrics_in_the_cache_that_were_not_made_are_not_shown() -> None:
    cached = PROJECT.replace(b"[m.json: {cache: false}]", b"[m.json]")
    stages = _stages(_run({"params.yaml": NEW_PARAMS}, project=cached))
    assert stages == {name: ENTRIES[name] for name in ("evaluate", "other")}
    assert _run({"params.yaml": NEW_PARAMS}, project=cached, produced={"m.json": _made(b"{}")}) is LOCK


def test_a_changed_command_leaves_the_entry() -> None:
    assert _run(project=PROJECT.replace(b"python train.py", b"python train.py --fast")) is LOCK
    both = {"m.json": _made(TREE["m.json"]), "model.bin": _made(b"model")}
    assert _run(project=PROJECT.replace(b"cmd: echo", b"cmd: [echo, a]"), produced=both) is LOCK


def test_a_changed_out_alone_leaves_the_others() -> None:
    stages = _stages(_run({"m.json": b"{}"}, produced={"m.json": _made(b"{}")}))
    expected = {**ENTRIES["train"], "outs": [_item("m.json", b"{}"), _item("model.bin", b"model")]}
    assert stages == {**ENTRIES, "train": expected}


def test_an_out_that_changed_and_was_not_made_leaves_the_entry() -> None:
    assert _run({"m.json": b"by hand"}) is LOCK
    assert _run(changed={"m.json"}) is LOCK


def test_a_file_inside_an_out_leaves_the_entry() -> None:
    assert _run(produced={"model.bin/part": _made(b"")}) is LOCK


def test_a_new_model_leaves_what_was_made_of_the_old_one() -> None:
    both = {"m.json": _made(TREE["m.json"]), "model.bin": _made(b"new")}
    stages = _stages(_run(produced=both))
    assert _item("model.bin", b"new") in stages["train"]["outs"]
    assert stages["evaluate"] == ENTRIES["evaluate"]


def test_a_chain_that_was_all_made_is_rewritten() -> None:
    produced = {"m.json": _made(b"{}"), "model.bin": _made(b"new"), "report.txt": _made(b"r")}
    stages = _stages(_run({"params.yaml": NEW_PARAMS, "m.json": b"{}"}, produced=produced))
    assert stages["evaluate"]["deps"] == [_item("model.bin", b"new")]
    assert stages["evaluate"]["outs"] == [_item("report.txt", b"r")]


def test_a_chain_with_an_unknown_link_is_left() -> None:
    """Nobody knows of which model the report was made: not of the one that the lock has."""
    assert _run({"params.yaml": NEW_PARAMS}, produced={"report.txt": _made(b"r")}) is LOCK


def test_the_order_of_the_lock_does_not_matter() -> None:
    backwards = dump_yaml({"schema": "2.0", "stages": dict(reversed(ENTRIES.items()))})
    produced = {"report.txt": _made(b"r")}
    assert _run({"params.yaml": NEW_PARAMS}, lock=backwards, produced=produced) is backwards


def test_a_lock_without_stages_is_no_file() -> None:
    one = dump_yaml({"schema": "2.0", "stages": {"train": ENTRIES["train"]}})
    cached = PROJECT.replace(b"[m.json: {cache: false}]", b"[m.json]")
    assert _run({"params.yaml": NEW_PARAMS}, lock=one, project=cached) is None
    sets = dump_yaml({"schema": "2.0", "datasets": [{"name": "d"}], "stages": {"train": ENTRIES["train"]}})
    left = _run({"params.yaml": NEW_PARAMS}, lock=sets, project=cached)
    assert YAML(typ="safe").load(left) == {"schema": "2.0", "datasets": [{"name": "d"}], "stages": {}}


def test_stale_unchanged_deps_are_not_claimed_again() -> None:
    stale = {**ENTRIES["other"], "deps": [{**_item("other.py", b"older"), "isexec": True}]}
    lock = dump_yaml({"schema": "2.0", "stages": {"other": stale}})
    assert _run(lock=lock) is lock
    project = PROJECT.replace(b"cmd: echo", b"cmd: echo 2")
    stages = _stages(_run(lock=lock, project=project, produced={"other.txt": _made(b"2")}))
    assert stages["other"]["deps"] == [{**_item("other.py", b"other"), "isexec": True}]


def test_a_first_entry_is_written_as_dvc_does() -> None:
    produced = {"other.txt": Produced("1" * 32 + ".dir", 5, 3)}
    assert _run(lock=None, produced=produced) == (
        b"schema: '2.0'\nstages:\n  other:\n    cmd: echo\n    deps:\n    - path: other.py\n      hash: md5\n"
        b"      md5: " + _md5(b"other").encode() + b"\n      size: 5\n    outs:\n    - path: other.txt\n"
        b"      hash: md5\n      md5: " + b"1" * 32 + b".dir\n      size: 5\n      nfiles: 3\n"
    )


def _executable(content: bytes) -> Produced:
    return Produced(_md5(content), len(content), isexec=True)


def test_an_executable_out_is_written_as_dvc_does() -> None:
    text = _run(lock=None, produced={"other.txt": _executable(b"o")})
    assert text is not None and text.endswith(b"      size: 1\n      isexec: true\n")
    produced = {"m.json": _executable(b"{}"), "model.bin": _executable(b"new"), "report.txt": _made(b"r")}
    stages = _stages(_run({"params.yaml": NEW_PARAMS, "m.json": b"{}"}, produced=produced))
    model = {**_item("model.bin", b"new"), "isexec": True}
    assert stages["train"]["outs"] == [{**_item("m.json", b"{}"), "isexec": True}, model]
    assert stages["evaluate"] == {
        **ENTRIES["evaluate"], "deps": [model], "outs": [_item("report.txt", b"r")],
    }  # fmt: skip


def test_an_out_that_only_became_executable_or_ceased_to_be() -> None:
    text = _run(produced={"model.bin": _executable(b"model")})
    model = {**_item("model.bin", b"model"), "isexec": True}
    outs = [_item("m.json", b'{"m": 1}'), model]
    assert _stages(text) == {**ENTRIES, "train": {**ENTRIES["train"], "outs": outs}}
    assert _run(lock=text, produced={"model.bin": _executable(b"model")}) is text
    assert _stages(_run(lock=text, produced={"model.bin": _made(b"model")})) == ENTRIES


def test_no_first_entry_with_an_unknown_input() -> None:
    made = {"m.json": _made(b"{}"), "model.bin": _made(b"x")}
    assert _run(lock=None, produced=made) is None, "data is a folder"
    without_data = PROJECT.replace(b"[data, train.py]", b"[train.py]")
    assert _stages(_run(lock=None, produced=made, project=without_data)).keys() == {"train"}
    assert _run({"params.yaml": b"lr: 1\n"}, lock=None, produced=made, project=without_data) is None
    assert _run({"params.yaml": b"[lr"}, lock=None, produced=made, project=without_data) is None


def test_params_are_ordered_as_dvc_does() -> None:
    project = b"stages: {a: {cmd: x, outs: [o], params: [{z.yaml: }, {a.yaml: [k]}, lr, c]}}"
    tree = {"params.yaml": b"lr: 1\nc: {d: [1, 2]}\n", "a.yaml": b"k: 2020-01-02", "z.yaml": b"y: no\nx: 1\n"}
    text = _run(tree, lock=None, project=project, produced={"o": _made(b"")})
    params = YAML(typ="safe").load(text)["stages"]["a"]["params"]
    assert list(params) == ["params.yaml", "a.yaml", "z.yaml"]
    assert list(params["params.yaml"].items()) == [("c", {"d": [1, 2]}), ("lr", 1)]
    assert list(params["z.yaml"].items()) == [("x", 1), ("y", "no")]


def test_hashes_of_dvc_2_are_left() -> None:
    old = {"cmd": "echo", "deps": [{"path": "other.py", "md5": _md5(b"other"), "size": 5}], "outs": []}
    lock = dump_yaml({"schema": "2.0", "stages": {"other": old}})
    assert _run(lock=lock) is lock
    assert _run({"other.py": b"x"}, lock=lock, produced={"other.txt": _made(b"")}) is lock


def test_a_stage_that_is_declared_no_longer_is_left() -> None:
    assert _run(project=b"") is LOCK
    assert _run({"other.py": b"x"}, project=b"", produced={"other.txt": _made(b"")}) is LOCK


TEMPLATED = b"""\
stages:
  run:
    foreach: [a, b]
    do:
      cmd: run ${item} --lr ${lr} --fast ${fast} \\${HOME}
      params: [seed]
      outs: ["out/${item}"]
"""


def _run_entry(name: str, seed: int, lr: str, content: bytes) -> dict[str, Any]:
    return {
        "cmd": f"run {name} --lr {lr} --fast true ${{HOME}}",
        "params": {"params.yaml": {"seed": seed}},
        "outs": [_item(f"out/{name}", content)],
    }


@pytest.fixture
def templated() -> bytes:
    entries = {f"run@{name}": _run_entry(name, 1, "0.1", b"x") for name in "ab"}
    return dump_yaml({"schema": "2.0", "stages": entries})


def test_templated_stages_are_revised_from_their_entries(templated: bytes) -> None:
    before = {"params.yaml": b"{seed: 1, lr: 0.1, fast: true}"}
    assert _run(before, lock=templated, project=TEMPLATED) is templated
    after = {"params.yaml": b"{seed: 2, lr: 0.1, fast: true}"}
    text = _run(after, lock=templated, project=TEMPLATED, produced={"out/a": _made(b"new")})
    assert _stages(text) == {
        "run@a": _run_entry("a", 2, "0.1", b"new"),
        "run@b": _run_entry("b", 1, "0.1", b"x"),
    }


def test_a_templated_command_that_changed_is_not_vouched_for(templated: bytes) -> None:
    tree = {"params.yaml": b"{seed: 1, lr: 0.2, fast: true}"}
    assert _run(tree, lock=templated, project=TEMPLATED, produced={"out/a": _made(b"new")}) is templated


def test_paths_follow_the_working_folder() -> None:
    project = b"stages: {a: {cmd: x, wdir: w, deps: [../in.txt, here.txt], params: [lr], outs: [o]}}"
    tree = {"sub/in.txt": b"1", "sub/w/here.txt": b"2", "sub/w/params.yaml": b"lr: 5"}
    text = _run(tree, lock=None, project=project, folder="sub", produced={"sub/w/o": _made(b"3")})
    entry = {
        "cmd": "x",
        "deps": [_item("../in.txt", b"1"), _item("here.txt", b"2")],
        "params": {"params.yaml": {"lr": 5}},
        "outs": [_item("o", b"3")],
    }
    assert _stages(text) == {"a": entry}
    again = _run(tree, lock=text, project=project, folder="sub", changed={"sub/w/here.txt"})
    assert again is text
    tree["sub/in.txt"] = b"9"
    again = _run(tree, lock=text, project=project, folder="sub", produced={"sub/w/o": _made(b"4")})
    entry |= {"deps": [_item("../in.txt", b"9"), _item("here.txt", b"2")], "outs": [_item("o", b"4")]}
    assert _stages(again) == {"a": entry}


@pytest.mark.parametrize(
    "lock",
    [b"[", b"- 1", b"schema: '1.0'", b"stages: [1]", b"stages: {a: {deps: []}}",
     b"stages: {a: {cmd: x, outs: [1]}}", b"stages: {a: {cmd: x, params: [1]}}"],
)  # fmt: skip
def test_a_bad_lock_is_named(lock: bytes) -> None:
    with pytest.raises(ArtifactError, match=r"^sub/dvc\.lock: "):
        _run(lock=lock, folder="sub")


def test_stages_in_a_circle_are_refused() -> None:
    project = b"stages: {a: {cmd: x, deps: [o], outs: [p]}, b: {cmd: y, deps: [p], outs: [o]}}"
    with pytest.raises(ArtifactError, match="depend on each other"):
        _run(lock=None, project=project)


WORDS = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), min_size=1, max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | WORDS
TRAPS = ["", "no", "1e5", "0123", "12e4", "deadbeef", "0b1", "a: b", "- a", "#", "~", "a\nb", "x" * 200]
VALUES = st.recursive(
    SCALARS | st.sampled_from(TRAPS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=10,
)


@given(values=st.dictionaries(WORDS, VALUES, min_size=1, max_size=4))
def test_what_is_written_reads_the_same_here_and_in_ruamel(values: dict[str, Any]) -> None:
    text = dump_yaml(values)
    assert same(load_yaml(text), values)
    assert YAML(typ="safe", pure=True).load(text.decode()) == values

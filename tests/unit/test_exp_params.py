"""Overrides change the values asked for and no other byte; params are read as DVC reads them."""

from __future__ import annotations

import datetime
import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from sbcflow.errors import ParamsError
from sbcflow.experiment.params.overrides import (
    apply_overrides,
    changes,
    flatten,
    flatten_overrides,
    lookup,
    parse_assignments,
    read_values,
)
from sbcflow.experiment.params.yaml_values import dump_yaml, load_yaml, same

ROOT = Path(__file__).parents[2]
TEXT = b"""\
# The run.
train:
  lr: 0.1   # rate
  epochs: 10
  name: 'adam'
  note: "a #b"
  fast: true
  since: 2020-01-02
  tags:
    - a  # one
    - b  # two

# The model.
model: {depth: 3, sizes: [1, 2]}
layers:
- size: 4
- size: 8
nothing: null
empty:   # later
text: |
  hello
  world
last: 1
"""
SHARED = b"""\
base: &base
  lr: 1
  w: 2
merged:
  <<: *base
  w: 3
alias: *base
one: &one 5
two: *one
"""
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.dates(), st.sampled_from(
        ["no", "1e-3", "1e3", "0o7", "010", "null", "~", "", " a", "a: b", "a #b", "- a", "2020-01-01",
         "=", "<<"]
    )
)  # fmt: skip
PRINTABLE = SCALARS.filter(lambda value: not isinstance(value, str) or value.isprintable())


def _apply(text: bytes, **kwargs) -> bytes:
    return apply_overrides(text, kwargs.pop("overrides"), source="params.yaml", **kwargs)


def _lines(before: bytes, after: bytes) -> list[tuple[str, str]]:
    """The lines that differ, of two texts of equal length."""
    pairs = zip(before.decode().split("\n"), after.decode().split("\n"), strict=True)
    return [pair for pair in pairs if pair[0] != pair[1]]


def test_assignments_are_yaml() -> None:
    words = ["a.b=0.5", "c=1e-3", "d=true", "e=no", "f=[1, x]", "g=", "h=a=b", " i = 2"]
    expected = {"a.b": 0.5, "c": 1e-3, "d": True, "e": "no", "f": [1, "x"], "g": None, "h": "a=b", "i": 2}
    assert same(parse_assignments(words), expected)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a"], "key=value"),
        (["=1"], "key=value"),
        (["a=[1"], "not valid YAML"),
        (["a=1", "a=2"], "set twice"),
    ],
)
def test_bad_assignments_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        parse_assignments(words)


def test_overrides_are_flattened() -> None:
    values = {"a": {"b": 1, "e": {}}, "c.d": 2, "layers[0].size": [3]}
    assert flatten_overrides(values) == {"a.b": 1, "a.e": {}, "c.d": 2, "layers[0].size": [3]}


@pytest.mark.parametrize(
    "values",
    [
        {"": 1},
        {"a..b": 1},
        {"a[x]": 1},
        {"a[0": 1},
        {"a": {"b": 1}, "a.b": 1},
        {"a": {}, "a.b": 1},
        {"a.": 1},
    ],
)
def test_bad_keys_are_refused(values: dict) -> None:
    with pytest.raises(ParamsError):
        flatten_overrides(values)


@pytest.mark.parametrize(
    ("key", "value", "line"),
    [
        ("train.lr", 1e-5, "  lr: 1.0e-05   # rate"),
        ("train.lr", 3, "  lr: 3   # rate"),
        ("train.epochs", 0.5, "  epochs: 0.5"),
        ("train.epochs", np.int64(11), "  epochs: 11"),
        ("train.lr", np.float32(0.5), "  lr: 0.5   # rate"),
        ("train.lr", math.inf, "  lr: .inf   # rate"),
        ("train.name", "it's", "  name: 'it''s'"),
        ("train.note", 'say "x"', r'  note: "say \"x\""'),
        ("train.fast", False, "  fast: false"),
        ("train.since", datetime.date(2021, 1, 2), "  since: 2021-01-02"),
        ("train.tags", ["a", "c"], "    - c  # two"),
        ("train.tags[0]", "no", '    - "no"  # one'),
        ("model.depth", 4, "model: {depth: 4, sizes: [1, 2]}"),
        ("model.sizes", [7], "model: {depth: 3, sizes: [7]}"),
        ("layers[1].size", 9, "- size: 9"),
        ("layers.1.size", 9, "- size: 9"),
        ("nothing", "x y", 'nothing: "x y"'),
        ("empty", 5, "empty: 5   # later"),
    ],
)
def test_one_line_changes(key: str, value: object, line: str) -> None:
    after = _apply(TEXT, overrides={key: value})
    assert [new for _, new in _lines(TEXT, after)] == [line]


def test_a_list_grows_and_shrinks_in_its_style() -> None:
    grown = _apply(TEXT, overrides={"train.tags": ["a", "b", "c", "yes"]})
    assert grown == TEXT.replace(b"- b  # two\n", b'- b  # two\n    - c\n    - "yes"\n')
    assert _apply(TEXT, overrides={"train.tags": ["a"]}) == TEXT.replace(b"    - b  # two\n", b"")
    emptied = _apply(TEXT, overrides={"train.tags": []})
    assert read_values(emptied, source="p.yaml")["train"]["tags"] == []
    assert b"\n\n# The model.\n" in emptied


@pytest.mark.parametrize("value", ["one line", "two\nlines\n", "\x00\t\u2028", "smile \U0001f600"])
def test_block_scalars_give_way(value: str) -> None:
    after = _apply(TEXT, overrides={"text": value})
    assert after.startswith(TEXT[: TEXT.index(b"text:")])
    assert after.endswith(b"\nlast: 1\n")
    assert read_values(after, source="p.yaml")["text"] == value


def test_equal_values_give_the_same_bytes() -> None:
    odd = b"a:   1e-3  \r\nb: [ 1,2 ]\r\nc: 'x'\r\n\r\n"
    assert _apply(odd, overrides={"a": 0.001, "b": [1, 2], "c": "x"}) is odd
    assert _apply(odd, overrides={"b[1]": 3}) == odd.replace(b"2", b"3")


def test_an_int_over_an_equal_float_is_a_change() -> None:
    assert _apply(b"a: 1\n", overrides={"a": 1.0}) == b"a: 1.0\n"


def test_line_ends_stay() -> None:
    text = TEXT.replace(b"\n", b"\r\n")
    after = _apply(text, overrides={"train.tags": ["a", "b", "c"], "train.x": 1, "model.y": 2}, new=True)
    assert after.count(b"\r\n") == after.count(b"\n") == text.count(b"\n") + 2


def test_new_keys_go_below_their_siblings() -> None:
    overrides = {"train.opt": {"b": 1, "c": [1, "yes"]}, "train.x": 1, "model.k": 2, "zz": 1e-7}
    after = _apply(TEXT, overrides=overrides, new=True)
    added = b'    - b  # two\n  opt:\n    b: 1\n    c: [1, "yes"]\n  x: 1\n'
    expected = TEXT.replace(b"    - b  # two\n", added).replace(b"2]}", b"2], k: 2}") + b"zz: 1.0e-07\n"
    assert after == expected


def test_new_keys_start_a_file() -> None:
    overrides = {"a.b": 1, "a.c": "x", "d": 2}
    assert _apply(b"", overrides=overrides, new=True) == b"a:\n  b: 1\n  c: x\nd: 2\n"
    assert _apply(b"# only\n", overrides={"a": 1}, new=True) == b"# only\na: 1\n"


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("train.lrr", "train.lr"),
        ("lr", "train.lr"),
        ("layers[2].size", "layers"),
        ("train.epoch", "train.epochs"),
    ],
)
def test_unknown_keys_name_the_nearest(key: str, near: str) -> None:
    with pytest.raises(ParamsError, match=rf"params\.yaml: no parameter .*{near}.*new=True"):
        _apply(TEXT, overrides={key: 1})


@pytest.mark.parametrize("key", ["train.lr.x", "layers[5]", "train.tags[2]", "train.name[0]"])
def test_new_keys_need_a_mapping(key: str) -> None:
    with pytest.raises(ParamsError, match="can only be added to a mapping"):
        _apply(TEXT, overrides={key: 1}, new=True)


REFUSED = [
    ("train.lr", "x"), ("train.lr", True), ("train.fast", 1), ("train.name", 1), ("train.tags", "a"),
    ("train.lr", None), ("train.lr", [1]), ("train.since", "2020"), ("layers[0].size", {}),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), REFUSED)
def test_types_change_only_if_asked(key: str, value: object) -> None:
    with pytest.raises(ParamsError, match=r"was .*, got .*change_type=True"):
        _apply(TEXT, overrides={key: value})
    after = _apply(TEXT, overrides={key: value}, change_type=True)
    assert same(lookup(read_values(after, source="p.yaml"), key), value)


@pytest.mark.parametrize("value", [1, None, "x", [1]])
def test_a_mapping_stays_one(value: object) -> None:
    with pytest.raises(ParamsError, match=r"train: was mapping .* a mapping stays one"):
        _apply(TEXT, overrides={"train": value}, change_type=True)


def test_a_mapping_can_be_emptied() -> None:
    values = read_values(_apply(TEXT, overrides={"model": {}}), source="p.yaml")
    assert values == {**read_values(TEXT, source="p.yaml"), "model": {}}


@pytest.mark.parametrize("value", [object(), {1, 2}, (1,), 1j, np.zeros(2), b"x", {1: 2}])
def test_only_plain_values_are_taken(value: object) -> None:
    with pytest.raises(ParamsError, match="is not null, bool"):
        _apply(TEXT, overrides={"nothing": [value]})


@pytest.mark.parametrize("key", ["base.lr", "merged.lr", "merged.w", "alias.lr", "one", "two"])
def test_aliases_keep_their_values(key: str) -> None:
    after = read_values(_apply(SHARED, overrides={key: 9}), source="p.yaml")
    before = flatten(read_values(SHARED, source="p.yaml"))
    assert flatten(after) == {**before, key: 9}
    assert before[key] != 9


def test_an_alias_gives_way_to_its_value() -> None:
    text = b"one: &one 5\ntwo: *one\nthree: 1\n"
    assert _apply(text, overrides={"two": 9}).count(b"two:") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"a: [1", "not valid YAML"), (b"- 1\n", "must be a mapping"), (b"a: \xff", "not valid YAML"),
        (b"a: &a [*a]\n", "an alias holds itself"), (b"a: 1\nb: 2\nb: 3\n", "b is there twice"),
        (b"a: !!python/object:x {}\n", "not valid YAML"),
    ],
)  # fmt: skip
def test_bad_files_are_named(text: bytes, message: str) -> None:
    with pytest.raises(ParamsError, match=rf"p\.yaml: .*{message}"):
        apply_overrides(text, {"b": 1}, source="p.yaml", new=True)


def test_json_keeps_its_indent() -> None:
    text = json.dumps({"a": {"b": 1}, "c": "é"}, indent=2, ensure_ascii=False).encode() + b"\n"
    assert apply_overrides(text, {"a.b": 2}, source="p.json") == text.replace(b"1", b"2")
    assert apply_overrides(b'{"a": 1}', {"a": 2}, source="p.json") == b'{"a": 2}'
    with pytest.raises(ParamsError, match="JSON cannot hold"):
        apply_overrides(text, {"a.b": math.nan}, source="p.json")
    with pytest.raises(ParamsError, match=r"p\.json: not valid JSON"):
        apply_overrides(b"{", {"a.b": 1}, source="p.json")


@pytest.mark.parametrize("source", ["params.toml", "params.py", "params"])
def test_other_formats_are_refused(source: str) -> None:
    with pytest.raises(ParamsError, match=r"\.yaml, \.yml, \.json"):
        read_values(b"a = 1", source=source)


def test_values_read_are_the_callers_own() -> None:
    read_values(TEXT, source="p.yaml")["train"]["tags"].append("c")
    assert read_values(TEXT, source="p.yaml")["train"]["tags"] == ["a", "b"]


def test_changes_are_what_is_new_or_differs() -> None:
    before = {"a": {"b": 1, "c": math.nan}, "d": [1], "e": True, "gone": 1}
    after = {"a": {"b": 1, "c": math.nan, "n": {}}, "d": [1, 2], "e": 1}
    assert changes(before, after) == {"a.n": {}, "d": [1, 2], "e": 1}
    assert changes(before, before) == {}


@pytest.mark.parametrize(
    "word",
    ["1e-3", "1e3", "1.5e3", "-.5", "no", "on", "y", "True", "010", "0o10", "0x1F", "0b11", "1_000",
     "12:30:45", "~", "null", "Null", ".inf", "-.Inf", ".NaN", "2020-01-02", "+1", "1.", "_1", "0.1_0",
     "1e", "e1", "-"],
)  # fmt: skip
def test_scalars_read_as_dvc_reads_them(word: str) -> None:
    text = f"a: {word}x\nb: [{word}]\n" if word == "-" else f"a: {word}\n"
    expected = YAML(typ="safe").load(text)
    assert same(load_yaml(text.encode()), expected)


@given(value=PRINTABLE, key=st.sampled_from(["train.lr", "train.name", "train.note", "text", "empty"]))
def test_any_scalar_reads_back_in_both_yaml_versions(value: object, key: str) -> None:
    after = _apply(TEXT, overrides={key: value}, change_type=True)
    for values in (read_values(after, source="p.yaml"), yaml.safe_load(after), YAML(typ="safe").load(after)):
        assert same(lookup(values, key), value)


@given(value=st.text(), key=st.sampled_from(["train.name", "train.note", "text"]))
def test_any_string_reads_back_or_is_refused(value: str, key: str) -> None:
    try:
        after = _apply(TEXT, overrides={key: value})
    except ParamsError:
        after = None
    assert after is not None or not value.isprintable()
    assert after is None or lookup(read_values(after, source="p.yaml"), key) == value


@given(values=st.lists(PRINTABLE, max_size=4))
def test_any_list_reads_back(values: list) -> None:
    after = _apply(TEXT, overrides={"train.tags": values, "model.sizes": values})
    assert same(read_values(after, source="p.yaml")["train"]["tags"], values)
    assert same(yaml.safe_load(after)["model"]["sizes"], values)


@given(value=PRINTABLE)
def test_dumped_values_read_back_in_both_yaml_versions(value: object) -> None:
    text = dump_yaml({"a": value, "b": [value]})
    assert same(load_yaml(text), {"a": value, "b": [value]})
    assert same(yaml.safe_load(text), {"a": value, "b": [value]})


def test_a_hash_that_looks_like_a_number_stays_a_word() -> None:
    digest = "1234567890e123456789012345678901"
    assert YAML(typ="safe").load(dump_yaml({"md5": digest})) == {"md5": digest}


def test_dumping_repeats_shared_values() -> None:
    shared = {"x": 1}
    assert dump_yaml({"a": shared, "b": shared}) == b"a:\n  x: 1\nb:\n  x: 1\n"


def test_the_projects_own_params_can_be_set() -> None:
    text = (ROOT / "params.yaml").read_bytes()
    overrides = {"train_sweep": {"n_configs": 30, "scales": [1, 2]}, "model.basis.n_knots": 5}
    lines = [new for _, new in _lines(text, _apply(text, overrides=overrides))]
    assert lines == ["  n_configs: 30", "  scales: [1, 2]", "    n_knots: 5"]

"""Parameter files of an experiment: read as DVC reads them, overridden by dotted keys.

An override changes the value it names and nothing else; what it may change is checked here, how a file
of YAML is edited is a matter of ``yaml_text``.
"""

from __future__ import annotations

import datetime
import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from sbcflow.errors import ParamsError
from sbcflow.experiment.params.yaml_text import edit_yaml
from sbcflow.experiment.params.yaml_values import load_yaml, same, unshared

# load_yaml and same: for sbcflow.explore, which imports them from here.
__all__ = [
    "apply_overrides",
    "changes",
    "flatten",
    "flatten_overrides",
    "load_yaml",
    "lookup",
    "parse_assignments",
    "read_values",
    "same",
]
SUFFIXES = (".yaml", ".yml", ".json")
KEY = re.compile(r"[^.\[\]]+(?:\[\d+\])*(?:\.[^.\[\]]+(?:\[\d+\])*)*")


def parse_assignments(words: Iterable[str]) -> dict[str, Any]:
    """Read ``key=value`` words; a value is YAML, so ``lr=1e-3`` is a number and ``tags=[a, b]`` a list.

    Raises:
        ParamsError: a word has no '=' or no key, its value is not YAML, or a key is set twice.
    """
    values: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        key = key.strip()
        if not (equals and key):
            raise ParamsError(f"{word!r}: a parameter is set as key=value, for example model.lr=0.1")
        if key in values:
            raise ParamsError(f"{word!r}: {key} is set twice")
        try:
            values[key] = load_yaml(text.encode("utf-8"))
        except ValueError as error:
            raise ParamsError(f"{word!r}: the value is {error}") from None
    return values


def flatten_overrides(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return overrides by dotted key; nested mappings and dotted keys may be mixed, {} is a value.

    Dots separate, list items are ``layers[0].size`` or ``layers.0.size``.

    Raises:
        ParamsError: a key is malformed, or set twice, or set both as a whole and in part.
    """
    flat: dict[str, Any] = {}
    seen: dict[tuple[str, ...], str] = {}
    for key, value in _leaves(values, ""):
        parts = _parts(key)
        if parts in seen:
            raise ParamsError(f"{key}: set twice")
        flat[key], seen[parts] = value, key
    for parts, key in seen.items():
        whole = next((parts[:n] for n in range(1, len(parts)) if parts[:n] in seen), None)
        if whole:
            raise ParamsError(f"{key}: {seen[whole]} is set as a whole too")
    return flat


def flatten(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a tree of values by dotted key; lists, and mappings without keys, are values."""
    return dict(_leaves(values, ""))


def lookup(values: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401
    """Return the value at a dotted key.

    Raises:
        KeyError: there is none.
        ParamsError: the key is malformed.
    """
    return _at(values, _parts(key))


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the dotted keys of ``after`` whose value is new or differs, in value or in type."""
    old = flatten(before)
    return {key: value for key, value in flatten(after).items() if not (key in old and same(old[key], value))}


def read_values(text: bytes, *, source: str) -> dict[str, Any]:
    """Read a params file, YAML or JSON by the suffix of ``source``; the caller owns the result.

    Raises:
        ParamsError: the text cannot be read or is no mapping, or the suffix is another.
    """
    return unshared(_values(text, source))


def apply_overrides(
    text: bytes,
    overrides: Mapping[str, Any],
    *,
    source: str,
    new: bool = False,
    change_type: bool = False,
) -> bytes:
    """Return a params file with values replaced; comments, order, quotes and blank lines stay.

    The result reads as the values of ``text`` with the overrides and nothing else changed: a value that
    others share by an alias changes where it is named only. Overrides that the file already has give
    ``text`` itself.

    Args:
        text: the file; YAML or JSON by the suffix of ``source``.
        overrides: dotted keys or nested mappings (see :func:`flatten_overrides`); values are None, bool,
            int, float, str, date, list or dict, or numpy scalars.
        source: the file's name, for messages.
        new: allow keys that the file does not have.
        change_type: allow a value of another type; a mapping is never replaced by anything else. Numbers
            are one type, and null may become anything.

    Raises:
        ParamsError: ``text`` cannot be read, or an override is not allowed.
    """
    before = _values(text, source)
    after = unshared(before)
    for key, value in flatten_overrides(overrides).items():
        _override(after, key, _plain(value, key), source, new=new, change_type=change_type)
    if same(before, after):
        return text
    try:
        return _json_text(text, after) if _is_json(source) else edit_yaml(text, before, after)
    except ValueError as error:
        raise ParamsError(f"{source}: {error}") from None


def _leaves(values: Mapping[Any, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@lru_cache(maxsize=1024)
def _parts(key: str) -> tuple[str, ...]:
    if not KEY.fullmatch(key):
        raise ParamsError(f"{key!r}: not a key; keys are written model.lr, list items layers[0].size")
    return tuple(re.findall(r"[^.\[\]]+", key))


def _values(text: bytes, source: str) -> dict[str, Any]:
    """Return the cached values of a params file, which nobody may change."""
    if not source.lower().endswith(SUFFIXES):
        raise ParamsError(f"{source}: parameters can be read from {', '.join(SUFFIXES)} files only")
    try:
        return _parsed(text, _is_json(source))
    except ValueError as error:
        raise ParamsError(f"{source}: {error}") from None


def _is_json(source: str) -> bool:
    return source.lower().endswith(".json")


@lru_cache(maxsize=64)
def _parsed(text: bytes, is_json: bool) -> dict[str, Any]:
    if is_json:
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not valid JSON: {error}") from None
    else:
        values = load_yaml(text)
    if not isinstance(values, dict | None):
        raise ValueError("must be a mapping of parameters")
    try:
        return unshared(values or {})
    except RecursionError:
        raise ValueError("an alias holds itself") from None


def _override(
    values: dict[str, Any],
    key: str,
    value: Any,  # noqa: ANN401
    source: str,
    *,
    new: bool,
    change_type: bool,
) -> None:
    """Set one value in a tree, if the tree has it or ``new``, and if its type allows."""
    *parents, last = _parts(key)
    try:
        holder = _at(values, parents)
        name = _key(holder, last)
    except KeyError:
        if not new:
            raise ParamsError(f"{source}: {_unknown(key, values)}") from None
        _add(values, key, value, source)
        return
    if not change_type or isinstance(holder[name], dict):
        _check_type(key, holder[name], value, source)
    if not same(holder[name], value):
        holder[name] = value


def _at(values: Any, parts: Iterable[str]) -> Any:  # noqa: ANN401
    """Return the value at the parts of a dotted key, or raise KeyError."""
    for part in parts:
        values = values[_key(values, part)]
    return values


def _key(holder: Any, part: str) -> Any:  # noqa: ANN401
    """Return the key or the index that a part of a dotted key means, or raise KeyError."""
    if isinstance(holder, dict):
        if part in holder:
            return part
        for key in holder:
            if str(key) == part:
                return key
    elif isinstance(holder, list) and part.isdecimal() and int(part) < len(holder):
        return int(part)
    raise KeyError(part)


def _add(values: dict[str, Any], key: str, value: Any, source: str) -> None:  # noqa: ANN401
    """Set a value that a tree does not have, with the mappings above it."""
    *parents, last = _parts(key)
    holder: Any = values
    for part in parents:
        holder = _below(holder, part)
    if not isinstance(holder, dict):
        raise ParamsError(f"{source}: {key}: a new key can only be added to a mapping")
    holder[last] = value


def _below(holder: Any, part: str) -> Any:  # noqa: ANN401
    """Return what is at a key; a mapping that has nothing there gets a new one."""
    try:
        name = _key(holder, part)
    except KeyError:
        if not isinstance(holder, dict):
            return None
        name = part
    if isinstance(holder, dict) and holder.get(name) is None:
        holder[name] = {}
    return holder[name]


def _unknown(key: str, values: dict[str, Any]) -> str:
    known = list(flatten(values))
    near = difflib.get_close_matches(key, known, n=3)
    last = _parts(key)[-1]
    ends: dict[str, list[str]] = {}
    for other in known:
        ends.setdefault(other.rpartition(".")[2], []).append(other)
    for end in difflib.get_close_matches(last, ends, n=2, cutoff=0.75):
        near.extend(ends[end])
    hint = f"; the nearest are {', '.join(list(dict.fromkeys(near))[:5])}" if near else ""
    return f"no parameter {key}{hint}; new=True adds it"


def _kind(value: object) -> str:
    if value is None:
        return "null"
    kinds = ((bool, "bool"), (int | float, "number"), (str, "str"), (list, "list"), (dict, "mapping"))
    return next((name for kind, name in kinds if isinstance(value, kind)), "date")


def _check_type(key: str, old: object, value: object, source: str) -> None:
    before, after = _kind(old), _kind(value)
    if before in (after, "null"):
        return
    hint = "a mapping stays one" if before == "mapping" else "change_type=True allows it"
    raise ParamsError(f"{source}: {key}: was {_described(old)}, got {_described(value)}; {hint}")


def _described(value: object) -> str:
    return "null" if value is None else f"{_kind(value)} {value!r:.80}"


def _plain(value: Any, key: str) -> Any:  # noqa: ANN401
    """Return a value as YAML's own types."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {str.__str__(name): _plain(item, key) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, key) for item in value]
    if value is None or isinstance(value, bool | datetime.date):
        return value
    for kind in (int, float, str):
        if isinstance(value, kind):
            return kind.__str__(value) if kind is str else kind(value)
    allowed = "null, bool, int, float, str, date, list or a mapping by str"
    raise ParamsError(f"{key}: {value!r:.80} ({type(value).__name__}) is not {allowed}")


def _json_text(text: bytes, values: dict[str, Any]) -> bytes:
    """Write values in the form of a JSON text: its indent, its end, with or without escapes."""
    indent = re.search(rb"^{\s*\n([ \t]+)", text)
    end = b"\n" if text.endswith(b"\n") else b""
    try:
        new = json.dumps(
            values, indent=indent and indent[1].decode(), ensure_ascii=text.isascii(), allow_nan=False
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"JSON cannot hold these values: {error}") from None
    return new.encode("utf-8") + end

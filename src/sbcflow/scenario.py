"""Scenarios: files of the few run values that differ, layered on params.yaml.

A scenario is put *into* params.yaml rather than beside it, so that DVC, Snakemake and Git all see
the one set of values; its comments and its order stay.
"""

from __future__ import annotations

import difflib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sbcflow.errors import ParamsError
from sbcflow.files import write_text
from sbcflow.params import PARAMS_FILE, Params, parse

# Mappings whose keys are the user's: a scenario gives them whole.
# A sweep has one of them, which takes the place of the other.
SIZES = ("n_configs", "precision")
FREE = ("own.estimator", "own.family")


def apply_scenario(scenario_path: Path | str, params_path: Path | str = PARAMS_FILE) -> Params:
    """Write the values of a scenario into a params file and return the settings it then holds.

    The result is checked as a whole before the file is replaced, in one step.

    Raises:
        ParamsError: a file is missing or no YAML mapping, the scenario has a key that the params file
            has not, or a value is not allowed. Nothing is written then.
    """
    scenario_path, params_path = Path(scenario_path), Path(params_path)
    editor = _round_trip()
    values = _read(editor, params_path)
    _overlay(values, _read(editor, scenario_path), str(scenario_path), parents=())
    text = io.StringIO()
    editor.dump(values, text)
    params = parse(_plain(text.getvalue(), scenario_path), source=f"{params_path} with {scenario_path}")
    write_text(params_path, text.getvalue())
    return params


def _round_trip() -> YAML:
    editor = YAML()
    editor.preserve_quotes = True
    editor.indent(mapping=2, sequence=4, offset=2)
    editor.width = 4096
    return editor


def _read(editor: YAML, path: Path) -> dict[str, Any]:
    try:
        values = editor.load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file") from None
    except (YAMLError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise ParamsError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise ParamsError(f"{path}: must be a mapping of the keys of {PARAMS_FILE} that differ")
    return values


def _plain(text: str, scenario_path: Path) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ParamsError(f"{scenario_path}: not plain YAML: {' '.join(str(error).split())}") from None


def _overlay(
    values: dict[str, Any], changes: Mapping[Any, Any], source: str, parents: tuple[str, ...]
) -> None:
    for name, change in changes.items():
        where = ".".join([*parents, str(name)])
        if str(name) in SIZES and parents and parents[-1].endswith("_sweep"):
            _resize(values, str(name), change)
            continue
        if name not in values:
            raise ParamsError(f"{source}: {where}: {_unknown(str(name), values)}")
        if where in FREE and isinstance(change, dict):
            values[name] = change
            continue
        if isinstance(values[name], dict) != isinstance(change, dict):
            expected = "a mapping" if isinstance(values[name], dict) else "a single value or a list"
            raise ParamsError(f"{source}: {where}: must be {expected}, got {change!r}")
        if isinstance(change, dict):
            _overlay(values[name], change, source, (*parents, str(name)))
        elif values[name] != change or type(values[name]) is not type(change):
            values[name] = change


def _resize(values: dict[str, Any], name: str, change: object) -> None:
    """Give a sweep its size in one of its two forms, at the place of the one that it had."""
    if isinstance(values.get(name), dict) and isinstance(change, dict):
        values[name].update(change)
        return
    other = next(size for size in SIZES if size != name)
    if other in values:
        place = list(values).index(other)
        del values[other]
        values.insert(place, name, change)  # type: ignore[attr-defined]  # ruamel's, which keep an order
    elif values.get(name) != change or type(values.get(name)) is not type(change):
        values[name] = change


def _unknown(name: str, values: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(name, values, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"unknown key{hint} (allowed: {', '.join(sorted(values))})"

"""What an exploration will do: for each combination its params, sweep and names, all checked first."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from sbcflow.errors import ParamsError
from sbcflow.experiment.params.overrides import apply_overrides, flatten, lookup, read_values, same
from sbcflow.explore import names
from sbcflow.explore.combinations import combinations
from sbcflow.params import PARAMS_FILE, Params, SweepSettings, parse
from sbcflow.sweep.plan import PlannedConfig, plan_sweep

RUN_ID = "exploratory_sweep.id"


@dataclass(frozen=True)
class PlannedExperiment:
    """One combination, before its sweep runs.

    Attributes:
        name: of the experiment. values: those that were set, by dotted key.
        params: all run values, the sweep's own id among them; text: the file that holds them.
        configs: the plan of the sweep.
    """

    name: str
    values: Mapping[str, Any]
    params: Params
    text: bytes
    configs: tuple[PlannedConfig, ...]

    @property
    def sweep(self) -> SweepSettings:
        """The settings of the sweep."""
        return self.params.exploratory_sweep


def plan_experiments(
    sets: Mapping[str, Sequence[Any]], path: Path | str = PARAMS_FILE
) -> tuple[PlannedExperiment, ...]:
    """Return the experiments of every combination of the values in ``sets``, over the params file ``path``.

    Raises:
        ParamsError: the file cannot be read, a key is unknown, a combination is not allowed, or two
            combinations are the same sweep. Nothing is written.
    """
    text = _read(path)
    for key in sets:
        _check_key(key, read_values(text, source=str(path)), path)
    planned = tuple(_plan(text, values, path) for values in combinations(sets))
    _check_apart(planned)
    return planned


def _plan(text: bytes, values: Mapping[str, Any], path: Path | str) -> PlannedExperiment:
    shown = ", ".join(f"{key}={value}" for key, value in values.items())
    asked, params = _override(text, values, path, f"{path} with {shown}")
    configs = plan_sweep(params, "exploratory")
    digits = names.digest(params.exploratory_sweep, configs)
    run_id = names.run_id(params.exploratory_sweep.id, digits)
    final, params = _override(asked, {RUN_ID: run_id}, path, f"{path} with {shown}")
    name = names.experiment_name(values, digits)
    return PlannedExperiment(name, MappingProxyType(dict(values)), params, final, configs)


def _override(text: bytes, values: Mapping[str, Any], path: Path | str, source: str) -> tuple[bytes, Params]:
    """Return a params file with values set, and what it says; the schema judges their types."""
    changed = apply_overrides(text, values, source=str(path), change_type=True)
    return changed, parse(yaml.safe_load(changed), source=source)


def _read(path: Path | str) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise ParamsError(f"{path}: no such file; run from the folder that holds {PARAMS_FILE}") from None


def _check_key(key: str, values: Mapping[str, Any], path: Path | str) -> None:
    try:
        value = lookup(values, key)
    except KeyError:
        near = difflib.get_close_matches(key, list(flatten(values)), n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else f" (sections: {', '.join(values)})"
        raise ParamsError(f"{path}: {key}: unknown key{hint}") from None
    if isinstance(value, dict):
        raise ParamsError(f"{path}: {key}: is a section; set one of {', '.join(flatten({key: value}))}")


def _check_apart(planned: Sequence[PlannedExperiment]) -> None:
    first: dict[str, PlannedExperiment] = {}
    for one in planned:
        other = first.setdefault(one.sweep.id, one)
        if other is not one:
            keys = [key for key in one.values if not same(one.values[key], other.values[key])]
            raise ParamsError(
                f"{', '.join(keys)}: {other.name} and {one.name} would be the same sweep: "
                "these values change no fit of the exploratory sweep"
            )

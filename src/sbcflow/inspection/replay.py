"""One config fitted again, beside what its summary recorded: every field, and the draws."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbcflow.errors import ArtifactError, ParamsError
from sbcflow.experiment.params.overrides import flatten
from sbcflow.files import json_bytes, read_npz
from sbcflow.inspection.values import Difference, differences
from sbcflow.params import Params, SweepKind
from sbcflow.sweep.fit import run_config
from sbcflow.sweep.layout import draws_path, parse_config_id, summary_path
from sbcflow.sweep.plan import PlannedConfig, plan_config
from sbcflow.sweep.summary import read_summary

# They tell how a fit ran, or are made of those that do; the draws are compared as arrays.
MAY_DIFFER = ("timings", "device", "execution", "seal", "draws_sha256")
INDEX = re.compile(r"[0-9]{1,9}")
Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class ArrayDifference:
    """An array that differs: in its form (type and shape, recorded and replayed), or by at most ``largest``.

    ``largest`` is None where the forms differ, or a value is not finite.
    """

    name: str
    forms: tuple[str, str]
    largest: float | None

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values."""
        recorded, replayed = self.forms
        forms = {"recorded_form": recorded, "replayed_form": replayed}
        return {"name": self.name, **forms, "largest_difference": self.largest}


@dataclass(frozen=True)
class Replay:
    """A config fitted again.

    Attributes:
        run_id, config_id: the config.
        n_fields: those that were compared; differing: those that differ (before: recorded, after: replayed).
        has_draws: whether the sweep keeps draws; draws: the arrays that differ.
        seconds: those that the recorded fit and this one took.
        notes: what differs in how the two ran.
    """

    run_id: str
    config_id: str
    n_fields: int
    differing: tuple[Difference, ...]
    has_draws: bool
    draws: tuple[ArrayDifference, ...]
    seconds: tuple[float, float]
    notes: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        """Whether every number is what was recorded."""
        return not self.differing and not self.draws

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "run_id": self.run_id,
            "config_id": self.config_id,
            "same": self.is_same,
            "n_fields": self.n_fields,
            "differing": [
                {**one.plain("recorded", "replayed"), "relative": one.relative} for one in self.differing
            ],
            "has_draws": self.has_draws,
            "draws": [one.plain() for one in self.draws],
            "recorded_seconds": self.seconds[0],
            "replayed_seconds": self.seconds[1],
            "notes": list(self.notes),
        }


def replay(params: Params, kind: SweepKind, config: str, say: Callable[[str], None]) -> Replay:
    """Fit a config, named by its id or its index, and compare; nothing is written.

    Raises:
        ParamsError: the plan has no such index.
        ArtifactError: the config has no fit under its present key, or its summary is unsound.
    """
    sweep, planned = params.sweeps()[kind], find_planned(params, kind, config)
    recorded = read_summary(sweep, planned)
    before = _draws(sweep.id, planned) if sweep.save_samples else {}
    took = recorded["timings"]["wall_seconds"]
    say(f"{sweep.id} {planned.config_id}: fitting it again; it took {took:.1f} s")
    summary, after = run_config(params, kind, planned.index)
    replayed = json.loads(json_bytes(summary))  # as a file would have it
    compared = _compared(recorded)
    return Replay(
        run_id=sweep.id,
        config_id=planned.config_id,
        n_fields=len(flatten(compared)),
        differing=tuple(differences(compared, _compared(replayed))),
        has_draws=sweep.save_samples,
        draws=tuple(_differing(before, after)),
        seconds=(took, replayed["timings"]["wall_seconds"]),
        notes=tuple(_notes(recorded, replayed)),
    )


def find_planned(params: Params, kind: SweepKind, config: str) -> PlannedConfig:
    """Return the planned and fitted config whose id or index is ``config``.

    Raises:
        ParamsError: the plan has no such index.
        ArtifactError: the id is none, or not that of the present plan; or there is no fit.
    """
    sweep = params.sweeps()[kind]
    is_index = INDEX.fullmatch(config) is not None
    index = int(config) if is_index else parse_config_id(config).index
    n_configs = sweep.most_configs * len(sweep.scales)
    if index >= n_configs:
        raise ParamsError(f"{config}: {sweep.id} has no such config; allowed: 0 to {n_configs - 1}")
    planned = plan_config(params, kind, index)
    why = f"`sbcflow explain {sweep.id}` tells why"
    if not is_index and config != planned.config_id:
        raise ArtifactError(f"{config}: the plan has moved on, the config is now {planned.config_id}; {why}")
    path = summary_path(sweep.id, planned.config_id)
    if not path.exists():
        raise ArtifactError(f"{path}: no such fit, so there is nothing to compare with; {why}")
    return planned


def _draws(run_id: str, planned: PlannedConfig) -> Arrays:
    return read_npz(draws_path(run_id, planned.config_id))


def _compared(summary: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in summary.items() if name not in MAY_DIFFER}


def _differing(before: Arrays, after: Arrays) -> Iterator[ArrayDifference]:
    """Find the arrays that are not the same to the bit; a fit under one key has the same ones."""
    for name, old in before.items():
        new = after[name]
        forms = _form(old), _form(new)
        if forms[0] != forms[1]:
            yield ArrayDifference(name, forms, None)
        elif old.tobytes() != new.tobytes():
            yield ArrayDifference(name, forms, _largest(old, new))


def _form(array: NDArray[Any]) -> str:
    return f"{array.dtype} {array.shape}"


def _largest(old: NDArray[Any], new: NDArray[Any]) -> float | None:
    largest = float(np.max(np.abs(new.astype(np.float64) - old.astype(np.float64))))
    return largest if np.isfinite(largest) else None


def _notes(recorded: Mapping[str, Any], replayed: Mapping[str, Any]) -> Iterator[str]:
    """Say what may explain a difference."""
    for name in ("host", "platform"):
        yield from _note(name, recorded["execution"][name], replayed["execution"][name])
    yield from _note("device", recorded["device"], replayed["device"])


def _note(name: str, recorded: object, replayed: object) -> Iterator[str]:
    if recorded != replayed:
        yield f"{name}: recorded on {recorded}, replayed on {replayed}"

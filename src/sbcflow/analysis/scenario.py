"""The scenario of a correction for an experiment that lies outside the regime of the one it was given."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from sbcflow.params import Arms, Visitors

SCENARIO_FILE = "scenario.yaml"
N_TRAIN, N_TEST = 152, 48
MOST_LETTERS = 60


@dataclass(frozen=True)
class Scenario:
    """The text of scenario.yaml, and the run id of the corrections that it leads to."""

    text: str
    corrections: str

    def next_step(self, file: str) -> str:
        """Return what to do with ``file``, this scenario's, as one line."""
        return (
            f"Next: sbcflow params apply {shlex.quote(file)} && dvc repro, then this analysis again with "
            f"--correction runs/{self.corrections}"
        )


def scenario_for(settings: Mapping[str, Any], out: Path, correction: Path) -> Scenario | None:
    """Return a scenario of ``Regime.settings``, its runs named after the folder ``out``.

    None where there are no settings, or no sweep can have them: fewer than 100 visitors, more than 20 arms.
    ``correction`` is the folder of the one that was used, whose name is not taken again.
    """
    if not settings or not _possible(settings):
        return None
    name = _name_of(out)
    if correction.resolve().name == f"{name}-corrections":
        name += "-2"
    lines = [
        f"# Experiments like that of {name}: {N_TRAIN} to fit a correction on, {N_TEST} to prove it on.",
        "# sbcflow analyze wrote this. More of both make a better correction, and take longer.",
        yaml.safe_dump(_values(settings, name), sort_keys=False, default_flow_style=None),
    ]
    return Scenario("\n".join(lines), f"{name}-corrections")


def _values(settings: Mapping[str, Any], name: str) -> dict[str, Any]:
    # A list of its own for each: YAML writes one that it meets again as an alias.
    sweeps = [
        {"scales": [*settings["scales"]], "generator_family": "v2", "save_samples": True} for _ in range(2)
    ]
    start = "generators.v2."
    v2 = {key.removeprefix(start): value for key, value in settings.items() if key.startswith(start)}
    trained = f"{name}-train"
    return {
        "train_sweep": {"id": trained, "n_configs": N_TRAIN, **sweeps[0]},
        "test_sweep": {
            "id": f"{name}-test",
            "trained_correction_from": trained,
            "n_configs": N_TEST,
            **sweeps[1],
        },
        "exploratory_sweep": {"id": f"{name}-prior"},
        "fit_corrections": {"id": f"{name}-corrections"},
        "evaluate_layered": {"id": f"{name}-evaluation"},
        "generators": {"v2": v2},
    }


def _possible(settings: Mapping[str, Any]) -> bool:
    try:
        TypeAdapter(Visitors).validate_python(settings["scales"][0])
        TypeAdapter(Arms).validate_python(settings["generators.v2.n_arms"])
    except ValidationError:
        return False
    return True


def _name_of(out: Path) -> str:
    """The folder's name, made fit for a run id."""
    words = re.findall(r"[A-Za-z0-9]+", out.resolve().name)
    return "-".join(words)[:MOST_LETTERS].rstrip("-") or "own"

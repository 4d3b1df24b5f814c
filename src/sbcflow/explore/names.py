"""Names of what an exploration makes: experiments, run ids, logs, params files. Each is made here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sbcflow.params import SweepSettings
from sbcflow.sweep.key import canonical_json
from sbcflow.sweep.layout import LOGS
from sbcflow.sweep.plan import PlannedConfig

DIGITS = 8
LONGEST = 100
FOLDER = "explore"


def digest(sweep: SweepSettings, configs: Iterable[PlannedConfig]) -> str:
    """Return what tells one exploratory sweep from another: its settings, and the keys of its fits."""
    content = {"sweep": sweep.model_dump(mode="json"), "fits": [config.key for config in configs]}
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()[:DIGITS]


def run_id(base: str, digits: str) -> str:
    """Return the id of the sweep of a combination, from that of params.yaml."""
    return f"{base}-{digits}"


def experiment_name(values: Mapping[str, Any], digits: str) -> str:
    """Return ``<values>-<digest>``, as ``n_configs=2,shift_scale=0.5-1a2b3c4d``: a reference for Git."""
    keys = _short([key.replace("[", ".").replace("]", "") for key in values])
    slug = ",".join(f"{key}={_word(value)}" for key, value in zip(keys, values.values(), strict=True))
    slug = re.sub(r"[^A-Za-z0-9.,=+_-]+", "-", slug)
    slug = re.sub(r"[.]{2,}", ".", slug)[: LONGEST - DIGITS - 1]
    return f"{slug.strip('.,=+-')}-{digits}"


def log_path(name: str) -> Path:
    """Return the log of the sweep of an experiment: all that Snakemake and its jobs say."""
    return Path(LOGS, FOLDER, f"{name}.log")


def params_path(name: str) -> Path:
    """Return the params file of an experiment's sweep, which its jobs read; Git and DVC pass over it."""
    return Path(LOGS, FOLDER, f"{name}.yaml")


def _short(keys: Sequence[str]) -> list[str]:
    """Return the shortest ends of dotted keys that tell them apart."""
    return [next(end for end in _ends(key) if _is_of_one(end, keys)) for key in keys]


def _ends(key: str) -> Iterable[str]:
    parts = key.split(".")
    # The number of a list's item says nothing alone.
    starts = range(len(parts) - 1, -1, -1)
    return [".".join(parts[start:]) for start in starts if not parts[start].isdecimal()] or [key]


def _is_of_one(end: str, keys: Sequence[str]) -> bool:
    return sum(key == end or key.endswith(f".{end}") for key in keys) == 1 or end in keys


def _word(value: object) -> str:
    if isinstance(value, list):
        return "+".join(_word(item) for item in value)
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return str(value)

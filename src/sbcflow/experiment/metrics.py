"""Metrics of an experiment: names and values that are allowed, and the files that DVC reads them from.

In the commit: ``metrics.json`` holds the last value of each metric, nested at the slashes of its name;
``plots/<name>.tsv`` every value of a metric that was logged with steps, columns step, the metric, timestamp
(seconds since the epoch, UTC); ``dvc.yaml`` beside them tells DVC so.
"""

from __future__ import annotations

import json
import math
import numbers
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import yaml

from sbcflow.errors import MetricError

GROUP_PATTERN = re.compile(r"(?![\s.])[^\\:*?\"<>|]+(?<!\s)")
LONGEST_NAME = 200
METRICS_FILE = "metrics.json"
PLOTS_FOLDER = "plots"


@dataclass
class Series:
    """What is kept in memory of one metric: its last value and step, and how many there were."""

    value: float
    step: int
    count: int = 1
    stepped: bool = False

    @property
    def is_plotted(self) -> bool:
        """Whether the metric has a plot: it was logged with a step, or more than once."""
        return self.stepped or self.count > 1


def check_name(name: str, others: Iterable[str]) -> str:
    """Return ``name`` where it can name a metric beside ``others``.

    Raises:
        MetricError: it cannot be a file's name, or is to be both a metric and a group of metrics.
    """
    words = name.split("/") if isinstance(name, str) and name.isprintable() else [""]
    if not all(map(GROUP_PATTERN.fullmatch, words)):
        raise MetricError(
            f"metric name {name!r}: must be words of printable characters, grouped by '/', without "
            '\\ : * ? " < > |, and none may start with a dot'
        )
    if len(name.encode()) > LONGEST_NAME:
        raise MetricError(
            f"metric name {name[:20]!r}...: at most {LONGEST_NAME} bytes, got {len(name.encode())}"
        )
    for other in others:
        if other.startswith((f"{name}/", f"{name}.tsv/")) or name.startswith((f"{other}/", f"{other}.tsv/")):
            raise MetricError(f"metric name {name!r}: {other!r} is a metric; none can also be a group")
    return name


def check_value(name: str, value: object, *, allow_nan: bool) -> float | int:
    """Return ``value`` as a Python number; arrays of one element (numpy's, jax's, torch's) are numbers too.

    Raises:
        MetricError: it is none, or not finite and ``allow_nan`` is false.
    """
    number = value if type(value) is float else _plain(value)
    if number is None:
        raise MetricError(f"metric {name}: must be a number, got {value!r} ({type(value).__name__})")
    if not allow_nan and not math.isfinite(number):
        raise MetricError(f"metric {name}: must be finite, got {number!r}; allow_nan=True takes it")
    return number


def check_step(step: object) -> int:
    """Return ``step`` as an int.

    Raises:
        MetricError: it is none, or negative.
    """
    number = _plain(step)
    if not isinstance(number, int) or isinstance(step, bool) or number < 0:
        raise MetricError(f"step must be an integer of at least 0, got {step!r}")
    return number


def check_timestamp(timestamp: object) -> float:
    """Return a moment as seconds since the epoch; a datetime needs a time zone.

    Raises:
        MetricError: it is no moment.
    """
    if isinstance(timestamp, datetime):
        if timestamp.tzinfo is None:
            raise MetricError(f"timestamp {timestamp} needs a time zone")
        return timestamp.timestamp()
    number = _plain(timestamp)
    if number is None or not math.isfinite(number):
        raise MetricError(f"timestamp must be a datetime or seconds since the epoch, got {timestamp!r}")
    return float(number)


def nested(values: Mapping[str, float]) -> dict[str, Any]:
    """Return values by name as mappings in mappings, nested at the slashes."""
    root: dict[str, Any] = {}
    for name, value in values.items():
        *groups, last = name.split("/")
        folder = root
        for group in groups:
            folder = folder.setdefault(group, {})
        folder[last] = value
    return root


def flat(values: Mapping[str, Any], group: str = "") -> dict[str, float]:
    """Return the numbers of a metrics file by name: the reverse of ``nested``; all else is left out."""
    found: dict[str, float] = {}
    for key, value in values.items():
        name = f"{group}{key}"
        if isinstance(value, Mapping):
            found |= flat(value, f"{name}/")
        elif isinstance(value, int | float):
            found[name] = value
    return found


def metrics_json(values: Mapping[str, float]) -> bytes:
    """Return the bytes of a metrics file; NaN is written as Python and DVC do."""
    return (json.dumps(nested(values), indent=2, ensure_ascii=False) + "\n").encode()


def plot_path(name: str) -> str:
    """Return where a metric's plot lies, from the folder of the experiment's files."""
    return f"{PLOTS_FOLDER}/{name}.tsv"


def plot_header(name: str) -> bytes:
    """Return the first line of a metric's plot."""
    return f"step\t{name.rpartition('/')[2]}\ttimestamp\n".encode()


@lru_cache(maxsize=64)
def dvc_yaml(metrics_file: str | None, plotted: tuple[str, ...]) -> bytes:
    """Return the dvc.yaml that declares a metrics file (None: declared elsewhere) and plots by metric."""
    declared: dict[str, Any] = {"metrics": [metrics_file]} if metrics_file is not None else {}
    if plotted:
        declared["plots"] = [
            {plot_path(name): {"x": "step", "y": name.rpartition("/")[2], "title": name}} for name in plotted
        ]
    return yaml.safe_dump(declared, sort_keys=False, allow_unicode=True).encode()


def _plain(value: object) -> float | int | None:
    if type(value) is float or type(value) is int:
        return value
    if isinstance(value, bool):
        return int(value)
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "size", getattr(value, "numel", None)) is not None:
        try:
            return _plain(item())
        except (TypeError, ValueError, RuntimeError):
            return None
    if isinstance(value, numbers.Integral):
        return int(value)
    return float(value) if isinstance(value, numbers.Real) else None

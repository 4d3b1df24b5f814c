"""Reading checked fields out of a correction's JSON objects; each refusal names the key."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from sbcflow.errors import ArtifactError


def field(values: Mapping[str, Any], key: str) -> object:
    """Return ``values[key]``.

    Raises:
        ArtifactError: the key is missing.
    """
    if key not in values:
        raise ArtifactError(f"key {key} is missing")
    return values[key]


def number(values: Mapping[str, Any], key: str) -> float:
    """Return a finite number.

    Raises:
        ArtifactError: the key is missing or holds something else.
    """
    return _finite(field(values, key), key)


def whole_number(values: Mapping[str, Any], key: str) -> int:
    """Return a whole number of at least 0.

    Raises:
        ArtifactError: the key is missing or holds something else.
    """
    value = field(values, key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ArtifactError(f"{key} must be a whole number of at least 0, got {value!r}")
    return value


def text(values: Mapping[str, Any], key: str) -> str:
    """Return a string.

    Raises:
        ArtifactError: the key is missing or holds something else.
    """
    value = field(values, key)
    if not isinstance(value, str):
        raise ArtifactError(f"{key} must be a string, got {value!r}")
    return value


def flag(values: Mapping[str, Any], key: str) -> bool:
    """Return true or false.

    Raises:
        ArtifactError: the key is missing or holds something else.
    """
    value = field(values, key)
    if not isinstance(value, bool):
        raise ArtifactError(f"{key} must be true or false, got {value!r}")
    return value


def mapping(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return an object.

    Raises:
        ArtifactError: the key is missing or holds something else.
    """
    value = field(values, key)
    if not isinstance(value, Mapping):
        raise ArtifactError(f"{key} must be an object, got {value!r}")
    return value


def number_list(values: Mapping[str, Any], key: str, *, null: bool = False) -> tuple[float, ...]:
    """Return a list of finite numbers; with ``null``, a JSON null is allowed too and read as NaN.

    Raises:
        ArtifactError: the key is missing or holds something else.
    """
    items = field(values, key)
    if not isinstance(items, list):
        raise ArtifactError(f"{key} must be a list of numbers, got {items!r}")
    return tuple(math.nan if null and item is None else _finite(item, key) for item in items)


def increasing(values: Sequence[float], *, strictly: bool = False) -> bool:
    """Return whether ``values`` never decrease or, ``strictly``, always increase."""
    return all(a < b if strictly else a <= b for a, b in pairwise(values))


def _finite(value: object, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ArtifactError(f"{key} must hold finite numbers, got {value!r}")
    return float(value)

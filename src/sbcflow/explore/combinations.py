"""Which values are combined: words ``KEY=V1,V2``, and the product of the values of all keys."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sbcflow.errors import ParamsError
from sbcflow.experiment.params.overrides import load_yaml, same

EXAMPLE = "model.severity.shift_scale=0.25,0.5"


def parse_sets(words: Iterable[str]) -> dict[str, tuple[Any, ...]]:
    """Read words ``KEY=V1,V2``: the values are the items of a YAML list, so ``[1, 2],[3]`` is two lists.

    Raises:
        ParamsError: a word has no '=' or no key, its values are not YAML, or a key comes twice.
    """
    sets: dict[str, tuple[Any, ...]] = {}
    for word in words:
        key, equals, text = word.partition("=")
        key = key.strip()
        if not (equals and key):
            raise ParamsError(f"{word!r}: values are set as KEY=V1,V2, for example {EXAMPLE}")
        if key in sets:
            raise ParamsError(f"{word!r}: {key} is set twice; give all its values at once")
        sets[key] = _values(word, text)
    return sets


def combinations(sets: Mapping[str, Sequence[Any]]) -> tuple[dict[str, Any], ...]:
    """Return every combination of the values of each key; the last key changes fastest.

    Raises:
        ParamsError: there is no key, or a key has no values, the same twice, or a word in place of a list.
    """
    if not sets:
        raise ParamsError(f"nothing to explore: set the values of a key, for example {EXAMPLE}")
    for key, values in sets.items():
        _check(key, values)
    return tuple(dict(zip(sets, chosen, strict=True)) for chosen in itertools.product(*sets.values()))


def _values(word: str, text: str) -> tuple[Any, ...]:
    try:
        values = load_yaml(f"[{text}]".encode())
    except ValueError as error:
        raise ParamsError(f"{word!r}: the values are {error}") from None
    # "1], [2" is a list and more, which YAML refuses; "1]: 2" and the like are something else.
    if not isinstance(values, list):
        raise ParamsError(f"{word!r}: the values must be a list, as in {EXAMPLE}")
    return tuple(values)


def _check(key: str, values: object) -> None:
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        raise ParamsError(f"{key}: must be a list of values, got {values!r}")
    if not values:
        raise ParamsError(f"{key}: has no values; give one or more, for example {EXAMPLE}")
    for i, value in enumerate(values):
        if any(same(value, other) for other in values[:i]):
            raise ParamsError(f"{key}: the value {value!r} is given twice")

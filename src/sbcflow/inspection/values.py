"""Two trees of JSON values against each other, by dotted name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sbcflow.experiment.params.overrides import flatten
from sbcflow.sweep.key import canonical_json


class Absent(Enum):
    """What stands for a value that is not there: null is one."""

    ABSENT = "(none)"

    def __str__(self) -> str:
        return self.value


ABSENT = Absent.ABSENT


@dataclass(frozen=True)
class Difference:
    """A value that differs; ``ABSENT`` where one side has none."""

    name: str
    before: object
    after: object

    @property
    def relative(self) -> float | None:
        """The difference as a share of the value before, or None where that says nothing."""
        before, after = _number(self.before), _number(self.after)
        return None if not before or after is None else abs(after - before) / abs(before)

    def plain(self, before: str = "before", after: str = "after") -> dict[str, Any]:
        """Return it as JSON values; what is absent has no entry."""
        sides = {before: self.before, after: self.after}
        return {"name": self.name, **{side: value for side, value in sides.items() if value is not ABSENT}}


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """Return what differs between two trees, in value or in type (1 is not 1.0), by dotted name."""
    old, new = flatten(before), flatten(after)
    found = (Difference(name, old.get(name, ABSENT), new.get(name, ABSENT)) for name in {**old, **new})
    return [one for one in found if not _same(one.before, one.after)]


def shown(value: object) -> str:
    """Return a value as it is written in JSON; a text as it is."""
    return str(value) if isinstance(value, str | Absent) else canonical_json(value)


def _same(before: object, after: object) -> bool:
    if isinstance(before, Absent) or isinstance(after, Absent):
        return before is after
    return canonical_json(before) == canonical_json(after)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

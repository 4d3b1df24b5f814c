"""What a check found: fine, worth knowing, or in the way, and then what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum


class State(StrEnum):
    """How a finding is meant: ``NOTE`` slows or limits, ``PROBLEM`` makes runs fail."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One line of the diagnosis; ``remedy`` is what to do next, empty where all is well."""

    subject: str
    state: State
    detail: str
    remedy: str = ""

    def plain(self) -> dict[str, str]:
        """Return the finding as JSON values."""
        return asdict(self) | {"state": self.state.value}


def ok(subject: str, detail: str) -> Finding:
    """Return that all is well."""
    return Finding(subject, State.OK, detail)


def note(subject: str, detail: str, remedy: str = "") -> Finding:
    """Return what is worth knowing."""
    return Finding(subject, State.NOTE, detail, remedy)


def problem(subject: str, detail: str, remedy: str) -> Finding:
    """Return what makes runs fail, and what to do."""
    return Finding(subject, State.PROBLEM, detail, remedy)


def render(findings: Iterable[Finding]) -> str:
    """Return the findings as lines, each remedy under its own."""
    lines = []
    for one in findings:
        lines.append(f"{one.state:<8} {one.subject:<18} {one.detail}")
        if one.remedy:
            lines.append(f"{'':<8} {'':<18} -> {one.remedy}")
    return "\n".join(lines) + "\n"

"""What a check finds, and how it reads tables and values that may hold anything."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sbcflow.errors import ArtifactError
from sbcflow.manifest import Manifest

Row = dict[str, str]


@dataclass(frozen=True)
class Report:
    """What ``validate`` found: problems, what was checked, and notes on what could not be."""

    problems: tuple[str, ...]
    checked: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.problems


@dataclass
class Findings:
    """The lines of a report while they are gathered."""

    problems: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @contextmanager
    def catching(self) -> Iterator[None]:
        """Turn an ``ArtifactError``, which names its file, into a problem."""
        try:
            yield
        except ArtifactError as error:
            self.problems.append(str(error))

    def report(self) -> Report:
        return Report(tuple(self.problems), tuple(self.checked), tuple(self.notes))


@dataclass(frozen=True)
class Run:
    """A run folder with a valid manifest, and where the findings on it go."""

    root: Path
    manifest: Manifest
    findings: Findings

    def expect(self, holds: bool, name: str, problem: str) -> bool:
        """Note ``problem`` of the file ``name`` unless it ``holds``."""
        if not holds:
            self.findings.problems.append(f"{self.root / name}: {problem}")
        return holds

    def expect_equal(self, found: object, expected: object, name: str, what: str) -> bool:
        """Note that ``what`` of the file ``name`` is ``found`` unless it equals ``expected``."""
        return self.expect(found == expected, name, f"{what} is {found!r}; must be {expected!r}")

    def checked(self, what: str) -> None:
        """Note that ``what`` was checked, whether or not it held."""
        self.findings.checked.append(what)

    def capability(self, name: str) -> dict[str, Any]:
        """Return what one capability says of the run, empty where it says nothing."""
        content: dict[str, Any] = self.manifest["pytyche"].get(name, {})
        return content


def table(run: Run, name: str, delimiter: str = ",") -> list[Row]:
    """Return the rows of a table, none (and a problem) where they are not all of the header's length."""
    try:
        with (run.root / name).open(encoding="utf-8", newline="") as stream:
            header, *lines = list(csv.reader(stream, delimiter=delimiter, strict=True)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        run.expect(False, name, f"cannot be read as a table: {error}")
        return []
    whole = all(len(line) == len(header) for line in lines)
    if not run.expect(whole, name, f"truncated or altered: every row must have {len(header)} fields"):
        return []
    return [dict(zip(header, line, strict=True)) for line in lines]


def mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def number(value: object) -> float:
    """Return a number or the number that a text spells, NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return math.nan
    try:
        return float(value)
    except ValueError:
        return math.nan


def same(text: str, value: object) -> bool:
    if value is None:
        return text == ""
    return text == value if isinstance(value, str) else number(text) == number(value)

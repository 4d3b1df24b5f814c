"""What a report says, as values, apart from how a page shows it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

Kind = Literal["text", "code", "count", "number", "signed", "percent", "flag"]
Cell = str | int | float | bool | None
MISSING = "–"
MOST_ROWS = 500


@dataclass(frozen=True)
class Column:
    """A column of a table: its name in the CSV, its heading, and how its values are written for people."""

    key: str
    label: str
    kind: Kind = "number"

    @property
    def is_numeric(self) -> bool:
        """Whether it sorts as numbers."""
        return self.kind in ("count", "number", "signed", "percent")

    def shown(self, cell: Cell) -> str:
        """Return a value rounded for people."""
        return MISSING if is_missing(cell) else _SHOWN[self.kind](cell)


@dataclass(frozen=True)
class Table:
    """A table: its name (also that of the CSV), caption, columns and rows."""

    id: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    @classmethod
    def of(cls, name: str, caption: str, columns: tuple[Column, ...], frame: pd.DataFrame) -> Table:
        """Return the table of a frame, whose columns are those of the keys; at most ``MOST_ROWS`` rows."""
        found = frame[[column.key for column in columns]].head(MOST_ROWS)
        rows = tuple(tuple(_plain(cell) for cell in row) for row in found.itertuples(index=False))
        left = len(frame) - len(rows)
        return cls(
            name, caption, columns, rows, f"The first {MOST_ROWS} of {len(frame)} rows." if left else ""
        )


@dataclass(frozen=True)
class Picture:
    """A figure: its name, title, what it shows in words (``alt``), how to read it, and what draws it anew."""

    id: str
    title: str
    alt: str
    caption: str
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class Step:
    """A step of a lineage: a title, and what is known of it by name."""

    title: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Tile:
    """A figure to see at a glance: what it is, its value, and one line about it."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Section:
    """A part of a report: what it found in a sentence, then what shows it."""

    id: str
    title: str
    sentence: str
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()
    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """A whole report: of which run, its verdict (a sentence and the reason), and its sections.

    ``tone`` colours the verdict: good, plain or bad; its words say the same. ``meaning`` is what
    follows from the verdict, ``limits`` what it does not promise, ``warnings`` what to know first.
    """

    kind: str
    run: str
    tone: Literal["good", "plain", "bad"]
    verdict: str
    reason: str
    meaning: tuple[str, ...]
    limits: tuple[str, ...]
    tiles: tuple[Tile, ...]
    sections: tuple[Section, ...]
    warnings: tuple[str, ...] = ()
    footer: str = ""

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """All pictures, in their order."""
        return tuple(picture for section in self.sections for picture in section.pictures)


def is_missing(cell: Cell) -> bool:
    """Return whether a cell is empty: nothing, NaN or no text."""
    return cell is None or cell == "" or (isinstance(cell, float) and math.isnan(cell))


def number(value: float) -> str:
    """Return a number at three digits, never in powers of ten, with commas and a true minus."""
    if not math.isfinite(value):
        return MISSING
    text = (
        f"{value:,.0f}"
        if abs(value) >= 1000
        else np.format_float_positional(value, 3, fractional=False, trim="-")
    )
    return text.replace("-", "−")


def signed(value: float) -> str:
    """Return a number at three digits, zeros at its end kept, with its sign."""
    if not math.isfinite(value) or value == 0:
        return number(value)
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:+,.{decimals}f}".replace("-", "−")


def percent(value: float) -> str:
    """Return a share in percent, to a tenth."""
    return f"{100 * value:.1f}%" if math.isfinite(value) else MISSING


def _plain(cell: Any) -> Cell:  # noqa: ANN401
    value = cell.item() if isinstance(cell, np.generic) else cell
    return None if is_missing(value) else value


_SHOWN: Mapping[Kind, Callable[[Any], str]] = MappingProxyType(
    {
        "text": str,
        "code": str,
        "count": lambda value: f"{value:,.0f}",
        "number": number,
        "signed": signed,
        "percent": lambda value: f"{100 * value:.2f}".rstrip("0").rstrip(".") + "%",
        "flag": lambda value: "yes" if value else "no",
    }
)

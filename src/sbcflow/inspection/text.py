"""Words and tables that are the same wherever a sweep is shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

INDENT = "  "


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table, columns aligned, under its heading."""
    cells = [tuple(map(printable, row)) for row in (heading, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        INDENT.join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in cells
    ]


def printable(text: str) -> str:
    """Return ``text`` on one line, without what would control a terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))


def duration(seconds: float) -> str:
    """Return seconds as hours, minutes and seconds: 0:03:30."""
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def spans(indices: Iterable[int]) -> str:
    """Return indices as spans, spelled as in the names of folders: 0000-0003, 0005."""
    found: list[list[int]] = []
    for index in sorted(indices):
        if found and index == found[-1][1] + 1:
            found[-1][1] = index
        else:
            found.append([index, index])
    return ", ".join(f"{a:04d}" if a == b else f"{a:04d}-{b:04d}" for a, b in found)


def count(number: int, what: str) -> str:
    """Return ``1 config`` or ``3 configs``."""
    return f"{number} {what}{'' if number == 1 else 's'}"

"""Labels of rows: names from data, made to fit beside a picture, no two of them alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

MOST_LETTERS = 26


def row_labels(names: Sequence[str]) -> list[str]:
    """Return a label for each name: a long one in two lines, parted after its colon, each cut in its middle.

    Different names have different labels: those that a cut made alike are numbered.
    """
    cut = {name: _fitted(name) for name in names}
    times, seen = Counter(cut.values()), Counter[str]()
    labels = {}
    for name, label in cut.items():
        seen[label] += 1
        labels[name] = label if times[label] == 1 else f"{label} ({seen[label]})"
    return [labels[name] for name in names]


def _fitted(name: str) -> str:
    if len(name) <= MOST_LETTERS:
        return name
    head, colon, tail = name.partition(": ")
    return "\n".join(map(_shortened, (f"{head}:", tail) if colon else (head,)))


def _shortened(line: str) -> str:
    """A line without its middle where it is too long, so that both its ends can be read."""
    if len(line) <= MOST_LETTERS:
        return line
    end = (MOST_LETTERS - 1) // 2
    return f"{line[: MOST_LETTERS - 1 - end]}…{line[-end:]}"

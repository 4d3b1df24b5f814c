"""How far long work is: a bar with the time left on a terminal, now and then a plain line anywhere else.

Work that is over at once says nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")

PATIENCE_SECONDS = 1.0
LINE_SECONDS = 10.0


class _Display(Protocol):
    def show(self, done: int, seconds: float) -> None: ...

    def close(self, done: int, seconds: float) -> None: ...


def track(items: Iterable[T], label: str, total: int) -> Iterator[T]:
    """Yield ``items``, ``total`` of them, and show on stderr how many are behind, and the time left.

    An item counts as done when the next one is asked for.
    """
    display: _Display = _Bar(label, total) if sys.stderr.isatty() else _Lines(label, total)
    started, done = time.monotonic(), 0
    try:
        for item in items:
            yield item
            done += 1
            display.show(done, time.monotonic() - started)
    finally:
        display.close(done, time.monotonic() - started)


class _Bar:
    """A bar that goes away when the work is done."""

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total = label, total
        self.progress: Progress | None = None

    def show(self, done: int, seconds: float) -> None:
        if self.progress is None and seconds >= PATIENCE_SECONDS:
            self.progress = _new_bar()
            self.task = self.progress.add_task(self.label, total=self.total)
            self.progress.start()
        if self.progress is not None:
            self.progress.update(self.task, completed=done)

    def close(self, done: int, seconds: float) -> None:  # noqa: ARG002
        if self.progress is not None:
            self.progress.stop()


def _new_bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


class _Lines:
    """A line every ``LINE_SECONDS``, and one at the end of what took longer."""

    def __init__(self, label: str, total: int) -> None:
        self.label, self.total = label, total
        self.shown = 0.0

    def show(self, done: int, seconds: float) -> None:
        if seconds - self.shown >= LINE_SECONDS and done < self.total:
            self.shown = seconds
            left = timedelta(seconds=round(seconds / done * (self.total - done)))
            _write(f"{self.label}: {done} of {self.total}, about {left} left")

    def close(self, done: int, seconds: float) -> None:
        if self.shown:
            _write(f"{self.label}: {done} of {self.total} in {seconds:.0f} s")


def _write(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()

"""Progress of long work: lines where nobody watches, a bar on a terminal, nothing of what is over at once."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import pytest

from sbcflow import terminal


class Terminal(io.StringIO):
    """A stream that takes itself for a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which moves when a test moves it."""
    now = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    return now


def _slow(clock: list[float], n: int, seconds: float) -> Iterator[int]:
    for i in range(n):
        clock[0] += seconds
        yield i


def test_lines_tell_what_is_done_and_left(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    assert list(terminal.track(_slow(clock, 5, 6.0), "gathering", 5)) == list(range(5))
    # An item is done when the next has come: at 12 s the first is, at 24 s three are.
    assert capsys.readouterr().err.splitlines() == [
        "gathering: 2 of 5, about 0:00:18 left",
        "gathering: 4 of 5, about 0:00:06 left",
        "gathering: 5 of 5 in 30 s",
    ]


def test_what_is_quick_says_nothing(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    assert list(terminal.track(_slow(clock, 5, 0.1), "gathering", 5)) == list(range(5))
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    list(terminal.track(_slow(clock, 4, 2.0), "gathering", 4))
    assert "gathering" in screen.getvalue()
    assert "4/4" in screen.getvalue()


def test_an_error_in_the_work_is_passed_on_and_the_bar_ends(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    items = terminal.track(_slow(clock, 4, 2.0), "gathering", 4)
    next(items), next(items)
    with pytest.raises(ValueError, match="broken"):
        items.throw(ValueError("broken"))

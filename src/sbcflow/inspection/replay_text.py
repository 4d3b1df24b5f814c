"""A replay as text."""

from __future__ import annotations

from collections.abc import Iterator

from sbcflow.inspection.replay import ArrayDifference, Replay
from sbcflow.inspection.text import count, table
from sbcflow.inspection.values import shown


def render_replay(replay: Replay) -> str:
    """Return the lines on a replay: the fields that differ, or that none does."""
    return "\n".join([*_lines(replay), *(f"note: {note}" for note in replay.notes)]) + "\n"


def _lines(replay: Replay) -> Iterator[str]:
    recorded, replayed = replay.seconds
    head = f"{replay.run_id} {replay.config_id} ({replayed:.1f} s, recorded: {recorded:.1f} s):"
    fields = count(replay.n_fields, "field")
    if replay.is_same:
        yield f"{head} all {fields} are the same{', draws too' if replay.has_draws else ''}"
        return
    yield f"{head} {len(replay.differing)} of {fields} differ"
    if replay.differing:
        rows = [
            (one.name, shown(one.before), shown(one.after), _relative(one.relative))
            for one in replay.differing
        ]
        yield from table(("field", "recorded", "replayed", "relative difference"), rows)
    yield from map(_array, replay.draws)
    if replay.has_draws and not replay.draws:
        yield "draws: the same"


def _relative(difference: float | None) -> str:
    return "-" if difference is None else f"{difference:.2g}"


def _array(one: ArrayDifference) -> str:
    recorded, replayed = one.forms
    if recorded != replayed:
        return f"{one.name} differs: recorded as {recorded}, replayed as {replayed}"
    largest = "what is no number" if one.largest is None else f"at most {one.largest:.3g}"
    return f"{one.name} differs, by {largest}"

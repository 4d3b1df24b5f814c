"""Why configs would run, as text: those with the same reasons together."""

from __future__ import annotations

from collections.abc import Sequence

from sbcflow.inspection.explain import OWN, Explained, Explanation, Reason
from sbcflow.inspection.text import INDENT, count, printable, spans
from sbcflow.inspection.values import ABSENT, Difference, shown

SOURCE, LIBRARIES = "source.", "libraries."
SEED, KNOBS = "seed", "knobs."
Group = tuple[Reason, tuple[object, ...]]


def render_explained(explained: Explained) -> str:
    """Return the lines on one sweep."""
    head = f"{explained.run_id} ({explained.section}): "
    if not explained.would_run:
        return f"{head}nothing would run: all of {count(explained.n_configs, 'config')} are fitted\n"
    lines = [f"{head}{len(explained.would_run)} of {count(explained.n_configs, 'config')} would run"]
    groups: dict[Group, list[Explanation]] = {}
    for one in explained.would_run:
        groups.setdefault(_group(one), []).append(one)
    for members in groups.values():
        lines += _lines(members)
    return "\n".join(lines) + "\n"


def _lines(members: Sequence[Explanation]) -> list[str]:
    head = f"{count(len(members), 'config')} ({spans(one.index for one in members)}):"
    reasons = [printable(reason) for reason in _reasons(members)]
    if len(reasons) == 1:
        return [f"{head} {reasons[0]}"]
    return [head, *(INDENT + reason for reason in reasons)]


def _group(one: Explanation) -> Group:
    """What configs share that are shown together: which of their own values changed, and how the rest did."""
    return one.reason, tuple(
        change.name if _is_own(change) else (change.name, shown(change.before), shown(change.after))
        for change in _told(one)
    )


def _told(one: Explanation) -> list[Difference]:
    """What is told of one: of another seed, not all that it draws."""
    reseeded = any(change.name == SEED for change in one.changes)
    return [change for change in one.changes if not (reseeded and change.name.startswith(KNOBS))]


def _reasons(members: Sequence[Explanation]) -> list[str]:
    first = members[0]
    if first.reason is not Reason.CHANGED:
        return [first.reason]
    alike = list(zip(*map(_told, members), strict=True))
    plain = [column for column in alike if not column[0].name.startswith((SOURCE, LIBRARIES))]
    return [
        *map(_value, plain),
        *_parts("source", [column[0] for column in alike if column[0].name.startswith(SOURCE)]),
        *_parts("libraries", [column[0] for column in alike if column[0].name.startswith(LIBRARIES)]),
    ]


def _value(column: Sequence[Difference]) -> str:
    """How a setting changed, in one config or in each of several."""
    steps = {f"{shown(change.before)} -> {shown(change.after)}" for change in column}
    name = column[0].name
    step = steps.pop() if len(steps) == 1 else "another in each"
    return f"{name}: {step}{', and what it draws' if name == SEED else ''}"


def _parts(what: str, changes: Sequence[Difference]) -> list[str]:
    """How modules or libraries changed; a digest says nothing to anybody."""
    told = [_part(change.name.removeprefix(f"{what}."), what, change) for change in changes]
    return [f"{what}: {', '.join(told)}"] if told else []


def _part(name: str, what: str, change: Difference) -> str:
    if change.before is ABSENT:
        return f"{name} added"
    if change.after is ABSENT:
        return f"{name} removed"
    return (
        f"{name} changed" if what == "source" else f"{name} {shown(change.before)} -> {shown(change.after)}"
    )


def _is_own(change: Difference) -> bool:
    return change.name.partition(".")[0] in OWN

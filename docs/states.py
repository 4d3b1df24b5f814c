"""Draw the life of an experiment from its table of transitions: python docs/states.py writes the picture.

One box a state, in the table's order. A call that leads to the next state is an arrow between boxes, one that
leads further runs above, one that leads back runs below, one that stays is a loop on top of its box.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from sbcflow.experiment.states import TRANSITIONS

PICTURE = Path(__file__).with_name("experiment-states.svg")

WIDTH, HEIGHT, GAP, MARGIN = 140, 44, 86, 12
LINE = 16  # from one label to the next
LOOP, LOOP_SIDE = 24, 16  # how far a loop stands out of its box, and half its width
ROUND = 8  # the radius of corners
SIDE = WIDTH // 2 - 8  # from a box's middle to where long arrows leave and arrive
LANE = 40  # from one long arrow to the next, further out
STYLE = (
    "text{font-family:monospace;font-size:12px;text-anchor:middle;fill:#222}.state{font-family:sans-serif;font-size:15px;font-weight:bold}"
    "rect{fill:#eef3fa;stroke:#35618f}path{fill:none;stroke:#555}.head{fill:#555;stroke:none}"
    ".ground{fill:#fff;stroke:none}"
)


def draw() -> str:
    """Return the diagram as SVG."""
    place = {state: number for number, state in enumerate(TRANSITIONS)}
    calls: dict[tuple[int, int], list[str]] = defaultdict(list)
    for state, leads in TRANSITIONS.items():
        for call, target in leads.items():
            calls[place[state], place[target]].append(str(call))
    top = MARGIN + LOOP + LINE * max(len(names) for (a, b), names in calls.items() if a == b)
    lanes = max(a - b for a, b in calls)
    width = 2 * MARGIN + len(place) * (WIDTH + GAP) - GAP
    height = top + HEIGHT + LANE * lanes + MARGIN
    parts = [f'<rect class="ground" width="{width}" height="{height}"/>']
    for edge, names in calls.items():
        parts += _edge(*edge, names, top)
    for state, number in place.items():
        x = _middle(number)
        box = f'x="{x - WIDTH // 2}" y="{top}" width="{WIDTH}" height="{HEIGHT}" rx="{ROUND}"'
        parts.append(f'<rect {box}/><text class="state" x="{x}" y="{top + HEIGHT // 2 + 5}">{state}</text>')
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">\n'
        f"<title>The states of an experiment</title>\n<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def _edge(start: int, end: int, names: list[str], top: int) -> Iterator[str]:
    """Yield the arrow from one box to another, or to itself, and its labels."""
    a, b, bottom = _middle(start), _middle(end), top + HEIGHT
    span = abs(end - start)
    if start == end:
        yield _arrow(a - LOOP_SIDE, a + LOOP_SIDE, top, top - LOOP)
        yield from _labels(names, a, top - LOOP)
    elif end == start + 1:
        y, tip = top + HEIGHT // 2, b - WIDTH // 2
        yield f'<path d="M{a + WIDTH // 2} {y}H{tip}"/>{_head(tip, y, 270)}'
        yield from _labels(names, (a + b) // 2, y)
    elif end > start:
        far = top - LANE * (span - 1) - ROUND
        yield _arrow(a + SIDE, b - SIDE, top, far)
        yield from _labels(names, (a + b) // 2, far)
    else:
        far, tip = bottom + LANE * span, b + SIDE - LANE * (span - 1)
        yield _arrow(a, tip, bottom, far)
        yield from _labels(names, (a + tip) // 2, far)


def _arrow(a: int, b: int, near: int, far: int) -> str:
    """Return an arrow from x ``a`` to ``b``, both at height ``near``, that runs at height ``far``."""
    out = ROUND if far < near else -ROUND
    on = ROUND if b > a else -ROUND
    corners = f"Q{a} {far} {a + on} {far}H{b - on}Q{b} {far} {b} {far + out}"
    return f'<path d="M{a} {near}V{far + out}{corners}V{near}"/>{_head(b, near, 0 if far < near else 180)}'


def _head(x: int, y: int, degrees: int) -> str:
    """Return an arrow's head with its tip at a point; turned by 0 degrees it points down."""
    return f'<path class="head" d="M0 0l-5 -9h10z" transform="translate({x} {y})rotate({degrees})"/>'


def _labels(names: list[str], x: int, y: int) -> Iterator[str]:
    """Yield names above a line at height ``y``, the first on top."""
    for number, name in enumerate(reversed(names)):
        yield f'<text x="{x}" y="{y - 5 - LINE * number}">{name}</text>'


def _middle(number: int) -> int:
    return MARGIN + WIDTH // 2 + number * (WIDTH + GAP)


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")

"""The picture and the table of the states in the documentation, against the table of transitions."""

from __future__ import annotations

import importlib.util
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from types import ModuleType

import pytest

from sbcflow.experiment.states import TRANSITIONS, Call, State

DOCS = Path(__file__).parents[2] / "docs"
SVG = "{http://www.w3.org/2000/svg}"
# Of a monospaced font, by its size; what no call leads to is a dash in the table.
ADVANCE, REFUSED = 0.61, "-"


@pytest.fixture(scope="module")
def states() -> ModuleType:
    spec = importlib.util.spec_from_file_location("states", DOCS / "states.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def texts(svg: str) -> Iterator[tuple[str, int, int]]:
    for element in ET.fromstring(svg).iter(f"{SVG}text"):
        yield element.text or "", int(element.attrib["x"]), int(element.attrib["y"])


def test_the_picture_is_what_the_table_draws(states: ModuleType) -> None:
    assert (DOCS / "experiment-states.svg").read_text() == states.draw(), "run: python docs/states.py"


def test_the_picture_shows_each_state_and_each_call_where_it_is_allowed(states: ModuleType) -> None:
    drawn = sorted(text for text, _, _ in texts(states.draw()))
    calls = [str(call) for leads in TRANSITIONS.values() for call in leads]
    assert drawn == sorted([*calls, *map(str, State)])
    edges = {(state, target) for state, leads in TRANSITIONS.items() for target in leads.values()}
    assert states.draw().count('class="head" d=') == len(edges)


def test_no_two_words_of_the_picture_overlap(states: ModuleType) -> None:
    boxes = [(len(text) * 12 * ADVANCE / 2, x, y) for text, x, y in texts(states.draw())]
    for (a, x, y), (b, other_x, other_y) in combinations(boxes, 2):
        assert abs(x - other_x) >= a + b or abs(y - other_y) >= 12
    size = ET.fromstring(states.draw()).attrib["viewBox"].split()
    assert all(a <= x and x + a <= int(size[2]) and 12 <= y <= int(size[3]) for a, x, y in boxes)


def test_a_change_of_the_table_changes_the_picture(
    states: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = states.draw()
    changed = {**TRANSITIONS, State.PERSISTED: {**TRANSITIONS[State.PERSISTED], Call.FAIL: State.PERSISTED}}
    monkeypatch.setattr(states, "TRANSITIONS", changed)
    assert states.draw() != before


def test_the_table_of_the_page_is_the_table_of_transitions() -> None:
    page = (DOCS / "experiments.md").read_text()
    table = re.search(r"^\| call \|.*\n\|[-|]+\n((?:\|.*\n)+)", page, flags=re.MULTILINE)
    assert table is not None
    header, body = table[0].splitlines()[0], table[1].splitlines()
    columns = [cell.strip() for cell in header.strip("|").split("|")][1:]
    assert columns == list(map(str, TRANSITIONS))
    rows = {}
    for line in body:
        calls, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        for call in re.findall(r"`(\w+)`", calls):
            assert call not in rows
            rows[call] = cells
    expected = {
        str(call): [str(TRANSITIONS[state].get(call, REFUSED)) for state in TRANSITIONS] for call in Call
    }
    assert rows == expected

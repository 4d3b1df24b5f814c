"""Words KEY=V1,V2 become values, and values become combinations."""

from __future__ import annotations

from typing import Any

import pytest

from sbcflow.errors import ParamsError
from sbcflow.explore.combinations import combinations, parse_sets


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1", (1,)),
        ("0.5,1,2", (0.5, 1, 2)),
        ("1e-3,.5", (0.001, 0.5)),
        ("laplace, nuts", ("laplace", "nuts")),
        ('"a,b",c', ("a,b", "c")),
        ("[1,2],[3]", ([1, 2], [3])),
        ("true,false,null", (True, False, None)),
        ("-14,-3.0", (-14, -3.0)),
    ],
)
def test_values_are_the_items_of_a_yaml_list(text: str, values: tuple[Any, ...]) -> None:
    found = parse_sets([f"a.b={text}"])["a.b"]
    assert found == values
    assert [type(value) for value in found] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.b"], "KEY=V1,V2"),
        (["=1"], "KEY=V1,V2"),
        (["a=1,,2"], "not valid YAML"),
        (["a=[1,2"], "not valid YAML"),
        (["a=1],[2"], "not valid YAML"),
        (["a=1", "b=2", "a=3"], "a is set twice"),
    ],
)
def test_other_words_are_refused(words: list[str], said: str) -> None:
    with pytest.raises(ParamsError) as refused:
        parse_sets(words)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_combinations_come_in_the_order_given() -> None:
    assert combinations({"b": [2, 1], "a": ("x", "y")}) == (
        {"b": 2, "a": "x"},
        {"b": 2, "a": "y"},
        {"b": 1, "a": "x"},
        {"b": 1, "a": "y"},
    )


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ({}, "nothing to explore"),
        ({"a": []}, "a: has no values"),
        ({"a": [1, 2, 1]}, "a: the value 1 is given twice"),
        ({"a": [[1], [1]]}, "a: the value [1] is given twice"),
        ({"a": "12"}, "a: must be a list of values, got '12'"),
        ({"a": 1}, "a: must be a list of values, got 1"),
    ],
)
def test_other_sets_are_refused(sets: dict[str, Any], said: str) -> None:
    with pytest.raises(ParamsError) as refused:
        combinations(sets)
    assert said in str(refused.value)

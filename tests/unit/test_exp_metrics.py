"""Metrics: names and values, and the files DVC reads; what is refused is in repo/test_exp_bad_input.py."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

import numpy as np
import pytest
import yaml

from sbcflow.errors import MetricError
from sbcflow.experiment.metrics import (
    check_name,
    check_step,
    check_timestamp,
    check_value,
    dvc_yaml,
    flat,
    metrics_json,
    nested,
)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1),
        (0.5, 0.5),
        (True, 1),
        (10**30, 10**30),
        (Fraction(1, 2), 0.5),
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), 1),
        (np.asarray([[2.5]]), 2.5),
    ],
)
def test_numbers_of_any_kind(value: object, number: float) -> None:
    checked = check_value("m", value, allow_nan=False)
    assert checked == number
    assert type(checked) is type(number)


def test_steps_and_timestamps() -> None:
    assert check_step(np.int64(3)) == 3
    moment = datetime(2026, 5, 27, 12, tzinfo=UTC)
    assert check_timestamp(moment) == check_timestamp(moment.astimezone(timezone(timedelta(hours=9))))
    assert check_timestamp(12) == 12.0
    with pytest.raises(MetricError, match="needs a time zone"):
        check_timestamp(datetime(2026, 5, 27))
    with pytest.raises(MetricError, match="step must be an integer"):
        check_step(True)


@pytest.mark.parametrize("name", ["loss", "train/loss", "a b", "f1@10", "größe", "a.b", "x" * 200])
def test_ordinary_names(name: str) -> None:
    assert check_name(name, ["other"]) == name


@pytest.mark.parametrize(("name", "other"), [("a", "a/b"), ("a/b", "a"), ("a.tsv/b", "a"), ("a", "a.tsv/b")])
def test_a_metric_is_no_group(name: str, other: str) -> None:
    with pytest.raises(MetricError, match="none can also be a group"):
        check_name(name, [other])


def test_metrics_are_nested_at_slashes() -> None:
    values = {"a": 1, "b/c": 2.5, "b/d/e": 3}
    assert nested(values) == {"a": 1, "b": {"c": 2.5, "d": {"e": 3}}}
    assert flat(nested(values)) == values
    assert json.loads(metrics_json(values)) == nested(values)
    assert flat({"a": "text", "b": {"c": None, "d": 1}}) == {"b/d": 1}


def test_dvc_yaml_declares_what_is_there() -> None:
    assert yaml.safe_load(dvc_yaml("metrics.json", ("train/loss",))) == {
        "metrics": ["metrics.json"],
        "plots": [{"plots/train/loss.tsv": {"x": "step", "y": "loss", "title": "train/loss"}}],
    }
    assert yaml.safe_load(dvc_yaml("metrics.json", ())) == {"metrics": ["metrics.json"]}

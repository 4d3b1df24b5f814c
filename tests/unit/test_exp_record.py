"""The record in a commit's message: written, read, and not mistaken for another's."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from sbcflow.experiment.record import LONGEST_PARAMS, Record, read_record, write_record
from sbcflow.experiment.states import State

RECORD = Record(
    message="Experiment one\n\nWith a body: and a colon.",
    state=State.PERSISTED,
    created="2026-05-27T12:34:56+00:00",
    checkpoint=3,
    folder="experiment",
    metrics="metrics.json",
    params={"params.yaml": {"lr": 0.5, "layers": [1, 2], "none": None, "text": "a: b\nc"}},
    failed=None,
)


@pytest.mark.parametrize(
    "record",
    [
        RECORD,
        replace(RECORD, state=State.ACTIVE, failed="it broke"),
        replace(RECORD, metrics=None, params=None),
        replace(RECORD, params={}),
        replace(RECORD, message="Größe"),
    ],
)
def test_a_record_comes_back(record: Record) -> None:
    assert read_record(write_record(record)) == record


def test_a_reason_is_one_line() -> None:
    record = read_record(write_record(replace(RECORD, failed="line one\nExperiment-State: Active")))
    assert record is not None
    assert (record.state, record.failed) == (State.PERSISTED, "line one Experiment-State: Active")


def test_large_params_are_left_to_the_files() -> None:
    large = {"params.yaml": {"long": "x" * LONGEST_PARAMS}}
    record = read_record(write_record(replace(RECORD, params=large)))
    assert record is not None and record.params is None


def test_dates_are_written_as_yaml_does() -> None:
    record = read_record(write_record(replace(RECORD, params={"params.yaml": {"start": date(2026, 5, 27)}})))
    assert record is not None and record.params == {"params.yaml": {"start": "2026-05-27"}}


@pytest.mark.parametrize(
    "message",
    [
        "dvc: commit experiment 12ab",
        "",
        "Fix\n\nSigned-off-by: Ada",
        write_record(RECORD).replace("Persisted", "Running"),
        write_record(RECORD).replace("Experiment-Created: ", "Created: "),
    ],
)
def test_another_message_is_no_record(message: str) -> None:
    assert read_record(message) is None


def test_git_reads_the_trailers() -> None:
    last = write_record(RECORD).split("\n\n")[-1].splitlines()
    assert last[0] == "Experiment-State: Persisted"
    assert all(": " in line for line in last)

"""What the commit of an experiment says of itself: a subject, and trailers as Git knows them.

A reader of many experiments takes from here what would otherwise have to be parsed from files. The params
trailer holds what differs from the baseline's params files; a commit that has none (they were edited in a
way that a list of values cannot tell, or somebody else made the commit) is read from its files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sbcflow.experiment.states import State

STATE = "Experiment-State"
CREATED = "Experiment-Created"
CHECKPOINT = "Experiment-Checkpoint"
FOLDER = "Experiment-Folder"
METRICS = "Experiment-Metrics"
PARAMS = "Experiment-Params"
FAILED = "Experiment-Failed"
# Lines of a message are read by people too; longer changes are read from the files.
LONGEST_PARAMS = 10_000


@dataclass(frozen=True)
class Record:
    """The facts of an experiment's commit.

    Attributes:
        message: the subject, and a body if there is one.
        state: Active for a checkpoint, Persisted for a saved one.
        created: when the experiment began, ISO 8601 in UTC.
        checkpoint: how many checkpoints lead up to this commit, itself included.
        folder: where its plots are, from DVC's root.
        metrics: the metrics file, a path from the root of Git's tree; None where nothing was logged.
        params: by params file (such a path too), the dotted keys whose values differ from the baseline's.
        failed: why it failed, in one line; None where it did not.
    """

    message: str
    state: State
    created: str
    checkpoint: int
    folder: str
    metrics: str | None
    params: Mapping[str, Mapping[str, Any]] | None
    failed: str | None = None


def write_record(record: Record) -> str:
    """Return the commit message that holds a record."""
    trailers = {
        STATE: str(record.state),
        CREATED: record.created,
        CHECKPOINT: str(record.checkpoint),
        FOLDER: record.folder,
    }
    if record.metrics is not None:
        trailers[METRICS] = record.metrics
    if record.params is not None and len(params := _one_line(record.params)) <= LONGEST_PARAMS:
        trailers[PARAMS] = params
    if record.failed is not None:
        trailers[FAILED] = " ".join(record.failed.split())
    lines = "".join(f"{key}: {value}\n" for key, value in trailers.items())
    return f"{record.message.strip()}\n\n{lines}"


def read_record(message: str) -> Record | None:
    """Return the record that a commit message holds, or None where it is not one of ours."""
    text, _, last = message.rstrip().rpartition("\n\n")
    trailers = dict(_split(line) for line in last.splitlines())
    try:
        return Record(
            message=text,
            state=State(trailers[STATE]),
            created=trailers[CREATED],
            checkpoint=int(trailers[CHECKPOINT]),
            folder=trailers[FOLDER],
            metrics=trailers.get(METRICS),
            params=json.loads(trailers[PARAMS]) if PARAMS in trailers else None,
            failed=trailers.get(FAILED),
        )
    except (KeyError, ValueError):
        return None


def _split(line: str) -> tuple[str, str]:
    key, _, value = line.partition(": ")
    return key, value


def _one_line(params: Mapping[str, Mapping[str, Any]]) -> str:
    # Dates, the one thing of YAML that JSON lacks, are written as YAML writes them.
    return json.dumps(params, ensure_ascii=False, default=str)

"""The life of an experiment: its states, its calls, and the one table of what leads where.

Source: the lifecycle of DESIGN, "Experiments". The diagram in the documentation is drawn from the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from sbcflow.errors import InvalidTransition


class State(StrEnum):
    """Where an experiment is in its life."""

    UNINITIALIZED = "Uninitialized"
    ACTIVE = "Active"
    COMPLETED = "Completed"
    PERSISTED = "Persisted"


class Call(StrEnum):
    """What can be asked of an experiment; the values are the names of its methods."""

    INIT = "init"
    RESUME = "resume"
    SET_PARAMS = "set_params"
    LOG_METRIC = "log_metric"
    LOG_METRICS = "log_metrics"
    LOG_ARTIFACT = "log_artifact"
    LOG_CODE = "log_code"
    MAKE_CHECKPOINT = "make_checkpoint"
    FAIL = "fail"
    COMPLETE = "complete"
    SAVE = "save"
    DISCARD = "discard"


# Resuming one that was completed, or saved, leads on from Active by the calls that its journal holds.
TRANSITIONS: Mapping[State, Mapping[Call, State]] = MappingProxyType(
    {
        State.UNINITIALIZED: MappingProxyType(
            {
                Call.INIT: State.ACTIVE,
                Call.RESUME: State.ACTIVE,
            }
        ),
        State.ACTIVE: MappingProxyType(
            {
                Call.SET_PARAMS: State.ACTIVE,
                Call.LOG_METRIC: State.ACTIVE,
                Call.LOG_METRICS: State.ACTIVE,
                Call.LOG_ARTIFACT: State.ACTIVE,
                Call.LOG_CODE: State.ACTIVE,
                Call.MAKE_CHECKPOINT: State.ACTIVE,
                Call.FAIL: State.ACTIVE,
                Call.COMPLETE: State.COMPLETED,
                Call.SAVE: State.PERSISTED,
                Call.DISCARD: State.UNINITIALIZED,
            }
        ),
        State.COMPLETED: MappingProxyType(
            {
                Call.SAVE: State.PERSISTED,
                Call.DISCARD: State.UNINITIALIZED,
            }
        ),
        State.PERSISTED: MappingProxyType(
            {
                Call.SAVE: State.PERSISTED,
            }
        ),
    }
)


def advance(name: str, state: State, call: Call) -> State:
    """Return the state that ``call`` leads to.

    Raises:
        InvalidTransition: the table has no such call in that state.
    """
    allowed = TRANSITIONS[state]
    try:
        return allowed[call]
    except KeyError:
        raise InvalidTransition(name, str(state), str(call), tuple(map(str, allowed))) from None

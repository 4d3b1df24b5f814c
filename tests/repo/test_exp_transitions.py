"""Every state with every call, from the table itself, on real experiments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from exp_project import git

from sbcflow.errors import InvalidTransition
from sbcflow.experiment import Experiment, State
from sbcflow.experiment.states import TRANSITIONS, Call, advance

PAIRS = [(state, call) for state in State for call in Call]
LEGAL = [(state, call) for state, call in PAIRS if call in TRANSITIONS[state]]
ILLEGAL = [(state, call) for state, call in PAIRS if call not in TRANSITIONS[state]]

# What the lifecycle promises (DESIGN, "Experiments"), written down apart from the table.
PROMISED = {
    State.UNINITIALIZED: {"init", "resume"},
    State.ACTIVE: {
        *("set_params", "log_metric", "log_metrics", "log_artifact", "log_code", "make_checkpoint"),
        *("fail", "complete", "save", "discard"),
    },
    State.COMPLETED: {"save", "discard"},
    State.PERSISTED: {"save"},
}


def in_state(repo: Path, state: State) -> Experiment:
    """An experiment that has come to a state by legal calls."""
    experiment = Experiment.init(repo, "one")
    match state:
        case State.UNINITIALIZED:
            experiment.discard()
        case State.COMPLETED:
            experiment.complete()
        case State.PERSISTED:
            experiment.save()
    assert experiment.state is state
    return experiment


def make(experiment: Experiment, call: Call, repo: Path) -> object:
    """Make a call that nothing but the state can refuse."""
    (repo / "data.txt").write_text("data\n")
    Experiment.init(repo, "closed").close()
    calls: dict[Call, Callable[[], object]] = {
        Call.INIT: lambda: experiment.init(repo, "two"),
        Call.RESUME: lambda: experiment.resume("closed", repo),
        Call.SET_PARAMS: lambda: experiment.set_params({"lr": 0.5}),
        Call.LOG_METRIC: lambda: experiment.log_metric("accuracy", 0.9),
        Call.LOG_METRICS: lambda: experiment.log_metrics({"accuracy": 0.9}),
        Call.LOG_ARTIFACT: lambda: experiment.log_artifact("data.txt"),
        Call.LOG_CODE: lambda: experiment.log_code(False),
        Call.MAKE_CHECKPOINT: experiment.make_checkpoint,
        Call.FAIL: lambda: experiment.fail("a reason"),
        Call.COMPLETE: experiment.complete,
        Call.SAVE: experiment.save,
        Call.DISCARD: experiment.discard,
    }
    return calls[call]()


def test_the_table_is_what_was_promised() -> None:
    assert {state: set(map(str, calls)) for state, calls in TRANSITIONS.items()} == PROMISED
    assert {str(call) for call in Call} == set.union(*PROMISED.values())
    assert all(callable(getattr(Experiment, call)) for call in Call)


@pytest.mark.parametrize(("state", "call"), ILLEGAL)
def test_a_call_out_of_order_is_refused(repo: Path, state: State, call: Call) -> None:
    experiment = in_state(repo, state)
    refs = git(repo, "for-each-ref")
    with pytest.raises(InvalidTransition) as error:
        make(experiment, call, repo)
    assert (error.value.name, error.value.state, error.value.call) == ("one", state, call)
    assert error.value.allowed == tuple(TRANSITIONS[state])
    assert f"experiment one: {call} is not allowed when {state}" in str(error.value)
    assert all(word in str(error.value) for word in PROMISED[state])
    assert experiment.state is state
    assert git(repo, "for-each-ref") == refs


@pytest.mark.parametrize(("state", "call"), LEGAL)
def test_a_call_in_order_leads_where_the_table_says(repo: Path, state: State, call: Call) -> None:
    experiment = in_state(repo, state)
    result = make(experiment, call, repo)
    after = result if isinstance(result, Experiment) else experiment
    assert after.state is TRANSITIONS[state][call]


def test_a_refused_call_is_refused_by_the_table_and_not_by_chance() -> None:
    for state, call in LEGAL:
        assert advance("one", state, call) is TRANSITIONS[state][call]
    for state, call in ILLEGAL:
        with pytest.raises(InvalidTransition):
            advance("one", state, call)

"""What an exploration says: why a sweep failed, and the table of what came of each combination."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sbcflow.explore import Explored, Outcome, render
from sbcflow.explore.workflow import last_error

A_FIT_FAILED = """\
Building DAG of jobs...
error: 0 of 800 visitors converted; the hurdle model needs at least 2 who did and one who did not
RuleException:
CalledProcessError in file "workflow/rules/sweep.smk", line 16:
[Sun Nov 22 15:59:34 2026]
Error in rule fit:
    log: logs/smoke-prior/0000-5de336ab.log (check log file(s) for error details)
WorkflowError:
At least one job did not complete successfully.
"""
A_DEFECT = """\
Traceback (most recent call last):
  File "fit.py", line 3, in <module>
jaxlib.xla_extension.XlaRuntimeError: out of memory
"""


@pytest.mark.parametrize(
    ("logs", "reason"),
    [
        (
            [A_FIT_FAILED, "error: of an earlier run"],
            "0 of 800 visitors converted; the hurdle model needs at least 2 who did and one who did not",
        ),
        (["Error in rule fit:\n", "2026-11-22 15:59:34,123 error: nobody converted\n"], "nobody converted"),
        (
            [A_DEFECT + A_FIT_FAILED.partition("\n")[2].partition("\n")[2]],
            "jaxlib.xla_extension.XlaRuntimeError: out of memory",
        ),
        (["error: the first\nValueError: x\nerror: the last\n"], "the last"),
        (["Killed\n"], None),
        ([""], None),
    ],
)
def test_the_reason_is_the_last_error_that_says_something(logs: list[str], reason: str | None) -> None:
    assert last_error(logs) == reason


def _explored(name: str, outcome: Outcome, failed: str | None, metrics: dict[str, float]) -> Explored:
    values = {"exploratory_sweep.n_configs": 2}
    run_dir, log = Path("runs", name), Path("logs", f"{name}.log")
    return Explored(name, "0" * 40, values, outcome, failed, metrics, run_dir, log, 2, 1, 3.5)


def test_the_table_shows_each_combination_and_why_it_failed() -> None:
    good = _explored("good", Outcome.SAVED, None, {"coverage_90": 0.8725, "crps": 0.5, "n_fits": 2})
    bad = _explored("bad", Outcome.FAILED, "nobody converted", {})
    heading, first, second, reason = render([good, bad]).splitlines()
    assert heading.split() == ["experiment", "values", "state", "coverage_90", "crps"]
    assert first.split() == ["good", "exploratory_sweep.n_configs=2", "saved", "0.8725", "0.5"]
    assert second.split() == ["bad", "exploratory_sweep.n_configs=2", "failed", "-", "-"]
    assert reason == "bad failed: nobody converted (log: logs/bad.log)"


def test_it_is_plain_json() -> None:
    plain = _explored("good", Outcome.KEPT, None, {"crps": 0.5}).plain()
    assert json.loads(json.dumps(plain)) == plain
    assert (plain["outcome"], plain["run_dir"], plain["failed"]) == ("kept", "runs/good", None)

"""``sbcflow status`` and ``explain`` on the command line: arguments, exit codes, JSON, a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sweep_examples import fit, job, values

from sbcflow import cli
from sbcflow.inspection.watch import CLEAR
from sbcflow.params import Params
from sbcflow.sweep.plan import plan_sweep

Run = Callable[..., tuple[object, str, str]]


@pytest.fixture
def params(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Params:
    monkeypatch.chdir(tmp_path)
    params = values(train_sweep__n_configs=3)
    Path("params.yaml").write_text(json.dumps(params.model_dump(mode="json")))  # JSON is YAML
    return params


@pytest.fixture
def sbcflow(params: Params, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command and returns its exit code, stdout and stderr."""
    assert params

    def run(*words: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["sbcflow", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return (ended.value.code or 0, *capsys.readouterr())

    return run


def test_a_sweep_is_named_by_id_or_section_or_not_at_all(sbcflow: Run) -> None:
    by_id, by_section = sbcflow("status", "pilot-train"), sbcflow("status", "train_sweep")
    assert by_id == by_section
    assert by_id[:2] == (
        0,
        "pilot-train (train_sweep): 0 of 3 fits done, 3 missing; no job runs\n"
        "gathered: no, not yet\n"
        "missing: 0000-0002\n",
    )
    every = sbcflow("status")[1]
    assert every.startswith(f"{by_id[1]}\npilot-test (test_sweep): ")
    assert "pilot-prior" not in every and "pilot-prior" in sbcflow("status", "exploratory_sweep")[1]


@pytest.mark.parametrize("command", [("status",), ("explain",), ("status", "--json")])
@pytest.mark.parametrize("name", ["train", "pilot-corrections", "", "runs/pilot-train"])
def test_an_unknown_sweep_is_one_line_that_says_what_there_is(sbcflow: Run, command: str, name: str) -> None:
    code, out, err = sbcflow(*command, name)
    assert (code, out) == (2, "")
    assert err == (
        f"error: '{name}': no such sweep; allowed: pilot-train (train_sweep), pilot-test (test_sweep), "
        "pilot-prior (exploratory_sweep)\n"
    )


def test_another_params_file_is_another_plan(sbcflow: Run) -> None:
    larger = values(train_sweep__n_configs=4)
    Path("other.yaml").write_text(json.dumps(larger.model_dump(mode="json")))
    for command in ("status", "explain"):
        assert " of 4 " in sbcflow(command, "pilot-train", "--params", "other.yaml")[1]
        code, _, err = sbcflow(command, "pilot-train", "--params", "none.yaml")
        assert code == 2 and err.startswith("error: none.yaml: no such file")


def test_status_is_exit_0_whatever_it_finds(sbcflow: Run, params: Params) -> None:
    plan = plan_sweep(params, "train")
    fit(params, "train", plan[0]).write_text("{")
    job("pilot-train", [plan[1]], state="failed", failed={plan[1].config_id: "no"})
    code, out, _ = sbcflow("status", "pilot-train", "--json")
    (plain,) = json.loads(out)
    assert code == 0
    assert {name: n for name, n in plain["counts"].items() if n} == {"failed": 1, "missing": 1, "unsound": 1}
    assert [one["state"] for one in plain["unfinished"]] == ["unsound", "failed", "missing"]
    assert plain["section"] == "train_sweep" and plain["gathered"] is False


def test_explain_is_text_or_json(sbcflow: Run, params: Params) -> None:
    fit(params, "train", plan_sweep(params, "train")[1])
    code, out, _ = sbcflow("explain", "pilot-train")
    assert (code, out.splitlines()[1:]) == (0, ["2 configs (0000, 0002): never fitted"])
    plain = json.loads(sbcflow("explain", "pilot-train", "--json")[1])
    assert [(one["index"], one["reason"]) for one in plain["would_run"]] == [
        (0, "never fitted"),
        (2, "never fitted"),
    ]


@pytest.mark.parametrize("words", [("status", "--every", "0"), ("status", "a", "b"), ("explain",)])
def test_bad_usage_exits_with_2(sbcflow: Run, words: tuple[str, ...]) -> None:
    code, _, err = sbcflow(*words)
    assert code == 2 and "Error" in err


MAIN = "import sys; from sbcflow.cli import main; main()"


def test_a_terminal_is_redrawn_whatever_has_changed(params: Params) -> None:
    assert params
    mine, its = pty.openpty()
    command = [sys.executable, "-c", MAIN, "status", "pilot-train", "--watch", "--every", "0.1"]
    with subprocess.Popen(command, stdout=its, stderr=its) as running:
        os.close(its)
        seen = ""
        while seen.count(CLEAR) < 3:
            seen += os.read(mine, 10_000).decode()
        running.terminate()
    os.close(mine)
    assert seen.startswith(f"{CLEAR}pilot-train (train_sweep): 0 of 3 fits done")

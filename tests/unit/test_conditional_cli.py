"""``sbcflow scorecard`` by cell: what it prints, and that what is not there is told in a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_examples import write_correction
from conditional_examples import METHODS, SETTINGS, card_of, make_averages, make_fit

from sbcflow import cli, runtime
from sbcflow.calibration.conditional.dimensions import DIMENSIONS, TARGETS
from sbcflow.calibration.corrections import Corrections
from sbcflow.calibration.layered import LayeredCorrection
from sbcflow.calibration.scorecard import evaluate
from sbcflow.cli import runs
from sbcflow.files import write_json


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


Shell = Callable[..., Answer]


@pytest.fixture
def sbcflow(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Runs ``sbcflow`` in this process."""
    monkeypatch.setattr(runtime, "configure", lambda: None)

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["sbcflow", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Answer(int(ended.value.code or 0), *capsys.readouterr())

    return run


def _one_line_error(answer: Answer) -> str:
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    return answer.err.removeprefix("error: ").strip()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of an evaluation with its conditional scorecard; fits brought no averages but one each."""
    fits = [
        make_fit(
            [0.0] * 20, 1.0, np.linspace(-1, 1.5, 20), i, averages=make_averages([[0.0]], 1.0, [[0.1]], [1.0])
        )
        for i in range(12)
    ]
    correction = LayeredCorrection.load(write_correction(tmp_path / "correction"))
    card, cells = evaluate(fits, Corrections(correction), SETTINGS), card_of(fits)
    folder = tmp_path / "evaluation"
    folder.mkdir()
    for name, content in (("scorecard", card), ("conditional", cells)):
        content.table.to_csv(folder / f"{name}.csv", index=False)
        write_json(folder / f"{name}.json", content.summary)
    return folder


def test_scorecard_names_the_worst_cell_of_each_method(sbcflow: Shell, folder: Path) -> None:
    lines = sbcflow("scorecard", folder).out.splitlines()[-3:]
    assert [line.partition(":")[0] for line in lines] == [f"Worst cell, {m}" for m in METHODS]
    found = "visitor by template, constant (12 fits), 90% intervals hold 0.600"
    assert lines[2].startswith(f"Worst cell, halved: {found} (") and "cells are off beyond chance" in lines[2]


def test_scorecard_by_cell(sbcflow: Shell, folder: Path) -> None:
    answer = sbcflow("scorecard", folder, "--by", "template")
    assert answer.out.startswith("90% intervals of effects on single visitors, by template\n\nraw ")
    table = pd.read_csv(folder / "conditional.csv", dtype={"cell": str})
    told = json.loads(sbcflow("scorecard", folder, "--by", "n_visitors", "--target", "ate", "--json").out)
    kept = table.query("dimension == 'n_visitors' and target == 'ate'")
    assert told["table"] == json.loads(kept.to_json(orient="records", double_precision=15))
    assert told["summary"] == json.loads((folder / "conditional.json").read_text())
    assert set(kept["cell"]) == {"2000"}
    assert "Nobody sees a true effect" in sbcflow("scorecard", folder, "--by", "effect_size").out


def test_scorecard_by_what_there_is_not(sbcflow: Shell, folder: Path) -> None:
    asked = ("scorecard", folder, "--by", "segment_size")
    assert "target visitor: has no cells by segment_size; must be one of" in _one_line_error(sbcflow(*asked))
    message = _one_line_error(sbcflow(*asked, "--target", "segment"))
    assert message == "target segment: no fit has a segment"


def test_what_can_be_asked_for_is_what_there_is() -> None:
    assert [*runs.Target] == [*TARGETS]
    assert [*runs.Dimension] == [name for name in DIMENSIONS if name != "all"]


def test_an_evaluation_of_old_has_no_cells(sbcflow: Shell, folder: Path) -> None:
    for path in folder.glob("conditional.*"):
        path.unlink()
    assert "Worst cell" not in sbcflow("scorecard", folder).out
    message = _one_line_error(sbcflow("scorecard", folder, "--by", "template"))
    assert "conditional.csv: no such file; evaluations of an older sbcflow have none" in message


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("conditional.json", "{}", "is missing schema_version"),
        ("conditional.csv", "level\n1\n", "is missing the columns target"),
        ("conditional.csv", "", "cannot be read as a table"),
    ],
)
def test_damaged_cells_are_named(
    sbcflow: Shell, folder: Path, name: str, content: str, complaint: str
) -> None:
    (folder / name).write_text(content)
    assert f"{name}: {complaint}" in _one_line_error(sbcflow("scorecard", folder, "--by", "template"))


def test_cells_of_another_schema_are_refused(sbcflow: Shell, folder: Path) -> None:
    summary = json.loads((folder / "conditional.json").read_text())
    write_json(folder / "conditional.json", summary | {"schema_version": 2})
    assert "schema_version must be 1, got 2" in _one_line_error(sbcflow("scorecard", folder))

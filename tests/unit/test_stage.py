"""A stage whose params.yaml was edited while it ran fails, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest

from sbcflow.errors import ParamsError
from sbcflow.sweep.stage import STAGE_VARIABLE, check_params_stayed


@pytest.fixture(autouse=True)
def in_a_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(STAGE_VARIABLE, "train_sweep")
    Path("params.yaml").write_bytes(b"a: 1\n")


def test_values_that_stay_are_fine() -> None:
    check_params_stayed(b"a: 1\n")


def test_values_that_change_are_an_error() -> None:
    with pytest.raises(
        ParamsError, match=r"^params\.yaml: changed while train_sweep ran; run the same command"
    ):
        check_params_stayed(b"a: 2\n")


def test_outside_a_stage_nobody_records_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(STAGE_VARIABLE)
    check_params_stayed(b"a: 2\n")

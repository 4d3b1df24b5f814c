"""The code on docs/notebook.md, run block by block where runs of those names lie."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from analysis_examples import ROOT
from matplotlib.figure import Figure
from notebook_runs import write_analysis, write_corrections, write_evaluation, write_sweep

from sbcflow.calibration.layered import LayeredCorrection

PAGE = ROOT / "docs/notebook.md"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    runs = tmp_path / "runs"
    write_sweep(runs / "pilot-train", keeps_draws=False)
    write_sweep(runs / "pilot-test")
    write_corrections(runs / "pilot-corrections")
    write_evaluation(runs / "pilot-evaluation", LayeredCorrection.load(runs / "pilot-corrections"))
    write_analysis(tmp_path / "hillstrom", regime_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("project")
def test_the_code_on_the_page_runs() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
    assert len(blocks) > 8
    assert names["found"].lower.shape == (4,) and np.all(names["found"].lower < 0.3)
    assert names["bounds"].dims == ("point", "bound")
    assert isinstance(names["fits"], xr.DataTree) and isinstance(names["figure"], Figure)
    assert all(axes.get_lines() for axes in names["figure"].axes)

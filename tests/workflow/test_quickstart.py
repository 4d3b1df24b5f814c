"""examples/quickstart.ipynb, run by a real kernel from top to bottom on the smoke runs."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

import sbcflow
from workflow_project import ROOT, Project

NOTEBOOK = ROOT / "examples/quickstart.ipynb"
TIMEOUT = 300


def stored() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def code_of(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def execute(notebook: Any, project: Project, folder: str = "examples") -> None:
    """Run a notebook's cells in a kernel of its own, in a folder of the project."""
    place = {"metadata": {"path": str(project.path / folder)}}
    client = NotebookClient(notebook, timeout=TIMEOUT, kernel_name="python3", resources=place)
    client.execute(env=project.env)


@pytest.fixture(scope="module")
def executed(reproduced: Project, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The notebook with its outputs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path_factory.mktemp("jupyter")))
        notebook = stored()
        execute(notebook, reproduced)
    return notebook


def output_of(notebook: Any, beginning: str) -> Any:
    """The outputs of the cell whose last line begins so."""
    found = [cell for cell in code_of(notebook) if _last_line(cell).startswith(beginning)]
    assert len(found) == 1, beginning
    return found[0].outputs


def _last_line(cell: Any) -> str:
    return f"{cell.source.splitlines()[-1]}\n"


def shown(notebook: Any, beginning: str) -> str:
    """What that cell shows, as text."""
    (output,) = [one for one in output_of(notebook, beginning) if one.output_type == "execute_result"]
    return output.data["text/plain"]


def test_it_is_stored_as_it_is_before_a_run() -> None:
    notebook = stored()
    nbformat.validate(notebook)
    assert not any(cell.outputs or cell.execution_count for cell in code_of(notebook))
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert not any(cell.metadata for cell in notebook.cells)


def test_its_runs_are_those_that_params_name() -> None:
    """No id of a run and no folder stands in a cell."""
    source = "\n".join(cell.source for cell in code_of(stored()))
    assert "pilot" not in source and "smoke" not in source and "/home" not in source
    for name in ("train_sweep", "test_sweep", "fit_corrections", "evaluate_layered"):
        assert f"runs / params.{name}.id" in source


def test_every_cell_runs_and_every_plot_is_a_picture(executed: Any) -> None:
    plots = [cell for cell in code_of(executed) if ".plot" in cell.source.splitlines()[-1]]
    assert len(plots) == 6
    for cell in plots:
        assert any("<svg" in output.get("data", {}).get("image/svg+xml", "") for output in cell.outputs)


def test_it_leaves_the_project_as_it_was(executed: Any, reproduced: Project) -> None:
    assert all(cell.execution_count for cell in code_of(executed))
    assert reproduced.run("git", "status", "--short").stdout == ""


def test_what_it_shows_is_what_the_runs_hold(executed: Any, reproduced: Project) -> None:
    runs = reproduced.path / "runs"
    card = sbcflow.load(runs / "smoke-evaluation")
    overall = card.table.query("group_kind == 'all' and level == 0.9").set_index("method")["coverage"]
    coverage = ast.literal_eval(shown(executed, "{method: round("))
    assert coverage == {method: round(overall[method], 4) for method in ("raw", "layered")}
    assert "kind: train, family: v2, fits: 3" in shown(executed, "sweep\n")
    (verdict,) = [one.text for one in output_of(executed, "evaluation.plot_coverage") if "text" in one]
    assert verdict.strip() == card.verdict


def test_the_draws_of_its_own_model_are_corrected(executed: Any) -> None:
    raw, calibrated = (
        [[float(value) for value in line.split()[1:]] for line in shown(executed, name).splitlines()[2:]]
        for name in ('raw["effect"]', 'calibrated["effect"]')
    )
    assert len(raw) == len(calibrated) == 3 and raw != calibrated
    assert all(low < high for low, high in (*raw, *calibrated))
    # The model's own effects: 0.2 times the rate, times the mean spend of a buyer.
    truth = [
        0.2 * rate * 2.718281828 ** (mean + 0.5) for rate, mean in ((0.03, 3.0), (0.05, 3.4), (0.08, 3.2))
    ]
    held = [low < effect < high for (low, high), effect in zip(raw, truth, strict=True)]
    assert sum(held) >= 2


def test_a_cell_that_fails_fails_the_test(reproduced: Project, monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    notebook = stored()
    notebook.cells = notebook.cells[:4]
    notebook.cells[3].source = notebook.cells[3].source.replace("train_sweep", "no_sweep")
    with pytest.raises(CellExecutionError, match="no_sweep"):
        execute(notebook, reproduced)

"""What ``sbcflow new`` makes a project of agrees with this project, and what a stage depends on is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from own_code import own_params, write_module
from sbcflow.params import load
from sbcflow.project.assets import asset
from sbcflow.project.new import COPIED, TEMPLATES
from sbcflow.project.sources import project_sources

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "src/sbcflow/project/template"
OURS = ("requirements.lock", "src/")
SOURCES = "metrics/sources.json"


def _stages(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())["stages"]


def _of_a_project(stage: dict[str, Any]) -> dict[str, Any]:
    """A stage of ours as a project has it: one file stands for all source."""
    kept = [dep for dep in stage["deps"] if not dep.startswith(OURS)]
    return stage | {"deps": sorted([*kept, SOURCES])}


def test_stages_are_those_of_this_project_but_for_where_source_is_seen() -> None:
    template = _stages(TEMPLATE / "stages.yaml")
    assert template.pop("sources")["outs"] == [{SOURCES: {"cache": False}}]
    assert {name: stage | {"deps": sorted(stage["deps"])} for name, stage in template.items()} == {
        name: _of_a_project(stage) for name, stage in _stages(ROOT / "dvc.yaml").items()
    }
    plots = [
        yaml.safe_load(path.read_text())["plots"] for path in (TEMPLATE / "stages.yaml", ROOT / "dvc.yaml")
    ]
    assert plots[0] == plots[1]


def test_everything_that_a_project_takes_is_there() -> None:
    assert {path.name for path in TEMPLATE.iterdir() if path.is_file()} == {*TEMPLATES, "mymodel.py"}
    for name in (*COPIED, "params.yaml", "workflow/Snakefile"):
        assert asset(name).exists()
    with pytest.raises(FileNotFoundError, match="is neither in"):
        asset("nothing")


def test_a_wheel_takes_along_what_projects_are_made_of() -> None:
    import tomllib

    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {
        name: f"sbcflow/assets/{name}" for name in ("config", "params.yaml", "workflow")
    }


def test_sources_name_code_of_ones_own_and_what_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_module(tmp_path, "own_project_code")
    (tmp_path / "table.csv").write_text("a\n")
    found = project_sources(own_params("own_project_code", files=["table.csv"]))
    assert found["own"].keys() == {"own_project_code", "table.csv"}
    assert {"numpy", "jax"} <= found["libraries"].keys()
    assert "sbcflow.basis" in found["modules"]
    assert project_sources(load(ROOT / "params.yaml"))["own"] == {}


def test_no_tool_takes_a_template_for_its_own() -> None:
    """DVC looks for its files in every folder of a repository."""
    names = {path.name for path in TEMPLATE.iterdir()}
    assert not names & {"dvc.yaml", "dvc.lock", ".dvcignore", ".gitignore", ".gitattributes"}

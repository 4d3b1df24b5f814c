"""Which part of the package may import which library; from syntax trees, so that unused paths count too."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from source_imports import PACKAGE, ROOT, imports, libraries, modules_under, reach

import sbcflow

NUMERIC = (
    *("basis", "calibration", "data", "design", "estimators", "generators", "inference"),
    *("levels", "likelihood", "model", "runtime", "scoring", "streams"),
)
DRAWING = {"matplotlib", "jinja2"}
DRAWS = ("sbcflow.plots", "sbcflow.report")
RECORDS = ("experiment", "files", "manifest", "provenance")
VERSIONING = {"git", "pygit2", "dulwich", "scmrepo", "dvc", "dvclive", "snakemake"}
JAX = {"jax", "jaxlib", "numpyro"}
SCRIPTS = sorted((ROOT / "workflow/scripts").glob("*.py"))
LONGEST_SCRIPT = 40


@pytest.mark.parametrize("module", modules_under(*NUMERIC))
def test_numeric_modules_know_nothing_of_versioning(module: str) -> None:
    found = libraries(reach(module, lazy=True))
    assert found.keys() & VERSIONING == set(), found
    ours = {name: where for name, where in reach(module, lazy=True).items() if name.startswith("sbcflow.")}
    assert {
        name for name in ours if name.split(".")[1] in ("sweep", "tracking", "manifest", "cli")
    } == set(), ours


@pytest.mark.parametrize("module", modules_under(*NUMERIC))
def test_numeric_modules_draw_nothing(module: str) -> None:
    reached = reach(module, lazy=True)
    assert libraries(reached).keys() & DRAWING == set(), reached
    assert not [name for name in reached if name.startswith(DRAWS)], reached


@pytest.mark.parametrize(
    "module", ["params", "sweep.layout", "sweep.resources", "sweep.batch", "sweep.rounds", "sweep.stage"]
)
def test_parsing_the_workflow_imports_nothing_that_draws(module: str) -> None:
    assert libraries(reach(f"sbcflow.{module}", lazy=False)).keys() & DRAWING == set()


def test_pictures_go_by_no_global_state() -> None:
    """Pyplot keeps figures of its own; the report's modules know no library that draws but ours."""
    for module in modules_under("plots", "report"):
        direct = imports(module, lazy=True)
        assert not [name for name in direct if "pyplot" in name or name == "pylab"], module
    assert libraries(reach("sbcflow.plots", lazy=False)).keys() >= {"matplotlib"}


@pytest.mark.parametrize("module", modules_under("generators"))
def test_planning_imports_no_jax(module: str) -> None:
    found = libraries(reach(module, lazy=False))
    assert found.keys() & JAX == set(), found


@pytest.mark.parametrize(
    "module", modules_under(*(name for name in RECORDS if list(PACKAGE.glob(f"{name}*"))))
)
def test_records_import_no_jax(module: str) -> None:
    found = libraries(reach(module, lazy=True))
    assert found.keys() & JAX == set(), found


def test_the_package_itself_imports_nothing() -> None:
    """Of its own or anybody else's: what it offers is imported when it is asked for, by name."""
    found = libraries(reach("sbcflow", lazy=True))
    assert found.keys() <= {"importlib", "typing"}, found
    code = "import sys; before = {*sys.modules}; import sbcflow; print(*sorted({*sys.modules} - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {name.partition(".")[0] for name in loaded} <= {"sbcflow", *sys.stdlib_module_names}, loaded
    assert {name for name in loaded if name.startswith("sbcflow")} == {"sbcflow"}


def test_what_the_package_offers_is_there() -> None:
    for name in sbcflow.__all__:
        assert name in dir(sbcflow) and callable(getattr(sbcflow, name))
    with pytest.raises(AttributeError, match="'sbcflow' has no attribute 'lod'"):
        sbcflow.lod  # noqa: B018


def test_a_notebook_starts_without_what_it_may_not_need() -> None:
    """To load a run takes pandas; JAX, xarray and matplotlib come with the first fit, tree or plot."""
    found = libraries(reach("sbcflow.notebook", lazy=False))
    assert found.keys() & (JAX | VERSIONING | {"xarray", "matplotlib"}) == set(), found
    assert "sbcflow.notebook.draws" in reach("sbcflow.notebook", lazy=True)


def test_the_command_line_is_light() -> None:
    found = libraries(reach("sbcflow.cli", lazy=False))
    assert found.keys() - sys.stdlib_module_names == {"sbcflow", "typer"}, found


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_scripts_are_short_and_import_no_script(script: Path) -> None:
    text = script.read_text()
    assert len(text.splitlines()) <= LONGEST_SCRIPT
    tree = ast.parse(text)
    froms = {node.module.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    plain = {
        alias.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    assert (froms | plain) <= {"sbcflow"} | sys.stdlib_module_names
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    assert not any(isinstance(node, defined) for node in ast.walk(tree)), "work lives in src/"


def test_there_are_scripts() -> None:
    assert {script.stem for script in SCRIPTS} == {
        *("fit", "look", "gather", "fit_corrections", "evaluate", "report", "audit_fit", "audit_gather")
    }

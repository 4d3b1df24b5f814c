"""The reference has every public name of the modules that users import; Sphinx takes them from docstrings."""

from __future__ import annotations

import importlib
import inspect
import re

import pytest

from workflow_project import ROOT

PAGE = (ROOT / "docs/api.md").read_text()
# Modules of which every public function and class is described.
WHOLE = (
    "analysis.calibrate",
    "analysis.effects",
    "analysis.read",
    "analysis.run",
    "calibration.audit",
    "calibration.comparison",
    "calibration.conditional.averages",
    "calibration.conditional.card",
    "calibration.conditional.cells",
    "calibration.conditional.collect",
    "calibration.conditional.dimensions",
    "calibration.conditional.worst",
    "calibration.corrections",
    "calibration.confidence_sequence",
    "calibration.coverage_curve",
    "calibration.evaluate",
    "calibration.fit",
    "calibration.layered",
    "calibration.regime.conformal",
    "calibration.regime.correction",
    "calibration.regime.fit",
    "calibration.regime.hull",
    "calibration.regime.location_scale",
    "calibration.regime.observables",
    "calibration.regime.shape",
    "calibration.rivals.methods",
    "calibration.rivals.table",
    "calibration.scale_family",
    "calibration.scorecard",
    "data",
    "errors",
    "estimators",
    "levels",
    "params",
    "scenario",
    "scoring",
    "streams",
)
# Packages of which that is what they offer by __all__.
OFFERED = ("experiment", "explore", "generators", "validate")


def described(page: str) -> set[str]:
    """Return the full names that a page's directives describe."""
    found = set(re.findall(r"^\.\. auto(?:class|function|exception):: (\S+)", page, re.MULTILINE))
    for module, members in re.findall(r"^\.\. automodule:: (\S+)\n   :members:(.*)$", page, re.MULTILINE):
        names = [name.strip() for name in members.split(",")] if members.strip() else public(module)
        found |= {f"{module}.{name}" for name in names}
    return found


def public(module: str) -> list[str]:
    """Return the public functions and classes that a module itself defines."""
    loaded = importlib.import_module(module)
    return [
        name
        for name, value in vars(loaded).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module
    ]


def undescribed(module: str, page: str) -> set[str]:
    return {f"{module}.{name}" for name in public(module)} - described(page)


@pytest.mark.parametrize("module", WHOLE)
def test_every_public_name_is_described(module: str) -> None:
    assert public(f"sbcflow.{module}")
    assert undescribed(f"sbcflow.{module}", PAGE) == set()


@pytest.mark.parametrize("package", OFFERED)
def test_what_a_package_offers_is_described(package: str) -> None:
    loaded = importlib.import_module(f"sbcflow.{package}")
    offered = {name: getattr(loaded, name) for name in loaded.__all__}
    called = {name for name, value in offered.items() if inspect.isfunction(value) or inspect.isclass(value)}
    assert called
    assert called <= {name.rpartition(".")[2] for name in described(PAGE)}


def test_what_is_described_exists_and_has_a_docstring() -> None:
    for name in described(PAGE):
        module, _, attribute = name.rpartition(".")
        assert inspect.getdoc(getattr(importlib.import_module(module), attribute)), name


def test_a_name_that_is_missing_is_found() -> None:
    shorter = PAGE.replace(".. autofunction:: sbcflow.params.load\n", "")
    assert undescribed("sbcflow.params", shorter) == {"sbcflow.params.load"}
    listed = PAGE.replace("Covariates, Trial, ", "Covariates, ")
    assert undescribed("sbcflow.data", listed) == {"sbcflow.data.Trial"}

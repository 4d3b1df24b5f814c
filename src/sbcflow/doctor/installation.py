"""Python, the libraries and the commands that a run calls by name."""

from __future__ import annotations

import shutil
import sys
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from sbcflow.doctor.finding import Finding, note, ok, problem

NAMED = ("jax", "numpyro", "snakemake", "dvc", "dvclive")
COMMANDS = ("snakemake", "dvc", "sbcflow")


def check_python() -> Finding:
    """Is this a Python that the package is for?"""
    found, wanted = ".".join(map(str, sys.version_info[:3])), metadata("sbcflow")["Requires-Python"]
    if found in SpecifierSet(wanted):
        return ok("Python", f"{found}, {sys.executable}")
    return problem("Python", f"{found} is outside {wanted}", "make setup PYTHON=python3.12")


def check_libraries() -> Finding:
    """Are the libraries there that the installed sbcflow asks for?"""
    asked = [Requirement(line) for line in requires("sbcflow") or ()]
    needed = [one for one in asked if one.marker is None or one.marker.evaluate({"extra": ""})]
    wrong = [said for one in needed if (said := _what_is_wrong(one))]
    if wrong:
        return problem("libraries", "; ".join(wrong), "make setup, or pip install --upgrade sbcflow")
    versions = ", ".join(f"{name} {version(name)}" for name in NAMED)
    return ok("libraries", f"sbcflow {version('sbcflow')}, {versions}")


def _what_is_wrong(needed: Requirement) -> str:
    try:
        found = version(needed.name)
    except PackageNotFoundError:
        return f"{needed.name} is missing"
    if needed.specifier.contains(found, prereleases=True):
        return ""
    return f"{needed.name} {found} is not {needed.specifier}"


def check_commands() -> Finding:
    """Do the commands that stages and rules call by name come from this very environment?

    ``dvc repro`` finds ``snakemake`` on the PATH; one of another environment would run other libraries.
    ``make`` puts its own first.
    """
    here = Path(sys.executable).parent
    found = {name: shutil.which(name) for name in COMMANDS}
    remedy = f"source {here}/activate, or put {here} first on the PATH"
    if absent := [name for name in COMMANDS if not (here / name).exists()]:
        return problem("commands", f"{here} has no {', '.join(absent)}", "make setup, or pip install sbcflow")
    foreign = [path for path in found.values() if path and Path(path).parent.resolve() != here.resolve()]
    if foreign:
        return problem("commands", f"of another environment than {here}: {', '.join(foreign)}", remedy)
    if missing := [name for name, path in found.items() if path is None]:
        return note("commands", f"not on the PATH: {', '.join(missing)}", remedy)
    return ok("commands", f"{', '.join(COMMANDS)} in {here}")

"""Python, the libraries and the commands that a run calls by name."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from sbcflow.doctor.finding import Finding, note, ok, problem

PYTHONS = SpecifierSet(">=3.11,<3.14")
NAMED = ("jax", "numpyro", "snakemake", "dvc", "dvclive")
COMMANDS = ("snakemake", "dvc", "sbcflow")
ANSWER_SECONDS = 60.0


def check_python() -> Finding:
    """Is this a Python that the locked libraries are for?"""
    found = ".".join(map(str, sys.version_info[:3]))
    if found in PYTHONS:
        return ok("Python", f"{found}, {sys.executable}")
    return problem("Python", f"{found} is outside {PYTHONS}", "make setup PYTHON=python3.12")


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
    """
    here = Path(sys.executable).parent
    found = {name: shutil.which(name) for name in COMMANDS}
    missing = [name for name, path in found.items() if path is None]
    foreign = [path for path in found.values() if path is not None and Path(path).parent != here]
    remedy = f"source {here}/activate, or put {here} first on the PATH"
    if missing:
        return problem("commands", f"not on the PATH: {', '.join(missing)}", remedy)
    if foreign:
        return problem("commands", f"of another environment than {here}: {', '.join(foreign)}", remedy)
    return ok("commands", f"{', '.join(COMMANDS)} in {here}")


def check_git() -> Finding:
    """Is there a Git?"""
    said = answer("git", "--version")
    if said is None:
        return problem("Git", "there is no git", "install git (Debian: apt install git)")
    return ok("Git", said.removeprefix("git version "))


def check_slurm() -> Finding:
    """Is there a Slurm, and does it answer?"""
    if shutil.which("sinfo") is None:
        return note("Slurm", "none: sweeps run on this machine alone")
    said = answer("sinfo", "--noheader", "--format=%P %D nodes %G")
    if said is None:
        return note("Slurm", "sinfo does not answer", "see whether slurmctld is up: scontrol ping")
    return ok("Slurm", "; ".join(" ".join(line.split()) for line in said.splitlines()))


def answer(*command: str) -> str | None:
    """Return what a command prints, or None where it is missing, fails or takes too long."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()

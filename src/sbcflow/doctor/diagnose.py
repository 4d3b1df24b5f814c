"""All checks, one after another."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from sbcflow.doctor.finding import Finding, note, problem

OF_MACHINE = (
    ("Python", "installation", "check_python"),
    ("libraries", "installation", "check_libraries"),
    ("commands", "installation", "check_commands"),
    ("machine", "machine", "check_cores"),
    ("JAX devices", "machine", "check_devices"),
    ("temporary files", "machine", "check_temporary"),
    ("compiled programs", "machine", "check_programs"),
    ("Git", "machine", "check_git"),
    ("Slurm", "machine", "check_slurm"),
)
OF_PROJECT = (
    ("disk", "machine", "check_disk"),
    ("repository", "project", "check_repository"),
    ("DVC", "project", "check_dvc"),
    ("project", "project", "check_params"),
)
PARAMS_FILE = "params.yaml"


def diagnose(folder: Path) -> Iterator[Finding]:
    """Yield what the checks find of this machine, and of the project in a folder if there is one."""
    for subject, module, check in OF_MACHINE:
        yield _look(subject, module, check)
    if not (folder / PARAMS_FILE).is_file():
        yield note("project", f"no {PARAMS_FILE} in {folder}", "cd to the root of a project")
        return
    for subject, module, check in OF_PROJECT:
        yield _look(subject, module, check, folder)


def _look(subject: str, module: str, check: str, *arguments: Path) -> Finding:
    """Import a check when it is its turn, and run it: where a library is missing, others can still look."""
    try:
        found: Finding = getattr(import_module(f"sbcflow.doctor.{module}"), check)(*arguments)
    except Exception as error:
        what = " ".join(f"{type(error).__name__}: {error}".split())
        return problem(subject, f"cannot look: {what}", "see to what is said above first; make setup")
    return found

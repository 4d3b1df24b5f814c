"""All checks, one after another."""

from __future__ import annotations

from pathlib import Path

from sbcflow.doctor import installation, machine, project
from sbcflow.doctor.finding import Finding


def diagnose(folder: Path) -> list[Finding]:
    """Return what the checks find of this machine, and of the project in a folder."""
    return [
        installation.check_python(),
        installation.check_libraries(),
        installation.check_commands(),
        machine.check_cores(),
        machine.check_devices(),
        machine.check_disk(folder),
        machine.check_programs(),
        installation.check_git(),
        installation.check_slurm(),
        *project.check_project(folder),
    ]

"""``sbcflow doctor``: is this machine fit to run sweeps?"""

from __future__ import annotations

from pathlib import Path

import typer

from sbcflow.cli.shared import Json, echo


def doctor_command(as_json: Json = False) -> None:
    """Look at Python, libraries, JAX and its devices, disk, compiled programs, Git, Slurm, DVC, params.yaml.

    A line each, and what to do where something is wrong. Changes nothing; exit 1 on a problem.
    """
    from sbcflow.doctor.diagnose import diagnose
    from sbcflow.doctor.finding import State, render

    findings = list(diagnose(Path.cwd()))
    echo([one.plain() for one in findings], render(findings), as_json)
    if any(one.state is State.PROBLEM for one in findings):
        raise typer.Exit(1)

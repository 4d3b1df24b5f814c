"""``sbcflow doctor`` and ``check-estimator``: are this machine, and the models on it, fit for sweeps?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sbcflow.cli.shared import PARAMS_FILE, Json, ParamsOption, echo

if TYPE_CHECKING:
    from sbcflow.doctor.finding import Finding


def doctor_command(as_json: Json = False) -> None:
    """Look at Python, libraries, JAX and its devices, disk, compiled programs, Git, Slurm, DVC, params.yaml.

    A line each, and what to do where something is wrong. Changes nothing; exit 1 on a problem.
    """
    from sbcflow.doctor.diagnose import diagnose

    _show(diagnose(Path.cwd()), as_json)


def check_estimator_command(
    visitors: Annotated[
        int, typer.Option("--visitors", min=100, metavar="N", help="The size of the trials it is tried on.")
    ] = 2000,
    sweep: Annotated[
        str, typer.Option("--sweep", metavar="KIND", help="Whose family: train, test or exploratory.")
    ] = "train",
    params: ParamsOption = PARAMS_FILE,
    as_json: Json = False,
) -> None:
    """Try the estimator and the generator family of params.yaml, yours or ours, against their contracts.

    A line each, and what to do where something is wrong. Changes nothing; exit 1 on a problem.
    """
    from sbcflow import runtime

    runtime.configure()
    from sbcflow.doctor.estimator import check_estimator
    from sbcflow.errors import ParamsError
    from sbcflow.params import load

    loaded = load(params)
    kind = next((kind for kind in loaded.sweeps() if kind == sweep), None)
    if kind is None:
        raise ParamsError(f"--sweep: must be one of {', '.join(loaded.sweeps())}, got {sweep!r}")
    _show(check_estimator(loaded, kind, visitors), as_json)


def _show(found: Iterable[Finding], as_json: bool) -> None:
    from sbcflow.doctor.finding import State, render

    findings = list(found)
    echo([one.plain() for one in findings], render(findings), as_json)
    if any(one.state is State.PROBLEM for one in findings):
        raise typer.Exit(1)

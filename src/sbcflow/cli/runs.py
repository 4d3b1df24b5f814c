"""``sbcflow validate`` and ``scorecard``: what lies in run folders, checked and shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sbcflow.cli.shared import PARAMS_FILE, ParamsOption


def validate_command(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Manifests or run folders.")],
) -> None:
    """Check manifests and run folders: schema, keys, checksums, row counts, links. Exit 1 on a problem."""
    from sbcflow.validate import validate as check

    n_problems = 0
    for path in paths:
        report = check(path)
        n_problems += len(report.problems)
        for line in (*report.problems, *(f"note: {note}" for note in report.notes)):
            typer.echo(line)
        if report.ok:
            typer.echo(f"{path}: ok (checked {'; '.join(report.checked)})")
    if n_problems:
        typer.echo(f"{n_problems} problem{'s' if n_problems > 1 else ''}")
        raise typer.Exit(1)


def scorecard_command(
    run_dir: Annotated[
        Path | None,
        typer.Argument(metavar="RUN_DIR", help="An evaluation; by default the one that params.yaml names."),
    ] = None,
    params: ParamsOption = PARAMS_FILE,
) -> None:
    """Print the scorecard of an evaluation: coverage raw, by R(p) and layered, level by level."""
    from sbcflow.calibration.scorecard import Scorecard, render
    from sbcflow.params import load
    from sbcflow.sweep.layout import run_dir as folder_of

    folder = run_dir or folder_of(load(params).evaluate_layered.id)
    typer.echo(render(Scorecard.load(folder)), nl=False)

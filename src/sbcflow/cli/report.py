"""``sbcflow report``: what a run found, as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sbcflow.cli.shared import PARAMS_FILE, Json, ParamsOption, echo


def report_command(
    runs: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[RUN...]",
            help="Folders of evaluations or analyses; by default the evaluation that params.yaml names.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the page of one run goes, instead of into its folder."),
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write every picture there too, as SVG and PNG.")
    ] = None,
    params: ParamsOption = PARAMS_FILE,
    as_json: Json = False,
) -> None:
    """Write what an evaluation or an analysis found as one page, report.html, that needs nothing else."""
    from sbcflow.params import load
    from sbcflow.report.command import make_reports
    from sbcflow.sweep.layout import run_dir

    folders = runs or [run_dir(load(params).evaluate_layered.id)]
    made = make_reports(folders, out, figures)
    lines = [line for one in made for line in (f"{one.path}: {one.verdict}", *map(str, one.figures))]
    echo([one.plain() for one in made], "".join(f"{line}\n" for line in lines), as_json)

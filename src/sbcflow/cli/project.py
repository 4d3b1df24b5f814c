"""``sbcflow new`` and ``sources``: projects that use the installed package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sbcflow.cli.shared import PARAMS_FILE, Json, ParamsOption, echo


def new_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A new or empty folder.")],
    own_model: Annotated[
        bool, typer.Option("--own-model", help="With an estimator of your own to change, mymodel.py.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start a project: values, stages, profiles, a link to the installed workflow; under Git and DVC."""
    from sbcflow.project.new import new_project

    files = [path.relative_to(folder).as_posix() for path in new_project(folder, own_model)]
    steps = (f"cd {folder}", "git commit -m 'A new project'", "sbcflow doctor", "dvc repro")
    text = f"{folder}: {len(files)} files; next: {'; '.join(steps)}\n"
    echo({"folder": str(folder), "files": files}, text, as_json)


def sources_command(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write them there, not to the terminal.")
    ] = None,
    params: ParamsOption = PARAMS_FILE,
) -> None:
    """Print, as JSON, what a run depends on beside params.yaml: digests of code, yours and ours; versions."""
    from sbcflow.files import write_json
    from sbcflow.params import load
    from sbcflow.project.sources import project_sources

    sources = project_sources(load(params))
    if out is None:
        echo(sources, "", as_json=True)
    else:
        write_json(out, sources)

"""What several commands take and say in the same way."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PARAMS_FILE = Path("params.yaml")

ParamsOption = Annotated[Path, typer.Option("--params", metavar="FILE", help="The file of run values.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def progress(line: str) -> None:
    """Say how far a command is, beside what it prints."""
    typer.echo(line, err=True)

"""What several commands take and say in the same way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

PARAMS_FILE = Path("params.yaml")

ParamsOption = Annotated[Path, typer.Option("--params", metavar="FILE", help="The file of run values.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def progress(line: str) -> None:
    """Say how far a command is, beside what it prints."""
    typer.echo(line, err=True)


def echo(content: object, text: str, as_json: bool) -> None:
    """Print a result: ``content`` as JSON where that is asked for, else ``text``, a line or several."""
    plain = json.dumps(content, indent=2, default=str, ensure_ascii=False) if as_json else text
    typer.echo(plain.removesuffix("\n"))


def rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table as JSON values, null where one is empty."""
    found: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=15))
    return found

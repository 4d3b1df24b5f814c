"""A report as a page: one file that asks for nothing else."""

from __future__ import annotations

from functools import cache

import jinja2
from markupsafe import Markup

from sbcflow.plots.style import PALETTE, svg_bytes
from sbcflow.report.svg import inline
from sbcflow.report.value import Cell, Picture, Report, is_missing

OPEN_ROWS = 8


def render(report: Report) -> str:
    """Return the page of a report; equal reports give equal text."""
    templates = _templates()
    style, script = (
        Markup(templates.get_template(name).render(palette=PALETTE)) for name in ("page.css", "page.js")
    )
    return templates.get_template("page.html").render(report=report, style=style, script=script) + "\n"


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("sbcflow.report", "templates"),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"drawn": _drawn, "exact": exact, "is_missing": is_missing, "open_rows": OPEN_ROWS}
    return environment


def _drawn(picture: Picture) -> Markup:
    """A picture as markup: ours, with the one text in it that is not, the description, escaped."""
    return Markup(inline(svg_bytes(picture.draw()), picture.id, picture.alt))


def exact(cell: Cell) -> str:
    """Return a cell in full precision, as the CSV has it."""
    if is_missing(cell):
        return ""
    return str(cell).lower() if isinstance(cell, bool) else str(cell)

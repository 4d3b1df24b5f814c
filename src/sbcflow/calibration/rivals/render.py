"""The table of rivals as text, for a terminal and for a document."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from sbcflow.calibration.comparison import COVERAGE_ERROR
from sbcflow.calibration.rivals.table import COVERAGE, CRPS_RATIO, SCORE_RATIO, WIDTH_RATIO, WORST_TEMPLATE

SHOWN: tuple[tuple[str, str, float | None, str], ...] = (
    ("mean absolute coverage error", COVERAGE_ERROR, None, ".4f"),
    *((f"coverage at {a}", COVERAGE, a, ".4f") for a in (0.5, 0.9, 0.99, 0.999)),
    ("worst template at 0.9", WORST_TEMPLATE, 0.9, ".3f"),
    *((f"interval score at {a}, to raw", SCORE_RATIO, a, ".3f") for a in (0.5, 0.8, 0.9, 0.95, 0.99)),
    ("CRPS, to raw", CRPS_RATIO, None, ".3f"),
    ("mean width at 0.9, to raw", WIDTH_RATIO, 0.9, ".3f"),
)


def render_rivals(table: pd.DataFrame, head: str) -> str:
    """Return the table with a block a quantity, and in it a line a method: value and 95% interval."""
    lines = [head]
    methods = list(table["method"].unique())
    width = max(map(len, methods))
    for title, quantity, level, digits in SHOWN:
        lines.append(title)
        rows = _rows(table, quantity, level)
        lines += [f"  {m:<{width}}  {_cell(rows.loc[m], digits)}" for m in methods]
    return "\n".join(lines) + "\n"


def markdown_rivals(table: pd.DataFrame) -> str:
    """Return the table as Markdown, a row a quantity and a column a method."""
    methods = list(table["method"].unique())
    lines = [_line("", methods), _line("---", ["---"] * len(methods))]
    for title, quantity, level, digits in SHOWN:
        rows = _rows(table, quantity, level)
        lines.append(_line(title, [_cell(rows.loc[m], digits) for m in methods]))
    return "\n".join(lines) + "\n"


def _rows(table: pd.DataFrame, quantity: str, level: float | None) -> pd.DataFrame:
    at = table["level"].isna() if level is None else table["level"] == level
    return table[(table["quantity"] == quantity) & at].set_index("method")


def _cell(row: pd.Series, digits: str) -> str:
    write: Callable[[float], str] = f"{{:{digits}}}".format
    template = f" {row['template']}" if row["template"] else ""
    return f"{write(row['value'])} ({write(row['lower'])} to {write(row['upper'])}){template}"


def _line(first: str, cells: list[str]) -> str:
    return f"| {' | '.join([first, *cells])} |"

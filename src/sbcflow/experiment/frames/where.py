"""Which rows of a frame of experiments are meant: an expression, values by column, or a function."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from math import isnan
from typing import TYPE_CHECKING, Any, TypeAlias

from sbcflow.errors import ExperimentError

if TYPE_CHECKING:
    import pandas as pd

Where: TypeAlias = "str | Mapping[str, Any] | Callable[[pd.DataFrame], Any] | None"
COLUMNS_SHOWN = 12
EVALUATION_ERRORS = (
    *(SyntaxError, NameError, TypeError, ValueError, AttributeError),
    *(LookupError, ArithmeticError, NotImplementedError),
)


def select(frame: pd.DataFrame, where: Where) -> pd.DataFrame:
    """Return the rows of ``frame`` that ``where`` means; a missing value is like nothing.

    Args:
        frame: the experiments, their names as the index.
        where: an expression as for ``DataFrame.query`` in which dotted columns stand as they are, as
            ``params.lr > 0.1 and metrics.accuracy >= .9`` (``time > "2026-05-27"`` is meant in UTC); or a
            value by column, a list for any of several, None for a missing one; or a function of the frame
            that returns true or false for each row.

    Raises:
        ExperimentError: there is no such column, or ``where`` does not say true or false for each row.
    """
    if where is None or frame.empty:
        return frame
    if isinstance(where, str):
        answers = _evaluate(frame, where)
    elif isinstance(where, Mapping):
        answers = _matches(frame, where)
    else:
        answers = where(frame)
    return frame[_mask(answers, len(frame))]


def no_column(name: str, columns: Collection[str]) -> ExperimentError:
    """Return the error for a column that is not there."""
    by_word = {word: column for column in columns for word in (column, column.partition(".")[2]) if word}
    near = dict.fromkeys(by_word[word] for word in difflib.get_close_matches(name, by_word, n=3))
    if near:
        return ExperimentError(f"no column {name!r}; the nearest: {', '.join(near)}")
    return ExperimentError(f"no column {name!r}; there are {shown(columns)}")


def shown(names: Collection[str]) -> str:
    """Return names in one line, or the first of many."""
    more = f" and {len(names) - COLUMNS_SHOWN} more" if len(names) > COLUMNS_SHOWN else ""
    return (", ".join(list(names)[:COLUMNS_SHOWN]) or "none") + more


def _evaluate(frame: pd.DataFrame, expression: str) -> Any:  # noqa: ANN401
    # pandas reads only identifiers, so other columns get one each.
    aliases = {
        column: f"column_{position}"
        for position, column in enumerate(frame.columns)
        if not column.isidentifier()
    }
    text = _aliased(expression, aliases, [str(frame.index.name), *frame.columns])
    try:
        # A date in the expression has no zone, and pandas compares it only with such.
        plain = frame.rename(columns=aliases).assign(time=frame["time"].dt.tz_localize(None))
        return plain.eval(text, engine="python", local_dict={}, global_dict={})
    except NameError as error:
        unknown = re.search(r"'(.+?)'", str(error))
        raise no_column(unknown[1] if unknown else expression, frame.columns) from None
    except EVALUATION_ERRORS as error:
        reason = str(error)
        # The last first: column_1 begins like column_12.
        for column, alias in reversed(aliases.items()):
            reason = reason.replace(alias, column)
        raise ExperimentError(f"where {expression!r}: {reason}") from None


def _aliased(expression: str, aliases: Mapping[str, str], columns: Collection[str]) -> str:
    """Return the expression with each dotted column replaced; what is inside quotes stays."""
    import pandas as pd

    known = "|".join(re.escape(column) for column in sorted(aliases, key=len, reverse=True)) or r"(?!)"
    token = re.compile(
        r"""(?P<text>'[^']*'|"[^"]*")|`(?P<quoted>[^`]*)`"""
        rf"|(?<![\w.])(?P<known>{known})(?!\w)(?:\.(?P<attribute>\w+))?"
        r"|(?<![\w.])(?P<unknown>(?:params|metrics)\.[\w./:]+)"
    )

    def replace(match: re.Match[str]) -> str:
        column, attribute = match["quoted"] or match["known"], match["attribute"]
        if match["text"]:
            return match[0]
        if match["unknown"] or column not in columns or (attribute and not hasattr(pd.Series, attribute)):
            raise no_column(match["quoted"] or match[0], columns)
        return aliases.get(column, column) + (f".{attribute}" if attribute else "")

    return token.sub(replace, expression)


def _matches(frame: pd.DataFrame, wanted: Mapping[str, Any]) -> list[bool]:
    answers = [True] * len(frame)
    for name, value in wanted.items():
        if name != frame.index.name and name not in frame.columns:
            raise no_column(name, [str(frame.index.name), *frame.columns])
        cells = frame.index if name == frame.index.name else frame[name]
        values = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
        answers = [
            answer and any(_is(cell, one) for one in values)
            for answer, cell in zip(answers, cells, strict=True)
        ]
    return answers


def _is(cell: Any, wanted: Any) -> bool:  # noqa: ANN401
    return is_missing(cell) if is_missing(wanted) else bool(cell == wanted)


def is_missing(value: Any) -> bool:  # noqa: ANN401
    """Whether a cell holds nothing: None, NaN, NaT or NA."""
    import pandas as pd

    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and isnan(value))


def _mask(answers: Any, count: int) -> list[bool]:  # noqa: ANN401
    import numpy as np

    found = list(answers) if isinstance(answers, Iterable) else []
    if len(found) != count or not all(isinstance(one, bool | np.bool_) or is_missing(one) for one in found):
        raise ExperimentError(f"where: must say true or false for each of the {count} experiments")
    return [not is_missing(one) and bool(one) for one in found]

"""What keeps a column of a data file from being a feature, and what its owner can do about it."""

from __future__ import annotations

import re
import shlex
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import infer_dtype, is_bool_dtype, is_numeric_dtype, is_string_dtype

from sbcflow.analysis.columns import Column

MOST_LEVELS = 50
# Text that names visitors may repeat a few; whole numbers of a wide range are nearly distinct by chance.
DISTINCT_TEXT, DISTINCT_NUMBERS = 0.9, 0.999
FEWEST_FOR_IDENTIFIER = 100
# Levels looked at to tell dates and numbers from other text.
N_SAMPLED = 1000
DATE_KINDS = ("date", "datetime", "datetime64")
TIME_OF_DAY = re.compile(r"(T|,? +)\d{1,2}:\d{2}.*$")
DATE_FORMATS = (
    *("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y"),
    *("%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%b %d, %Y", "%B %d, %Y"),
)


def find_fault(column: Column, *, named: bool) -> str | None:
    """Return why a column is no feature and what to do, in one line, or None where it is one.

    ``named`` says that its owner asked for it, so whole numbers that look like an identifier may pass.
    """
    values = column.values
    known = values.dropna().infer_objects()
    if known.empty:
        return f"all {len(values)} values are missing: {leave_out(column.name)}"
    if identifies(values) and not (named and is_numeric_dtype(known)):
        return f"looks like an identifier: {leave_out(column.name)}"
    faults = (_unfit(column, known), _missing(values, text=_is_category(known)))
    return "; ".join(fault for fault in faults if fault) or None


def leave_out(name: str) -> str:
    """Return the advice to leave out the column ``name``, as a shell takes it."""
    return f"leave it out with --exclude {shlex.quote(name)}"


def identifies(values: pd.Series[Any]) -> bool:
    """Return whether (nearly) all values are distinct, as an identifier's are; dates and fractions aside."""
    known = values.dropna().infer_objects()
    if len(known) < FEWEST_FOR_IDENTIFIER or _holds_dates(known):
        return False
    distinct = known.nunique() / len(known)
    if _is_text(known):
        return distinct >= DISTINCT_TEXT and _stray_text(known) is None
    if is_bool_dtype(known) or not is_numeric_dtype(known):
        return False
    return distinct >= DISTINCT_NUMBERS and bool((known % 1 == 0).all())


def _unfit(column: Column, known: pd.Series[Any]) -> str | None:
    """What is wrong with the values that are there."""
    if _holds_dates(known):
        return "looks like dates: turn it into a number known at assignment, as days since signup"
    if is_bool_dtype(known):
        return None
    if is_numeric_dtype(known):
        return _unfit_numbers(column)
    if _is_text(known):
        return _unfit_text(column, known)
    return f"must hold numbers, 0 and 1, or text, got {infer_dtype(known)}: {leave_out(column.name)}"


def _unfit_text(column: Column, known: pd.Series[Any]) -> str | None:
    n_levels = known.nunique()
    if n_levels <= MOST_LEVELS:
        return None
    stray = _stray_text(known)
    if stray is None:
        advice = f"merge some, or {leave_out(column.name)}"
        return f"has {n_levels} levels; at most {MOST_LEVELS} are allowed: {advice}"
    wrong = (column.values.astype(str).str.strip() == stray).to_numpy(dtype=bool)
    return column.fault(wrong, "must hold numbers alone, and nothing where one is missing")


def _unfit_numbers(column: Column) -> str | None:
    numbers = pd.to_numeric(column.values, errors="coerce").to_numpy(dtype=np.float64)
    return column.fault(np.isinf(numbers), "must hold finite numbers") or column.fault(
        np.abs(numbers) > np.finfo(np.float32).max, "must be within 32-bit floats"
    )


def _missing(values: pd.Series[Any], *, text: bool) -> str | None:
    missing = values.isna().to_numpy()
    if not missing.any():
        return None
    found = (
        f"{int(missing.sum())} of {len(values)} values are missing, the first in row {missing.argmax() + 1}"
    )
    if text:
        return f"{found}: fill them with a level such as 'unknown'"
    return f"{found}: fill them (as with the median) and add a column that is 1 where they were missing"


def _is_text(known: pd.Series[Any]) -> bool:
    return bool(is_string_dtype(known))


def _is_category(known: pd.Series[Any]) -> bool:
    return _is_text(known) and not _holds_dates(known) and _stray_text(known) is None


def _holds_dates(known: pd.Series[Any]) -> bool:
    """Whether values are dates, or text most of whose levels read as dates in one form."""
    if infer_dtype(known) in DATE_KINDS:
        return True
    if not _is_text(known):
        return False
    levels = _sampled(known).str.replace(TIME_OF_DAY, "", regex=True)
    return any(
        pd.to_datetime(levels, format=form, errors="coerce").notna().mean() > 0.5 for form in DATE_FORMATS
    )


def _stray_text(known: pd.Series[Any]) -> str | None:
    """The first level that is no number in text most of whose levels are."""
    levels = _sampled(known)
    is_text = pd.to_numeric(levels, errors="coerce").isna()
    return str(levels[is_text].iloc[0]) if 0 < is_text.mean() < 0.5 else None


def _sampled(known: pd.Series[Any]) -> pd.Series[Any]:
    return pd.Series(known.unique()[:N_SAMPLED].astype(str)).str.strip()

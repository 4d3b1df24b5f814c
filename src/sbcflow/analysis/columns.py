"""Columns of a data file as the parts of a trial: arms, outcomes and features, each checked."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from sbcflow.data import BoolArray, Feature, Float32Array, FloatArray, IntArray
from sbcflow.errors import DataError

MOST_ARMS = 20


@dataclass(frozen=True)
class Column:
    """One column of the data file ``path``; errors name both."""

    path: Path
    values: pd.Series[Any]

    @property
    def name(self) -> str:
        return str(self.values.name)

    def error(self, message: str) -> DataError:
        """Return the error that says ``message`` of this column."""
        return DataError(f"{self.path}: column {self.name}: {message}")

    def fault(self, wrong: BoolArray, allowed: str) -> str | None:
        """Return a line that names the first row that is ``wrong`` (n,), None where none is."""
        if not wrong.any():
            return None
        row = int(wrong.argmax())
        return f"{allowed}, got {_shown(self.values.iloc[row])} in row {row + 1}"

    def refuse(self, wrong: BoolArray, allowed: str) -> None:
        """Raise an error that names the first row that is ``wrong`` (n,), if any."""
        fault = self.fault(wrong, allowed)
        if fault:
            raise self.error(fault)

    def numbers(self) -> FloatArray:
        """Return the column as finite numbers, (n,) float64.

        Raises:
            DataError: a value is none.
        """
        values = pd.to_numeric(self.values, errors="coerce").to_numpy(dtype=np.float64)
        self.refuse(~np.isfinite(values), "must hold finite numbers")
        return values


def read_arms(column: Column, control: str) -> tuple[IntArray, tuple[str, ...]]:
    """Return each visitor's arm (n,) int32 and the arms' names: control, then the others sorted.

    Raises:
        DataError: control is no value of the column, or there is no other, or far too many.
    """
    text = column.values.map(_arm_text).to_numpy(dtype=object)
    names = sorted(set(text))
    if len(names) > MOST_ARMS:
        raise column.error(f"has {len(names)} different values; at most {MOST_ARMS} arms are possible")
    if control not in names:
        near = difflib.get_close_matches(control, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise column.error(f"no visitor has the control value {control!r}{hint} (arms: {', '.join(names)})")
    if len(names) == 1:
        raise column.error(f"has only the arm {control!r}; must have control and at least one treatment")
    ordered = (control, *(name for name in names if name != control))
    codes = {name: code for code, name in enumerate(ordered)}
    return np.array([codes[name] for name in text], dtype=np.int32), ordered


def read_outcomes(converted: Column, revenue: Column) -> tuple[BoolArray, FloatArray]:
    """Return who converted (n,) bool, and revenue (n,) float64 in the currency's unit.

    Raises:
        DataError: a conversion is not 0 or 1, a revenue is negative, or one comes without the other.
    """
    conversions = pd.to_numeric(converted.values, errors="coerce").to_numpy(dtype=np.float64)
    converted.refuse(~np.isin(conversions, (0.0, 1.0)), "must be 0 or 1 (or true and false)")
    who, amount = conversions == 1.0, revenue.numbers()
    revenue.refuse(amount < 0, "must not be negative")
    revenue.refuse(~who & (amount > 0), f"must be 0 where {converted.values.name} is 0")
    revenue.refuse(who & (amount == 0), f"must be positive where {converted.values.name} is 1")
    n_converted = int(who.sum())
    if not 2 <= n_converted < len(who):
        raise converted.error(
            f"{n_converted} of {len(who)} visitors converted; at least 2 must have, and one must not"
        )
    return who, amount


def read_feature(column: Column) -> tuple[Feature, Float32Array]:
    """Return a feature without fault and its values (n,) float32: codes of sorted levels where it holds text.

    True and false, and numbers that are all 0 or 1, are binary; other numbers are continuous.
    """
    values, name = column.values, column.name
    if is_bool_dtype(values):
        return Feature(name, "binary"), values.to_numpy(dtype=np.float32)
    if is_numeric_dtype(values):
        numbers = column.numbers()
        binary = bool(np.isin(numbers, (0.0, 1.0)).all())
        return Feature(name, "binary" if binary else "continuous"), numbers.astype(np.float32)
    codes, levels = pd.factorize(values, sort=True)
    return Feature(name, "categorical", tuple(map(str, levels))), codes.astype(np.float32)


def _arm_text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shown(value: object) -> str:
    return repr(value.item() if isinstance(value, np.generic) else value)

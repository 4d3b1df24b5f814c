"""What a correction changed and what it left as it was, in words."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from sbcflow.calibration.corrections import LAYERED
from sbcflow.calibration.regime.correction import REGIME
from sbcflow.data import BoolArray
from sbcflow.levels import level_suffix

INTERVAL_LEVELS = (0.5, 0.8, 0.9, 0.95)
SHOWN_LEVEL = 0.9
BY_METHOD = MappingProxyType({LAYERED: "by the layered rule", REGIME: "by regime"})


@dataclass(frozen=True)
class Widths:
    """Mean width of 90% intervals of effects over visitors and treatments, in revenue per visitor.

    ``calibrated`` is None without a correction.
    """

    raw: float
    calibrated: float | None


def kept_raw(effects: pd.DataFrame, level: float) -> BoolArray:
    """Return whether each row's calibrated interval is the raw one, (n_rows,); False without a correction."""
    suffix = level_suffix(level)
    same = [
        (effects[f"calibrated_{end}_{suffix}"] == effects[f"raw_{end}_{suffix}"]).to_numpy(dtype=np.bool_)
        for end in ("lower", "upper")
    ]
    return np.asarray(same[0] & same[1], dtype=np.bool_)


def on_averages(effects: pd.DataFrame) -> str:
    """Return how many intervals of effects.csv the correction left as they were, and why."""
    n_kept = sum(int(kept_raw(effects, level).sum()) for level in INTERVAL_LEVELS)
    n, levels = len(effects) * len(INTERVAL_LEVELS), f"{len(INTERVAL_LEVELS)} levels"
    of = f"the {n} intervals of averages (everybody and segments, {levels})"
    if n_kept == 0:
        return f"The correction widened each of {of}."
    many = f"All of {of} are" if n_kept == n else f"{n_kept} of {of} {'are' if n_kept > 1 else 'is'}"
    return (
        f"{many} raw, not calibrated: the correction would narrow them, and it was fitted on single points, "
        "so it may only widen averages."
    )


def on_visitors(widths: Widths, method: str) -> str:
    """Return what a method did to the intervals of single visitors; "" without a correction."""
    if widths.calibrated is None:
        return ""
    return (
        f"Intervals of single visitors (cate.parquet) did change, {BY_METHOD[method]}: 90% intervals are "
        f"{widths.raw:.3g} wide raw and {widths.calibrated:.3g} calibrated, on average."
    )

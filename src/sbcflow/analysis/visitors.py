"""The effect on each visitor, a slice of them at a time so that memory does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from sbcflow.analysis.changes import SHOWN_LEVEL, Widths
from sbcflow.analysis.effects import interval_columns
from sbcflow.analysis.points import PointRules
from sbcflow.calibration.intervals import Ends
from sbcflow.data import Covariates, FloatArray, TestPoints, Trial
from sbcflow.estimators import Posterior
from sbcflow.files import replacing
from sbcflow.levels import level_suffix
from sbcflow.scoring import order_draws
from sbcflow.terminal import track

# With 2,000 draws a slice takes about 100 MB, in float64.
SLICE = 4096


def write_visitors(path: Path, trial: Trial, posterior: Posterior, rules: PointRules | None) -> Widths:
    """Write cate.parquet, a row a visitor in the data's order; return the mean widths of its intervals.

    Columns: ``row`` (0, 1, ...), then for each treatment, as ``<arm>.<name>``: mean, sd, raw_lower_90,
    raw_upper_90, calibrated_lower_90, calibrated_upper_90 (float64, in revenue per visitor; the last
    two, by ``rules``, are null without them).
    """
    kinds = ("raw", "calibrated") if rules else ("raw",)
    totals = dict.fromkeys(kinds, 0.0)
    with replacing(path) as stream:
        batches = _batches(trial, posterior, rules)
        first = next(batches)
        with parquet.ParquetWriter(stream, first.schema) as writer:
            for batch in chain([first], batches):
                writer.write_batch(batch)
                for kind in kinds:
                    totals[kind] += _total_width(batch, trial.arm_names[1:], kind)
    n_intervals = trial.n_visitors * (trial.n_arms - 1)
    means = {kind: total / n_intervals for kind, total in totals.items()}
    return Widths(means["raw"], means.get("calibrated"))


def _total_width(batch: pa.RecordBatch, treatments: Sequence[str], kind: str) -> float:
    lower, upper = (f"{kind}_{end}_{level_suffix(SHOWN_LEVEL)}" for end in ("lower", "upper"))
    widths = (
        batch.column(f"{arm}.{upper}").to_numpy() - batch.column(f"{arm}.{lower}").to_numpy()
        for arm in treatments
    )
    return float(sum(width.sum() for width in widths))


def _batches(trial: Trial, posterior: Posterior, rules: PointRules | None) -> Iterator[pa.RecordBatch]:
    treatments = range(1, trial.n_arms)
    calibrations = {k: rules(k) if rules else None for k in treatments}
    starts = range(0, trial.n_visitors, SLICE)
    for start in track(starts, "effects on each visitor", len(starts)):
        visitors = trial.covariates.take(slice(start, start + SLICE))
        columns = {"row": pa.array(np.arange(start, start + len(visitors), dtype=np.int64))}
        for k in treatments:
            found = _effects_of(visitors, k, posterior, calibrations[k])
            columns |= {
                f"{trial.arm_names[k]}.{name}": pa.array(values, from_pandas=True)
                for name, values in found.items()
            }
        yield pa.RecordBatch.from_pydict(columns)


def _effects_of(
    visitors: Covariates,
    treatment: int,
    posterior: Posterior,
    calibrate: Callable[[FloatArray], Ends] | None,
) -> dict[str, FloatArray]:
    arm = np.full(len(visitors), treatment, dtype=np.int32)
    ordered = order_draws(posterior.cate(TestPoints(visitors, arm)))
    return {
        "mean": ordered.mean(axis=1),
        "sd": ordered.std(axis=1, ddof=1),
        **interval_columns(ordered, SHOWN_LEVEL, calibrate),
    }

"""Average effects of each treatment, on everybody and on segments, with raw and calibrated intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import nan, sqrt

import numpy as np
import numpy.typing as npt
import pandas as pd

from sbcflow.analysis.changes import INTERVAL_LEVELS
from sbcflow.calibration.intervals import Ends, outer_ends
from sbcflow.calibration.layered import LayeredCorrection
from sbcflow.calibration.regime import Observed
from sbcflow.data import BoolArray, Covariates, FloatArray, Segment, Trial, everybody, segments_of
from sbcflow.estimators import Posterior
from sbcflow.levels import level_suffix
from sbcflow.scoring import central_interval, order_draws

NOT_NARROWED = "raw, not narrowed: "

StrArray = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Regime:
    """Whether an experiment is like those that the correction was fitted on.

    ``ok`` is None without a correction; ``messages`` say what lies outside, ``advice`` which sweep to run.
    ``beyond`` says of whom posteriors show what those of the train sweep did not, where it asks for that.
    """

    ok: bool | None
    messages: tuple[str, ...] = ()
    advice: str = ""
    beyond: tuple[str, ...] = ()


def observed_of(trial: Trial) -> Observed:
    """Return what a trial shows of itself, in the terms of a correction's regime."""
    return Observed(
        n_visitors=trial.n_visitors,
        conversion_rate=trial.conversion_rate,
        n_arms=trial.n_arms,
        severity_sd=trial.severity_sd,
    )


def check_regime(trial: Trial, correction: LayeredCorrection | None, gaps: tuple[str, ...] = ()) -> Regime:
    """Return whether a trial lies inside the regime of the correction; ``gaps`` are more reasons why not."""
    if correction is None:
        return Regime(None)
    observed = observed_of(trial)
    messages = (*gaps, *correction.regime.check(observed))
    advice = correction.regime.sweep_to_run(observed)
    if gaps and not advice:
        advice = "take a correction that was fitted with these values, or run train and test sweeps with them"
    return Regime(not messages, messages, advice)


def effect_table(
    trial: Trial,
    posterior: Posterior,
    correction: LayeredCorrection | None,
    gaps: tuple[str, ...] = (),
) -> pd.DataFrame:
    """Return effects.csv: for each treatment a row for everybody, then one for each segment.

    All effects are in revenue per visitor. ``diff_in_means`` is the treatment's mean revenue less
    control's among the row's visitors, ``diff_in_means_se`` its standard error (empty with fewer than
    two visitors in either arm); ``ate`` and ``sd`` are posterior mean and standard deviation of the
    mean CATE over all visitors of the row, whatever their arm. Calibrated intervals are never narrower
    than raw ones here, and empty without a correction; ``calibration_rule_<level>`` says what was done.
    """
    covariates = trial.covariates
    segments = (everybody(covariates), *segments_of(covariates))
    draws = posterior.average_cate(covariates, segments)
    ranges = [_range_of(segment, covariates) for segment in segments]
    rows = [
        {
            "arm": trial.arm_names[k],
            "segment": segment.name,
            "segment_range": span,
            **_plain_comparison(trial, segment.member, k),
        }
        for k in range(1, trial.n_arms)
        for segment, span in zip(segments, ranges, strict=True)
    ]
    by_row = draws.transpose(1, 0, 2).reshape(len(rows), -1)
    regime = check_regime(trial, correction, gaps)
    return pd.DataFrame(rows).assign(
        **_posterior_columns(by_row, correction),
        regime_ok="" if regime.ok is None else str(regime.ok).lower(),
        regime_messages="; ".join(filter(None, (*regime.messages, regime.advice))),
        converged=str(bool(posterior.diagnostics()["converged"])).lower(),
    )


def interval_columns(
    ordered: FloatArray, level: float, calibrate: Callable[[FloatArray], Ends] | None
) -> dict[str, FloatArray]:
    """Return raw and calibrated ends (n_points,) at ``level``, by column name.

    ``ordered`` (n_points, n_draws) holds each point's draws ascending. Calibrated ends are those that
    ``calibrate`` gives of them, NaN where it is None.
    """
    nothing = np.full(len(ordered), nan)
    raw = central_interval(ordered, level)
    calibrated = calibrate(ordered) if calibrate else (nothing, nothing)
    return {
        f"{kind}_{end}_{level_suffix(level)}": values
        for kind, ends in (("raw", raw), ("calibrated", calibrated))
        for end, values in zip(("lower", "upper"), ends, strict=True)
    }


def _posterior_columns(
    draws: FloatArray, correction: LayeredCorrection | None
) -> dict[str, FloatArray | StrArray | str]:
    ordered = order_draws(draws)
    columns: dict[str, FloatArray | StrArray | str] = {
        "ate": draws.mean(axis=1),
        "sd": draws.std(axis=1, ddof=1),
    }
    for level in INTERVAL_LEVELS:
        suffix, rule = level_suffix(level), correction.rule(level) if correction else None
        ends = interval_columns(ordered, level, rule.read if rule else None)
        columns |= ends | _never_narrower(ends, suffix)
        done = _what_was_done(ends, suffix, rule.regime) if rule else ""
        columns[f"calibration_rule_{suffix}"] = done
    return columns


def _never_narrower(ends: dict[str, FloatArray], suffix: str) -> dict[str, FloatArray]:
    """Return the calibrated ends, moved out to the raw ones where those lie further out.

    The correction is fitted on single points. What makes their intervals too wide need not make those
    of averages so (docs/decisions/0009), and an interval may not be narrowed on such grounds.
    """
    lower, upper = f"calibrated_lower_{suffix}", f"calibrated_upper_{suffix}"
    raw = ends[f"raw_lower_{suffix}"], ends[f"raw_upper_{suffix}"]
    return dict(zip((lower, upper), outer_ends((ends[lower], ends[upper]), raw), strict=True))


def _what_was_done(ends: dict[str, FloatArray], suffix: str, rule: str) -> StrArray:
    """Return the rule of each interval (n_rows,), or which of its ends stay raw as the rule would narrow."""
    lower = ends[f"calibrated_lower_{suffix}"] > ends[f"raw_lower_{suffix}"]
    upper = ends[f"calibrated_upper_{suffix}"] < ends[f"raw_upper_{suffix}"]
    return np.select(
        [lower & upper, lower, upper],
        [f"{NOT_NARROWED}{rule}", f"lower end {NOT_NARROWED}{rule}", f"upper end {NOT_NARROWED}{rule}"],
        rule,
    )


def _plain_comparison(trial: Trial, member: BoolArray, treatment: int) -> dict[str, float | int]:
    """Counts of both arms among ``member`` (n,), and the difference of their mean revenues."""
    control, treated = (member & (trial.arm == k) for k in (0, treatment))
    difference, error = difference_in_means(trial.revenue[control], trial.revenue[treated])
    return {
        "n_control": int(control.sum()),
        "n_treatment": int(treated.sum()),
        "converted_control": int(trial.converted[control].sum()),
        "converted_treatment": int(trial.converted[treated].sum()),
        "diff_in_means": difference,
        "diff_in_means_se": error,
    }


def difference_in_means(control: FloatArray, treated: FloatArray) -> tuple[float, float]:
    """Return mean(treated) - mean(control) and its standard error, variances unpooled.

    The difference is NaN where an arm is empty, the error where one has fewer than two visitors.
    """
    sizes = len(control), len(treated)
    difference = float(treated.mean() - control.mean()) if min(sizes) >= 1 else nan
    if min(sizes) < 2:
        return difference, nan
    return difference, sqrt(sum(float(arm.var(ddof=1)) / len(arm) for arm in (control, treated)))


def _range_of(segment: Segment, covariates: Covariates) -> str:
    """The smallest and largest value in a third of a continuous feature; empty for other segments."""
    for column, feature in enumerate(covariates.features):
        if feature.kind == "continuous" and segment.name.startswith(f"{feature.name}=third "):
            values = covariates.values[segment.member, column]
            low, high = values.min(), values.max()
            return f"{low:g} to {high:g}" if low < high else f"{low:g}"
    return ""

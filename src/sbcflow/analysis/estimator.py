"""Whether a correction was fitted on the fits of the estimator that it is now to correct."""

from __future__ import annotations

from sbcflow.calibration.layered import LayeredCorrection
from sbcflow.inspection.values import Difference, differences, shown
from sbcflow.params import Params


def estimator_gaps(params: Params, correction: LayeredCorrection | None) -> tuple[str, ...]:
    """Return a sentence for each value of the estimator that differs from the sweep's; none where all agree.

    A correction that does not tell what it was fitted on (one of pytyche's, or an older one) says nothing.
    """
    if correction is None or correction.fitted_by is None:
        return ()
    here = params.estimator_settings()
    if here["estimator"] != correction.fitted_by.get("estimator"):
        here, there = {"estimator": here["estimator"]}, {"estimator": correction.fitted_by.get("estimator")}
        return tuple(map(_sentence, differences(there, here)))
    return tuple(map(_sentence, differences(correction.fitted_by, here)))


def _sentence(gap: Difference) -> str:
    return f"{gap.name}: {shown(gap.after)} here, {shown(gap.before)} where the correction was fitted"

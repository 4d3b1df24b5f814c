"""How the intervals of single visitors are corrected: by the layered rule, or by regime."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sbcflow.analysis.changes import SHOWN_LEVEL
from sbcflow.calibration.intervals import Ends
from sbcflow.calibration.layered import LayeredCorrection
from sbcflow.calibration.regime.correction import N_SAMPLE, RegimeCorrection
from sbcflow.calibration.regime.observables import heterogeneity_of
from sbcflow.data import FloatArray, TestPoints, Trial
from sbcflow.estimators import Posterior
from sbcflow.scoring import order_draws

# From a treatment to what gives the ends (n_points,) at ``SHOWN_LEVEL`` of ordered draws (n_points, n_draws).
PointRules = Callable[[int], Callable[[FloatArray], Ends]]
MOST = 0.5
# By observable: what makes a sweep's posteriors go further.
WIDER = {"signal": " (of the family v2 generators.v2.conversion_effect sets how large effects are)"}


def layered_points(correction: LayeredCorrection) -> PointRules:
    """Return the layered rule, the same for every treatment."""
    rule = correction.rule(SHOWN_LEVEL)
    return lambda _: rule.read


def regime_points(
    correction: RegimeCorrection, trial: Trial, posterior: Posterior, *, inside: bool
) -> PointRules:
    """Return the rules by regime: the visitors of one treatment are the points of one fit.

    Its heterogeneity is that of up to ``N_SAMPLE`` visitors, evenly spaced. Not ``inside`` the regime, no
    end is nearer than the raw one.
    """

    def rules(treatment: int) -> Callable[[FloatArray], Ends]:
        heterogeneity = heterogeneity_of(_sample(trial, posterior, treatment))
        return lambda ordered: correction.see(ordered, heterogeneity, no_narrower=not inside)(SHOWN_LEVEL)

    return rules


def beyond_the_sweep(correction: RegimeCorrection, trial: Trial, posterior: Posterior) -> tuple[str, ...]:
    """Return a sentence a treatment and observable in which most visitors lie beyond the train sweep."""
    found = []
    for k, arm in enumerate(trial.arm_names[1:], start=1):
        for name, share in correction.beyond(_sample(trial, posterior, k)).items():
            if share > MOST:
                found.append(
                    f"{arm}: {share:.0%} of the visitors' posteriors lie beyond those of the train sweep in "
                    f"{name}; by regime they are corrected as those at its edge are{WIDER.get(name, '')}"
                )
    return tuple(found)


def _sample(trial: Trial, posterior: Posterior, treatment: int) -> FloatArray:
    """Ordered draws of up to ``N_SAMPLE`` visitors, evenly spaced, under a treatment."""
    step = max(1, trial.n_visitors // N_SAMPLE)
    some = trial.covariates.take(slice(None, None, step))
    return order_draws(posterior.cate(TestPoints(some, np.full(len(some), treatment, dtype=np.int32))))

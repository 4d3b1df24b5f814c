"""Fits whose coverage by cell is known in closed form, and readings of their conditional scorecard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import norm

from sbcflow.calibration.conditional.averages import AverageEffects, never_narrowed
from sbcflow.calibration.conditional.card import ConditionalCard, conditional_card
from sbcflow.calibration.conditional.collect import Collector
from sbcflow.calibration.evaluate import Method, TestFit
from sbcflow.params import EvaluationSettings
from sbcflow.scoring import central_interval

SETTINGS = EvaluationSettings(id="evaluation", n_bootstrap=200, seed=2)
# Draws that are a normal's quantiles where numpy's rule looks for them: their intervals are the normal's.
GRID = norm.ppf(np.clip(np.arange(1000) / 999, 2e-4, 1 - 2e-4))


def raw(ordered):
    return lambda level: central_interval(ordered, level)


def scaled(factor: float) -> Method:
    """Raw intervals with their half-widths about the posterior mean times a factor."""

    def see(ordered):
        mean = ordered.mean(axis=1)

        def ends(level):
            lower, upper = central_interval(ordered, level)
            return mean - factor * (mean - lower), mean + factor * (upper - mean)

        return ends

    return see


METHODS: Mapping[str, Method] = {"raw": raw, "doubled": scaled(2.0), "halved": scaled(0.5)}


def make_fit(mean, sd, truth, index: int = 0, template: str = "constant", averages=None, **more) -> TestFit:
    """A fit whose posterior at each point is N(mean, sd^2)."""
    draws = np.asarray(mean)[:, None] + np.broadcast_to(sd, np.shape(mean))[:, None] * GRID
    known = {"n_visitors": 2000, "conversion_rate": 0.05, "converged": True} | more
    return TestFit(
        f"{index:04d}-abcdef01",
        template=template,
        draws=draws,
        truth=np.asarray(truth),
        averages=averages,
        **known,
    )


def make_averages(mean, sd, truth, share) -> AverageEffects:
    """Average effects (S, K-1) whose posteriors are N(mean, sd^2)."""
    draws = np.asarray(mean)[..., None] + sd * GRID
    return AverageEffects(draws.astype(np.float32), np.asarray(truth), np.asarray(share))


def card_of(fits: Sequence[TestFit], methods: Mapping[str, Method] = METHODS) -> ConditionalCard:
    collected = Collector(methods, never_narrowed(methods))
    assert [*collected.watch(fits)] == [*fits]
    return conditional_card(collected, SETTINGS)


def row(
    card: ConditionalCard, dimension: str, cell: str, method="raw", target="visitor", level=0.9
) -> pd.Series:
    rows = card.cells(dimension, target)
    found = rows[(rows["cell"] == cell) & (rows["method"] == method) & (rows["level"] == level)]
    assert len(found) == 1
    return found.iloc[0]

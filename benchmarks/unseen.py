"""A family of experiments that no correction was trained on: ``generator_family: benchmarks.unseen:family``.

Nothing of it is in the catalog v2: skewed covariates of other kinds, conversion by a threshold, spend with
a power-law tail (Lomax) in place of a log-normal one, and a treatment that works on visitors within a disc
of two covariates, harms outside it, and moves spend on one market alone, each in turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sbcflow.data import Covariates, Feature, FloatArray, Simulation, TestPoints, Trial

MARKETS = ("home", "near", "far")
FEATURES = (
    Feature("recency", "continuous"),
    Feature("sessions", "continuous"),
    Feature("price_index", "continuous"),
    Feature("app", "binary"),
    Feature("market", "categorical", MARKETS),
)
Knobs = Mapping[str, float | int | str]


def family(settings: Mapping[str, Any]) -> Discs:
    """Return the family; ``tail_index`` in the settings is the range of the Lomax index, above 1."""
    low, high = settings["tail_index"]
    return Discs(float(low), float(high))


@dataclass(frozen=True)
class Discs:
    """Trials of two arms whose effect is a disc."""

    heaviest: float
    lightest: float

    def draw_knobs(self, seed: int, replicate: int) -> dict[str, float | int]:
        """Draw conversion rate, tail index, effect sizes and the disc of a trial."""
        rng = np.random.default_rng([seed, 0])
        return {
            "base_rate": float(np.exp(rng.uniform(np.log(0.015), np.log(0.08)))),
            "tail_index": float(rng.uniform(self.heaviest, self.lightest)),
            "mean_spend": float(np.exp(rng.uniform(3.2, 4.6))),
            "inside": float(rng.uniform(0.1, 0.5)),
            "outside": float(-rng.uniform(0.0, 0.15)),
            "spend": float(rng.uniform(-0.1, 0.2)),
            "centre": float(rng.uniform(-1.0, 1.0)),
            "market": replicate % len(MARKETS),
        }

    def simulate(self, seed: int, knobs: Knobs, n_visitors: int, n_test: int) -> Simulation:
        """Simulate a trial of ``n_visitors`` and ``n_test`` test points with their truths."""
        visitors = _draw(np.random.default_rng([seed, 1]), n_visitors)
        points = _draw(np.random.default_rng([seed, 2]), n_test)
        truth, at_points = _Surfaces.of(visitors, knobs), _Surfaces.of(points, knobs)
        rng = np.random.default_rng([seed, 3])
        arm = rng.integers(0, 2, n_visitors, dtype=np.int32)
        converted = rng.random(n_visitors) < truth.rate[arm, np.arange(n_visitors)]
        tail = float(knobs["tail_index"])
        # A Lomax variable of mean 1; a floor keeps every revenue above zero.
        noise = 0.02 + 0.98 * (tail - 1) * rng.pareto(tail, n_visitors)
        revenue = np.where(converted, truth.spend[arm, np.arange(n_visitors)] * noise, 0.0)
        return Simulation(
            trial=Trial(visitors, arm, converted, revenue, ("control", "treatment")),
            test_points=TestPoints(points, np.ones(n_test, dtype=np.int32)),
            test_cate=at_points.cate,
            visitor_cate=truth.cate[:, None],
            parameters={},
        )


@dataclass(frozen=True)
class _Surfaces:
    """Conversion rate and mean spend in both arms, (2, n) float64 each."""

    rate: FloatArray
    spend: FloatArray

    @classmethod
    def of(cls, covariates: Covariates, knobs: Knobs) -> _Surfaces:
        recency, sessions, price, app, market = covariates.values.T.astype(np.float64)
        value = {name: float(knob) for name, knob in knobs.items()}
        logit = np.log(value["base_rate"]) + 0.8 * (sessions > 2) - 0.3 * np.log1p(recency) + 0.4 * app
        disc = (price - value["centre"]) ** 2 + (np.log1p(recency) - 1) ** 2 < 1
        moved = np.where(disc, value["inside"], value["outside"])
        rate = 1 / (1 + np.exp(-np.stack([logit, logit + moved])))
        log_spend = np.log(value["mean_spend"]) + 0.3 * np.tanh(price) + 0.2 * (market == 0)
        spend = np.exp(np.stack([log_spend, log_spend + value["spend"] * (market == value["market"])]))
        return cls(rate, spend)

    @property
    def cate(self) -> FloatArray:
        revenue = self.rate * self.spend
        effect: FloatArray = revenue[1] - revenue[0]
        return effect


def _draw(rng: np.random.Generator, n: int) -> Covariates:
    columns = (
        rng.exponential(3.0, n),
        rng.poisson(1.5, n),
        rng.standard_t(5, n),
        rng.random(n) < 0.35,
        rng.choice(3, n, p=(0.7, 0.2, 0.1)),
    )
    return Covariates(FEATURES, np.stack(columns, axis=1).astype(np.float32))

"""An estimator to change: params.yaml names it as ``mymodel:build``. `sbcflow check-estimator` tries it.

This one knows no covariates: it gives every visitor the mean effect of their arm, by a Bayesian bootstrap of
the difference in mean revenue (Rubin 1981).

A trial has ``arm`` (n,) in 0..K-1 (0 is control), ``converted`` (n,) bool, ``revenue`` (n,), ``covariates``.
Their ``values`` (n, n_features) stand in the order of ``covariates.features``: each a name, a kind
(continuous, binary, categorical) and, where categorical, the names of the levels that its values count.
``points`` has covariates and an arm a point. A posterior may also have ``average_cate``,
``hyperparameters`` and ``diagnostics``; without them sbcflow averages ``cate``, ranks nothing, and takes the
fit for converged: `python -m pydoc sbcflow.own.estimator`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sbcflow.data import TestPoints, Trial


@dataclass(frozen=True)
class Posterior:
    """Draws (K-1, n_draws) of each treatment's mean effect, in revenue per visitor."""

    effects: NDArray[np.float64]

    def cate(self, points: TestPoints) -> NDArray[np.float64]:
        """Return draws (n_points, n_draws): of every point, its own posterior draws."""
        return self.effects[points.arm - 1]


@dataclass(frozen=True)
class Estimator:
    """Its settings are those of ``own.estimator`` in params.yaml."""

    n_draws: int = 1000

    def fit(self, trial: Trial, seed: int) -> Posterior:
        """Fit a trial; all that is random comes from ``seed``."""
        rng = np.random.default_rng(seed)
        means = [self._mean(trial.revenue[trial.arm == arm], rng) for arm in range(trial.n_arms)]
        return Posterior(np.stack([mean - means[0] for mean in means[1:]]))

    def _mean(self, revenue: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw (n_draws,) means of an arm: those who spent with weights of their own, the others together."""
        spent = revenue[revenue > 0]
        weights = rng.standard_exponential((self.n_draws, len(spent)))
        others = rng.standard_gamma(max(len(revenue) - len(spent), 1), self.n_draws)
        return (weights @ spent) / (weights.sum(axis=1) + others)


def build(settings: Mapping[str, Any]) -> Estimator:
    """Return the estimator; an unknown setting is an error, as a call with a wrong argument is."""
    return Estimator(**settings)

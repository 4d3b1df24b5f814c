"""What many people do, by scikit-learn: two regressions an arm, and intervals by a bootstrap of visitors.

Logistic regression of who converts, ridge regression of the converters' log revenue with the lognormal mean,
each arm by itself (a T-learner). A visitor's effect is ``p1 m1 - p0 m0``. The intervals know of sampling
alone: what the regressions cannot express, and what the penalties pull towards zero, no bootstrap sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge

from sbcflow.data import Covariates, TestPoints, Trial
from sbcflow.errors import EstimationError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Columns:
    """The regressors: levels as 0 and 1, everything standardised as in the trial; ``mean``, ``sd`` (p,)."""

    mean: Array
    sd: Array

    @classmethod
    def of(cls, covariates: Covariates) -> Columns:
        """Take centre and spread from a trial's visitors; a column that never varies stays at zero."""
        raw = _raw(covariates)
        sd = raw.std(axis=0)
        return cls(raw.mean(axis=0), np.where(sd > 0, sd, np.inf))

    def at(self, covariates: Covariates) -> Array:
        """Return the regressors (n, p)."""
        return (_raw(covariates) - self.mean) / self.sd


def _raw(covariates: Covariates) -> Array:
    columns = []
    for feature, values in zip(covariates.features, covariates.values.T.astype(np.float64), strict=True):
        if feature.kind == "categorical":
            columns += [values == code for code in range(1, len(feature.levels))]
        else:
            columns.append(values)
    return np.stack(columns, axis=1).astype(np.float64)


@dataclass(frozen=True)
class Arm:
    """An arm's regressions in each bootstrap sample: coefficients (p, n_bootstrap), shifts (n_bootstrap,).

    ``severity_shift`` has the half of the residual variance in it that makes the mean of a lognormal.
    """

    rate: Array
    rate_shift: Array
    severity: Array
    severity_shift: Array

    def revenue(self, x: Array) -> Array:
        """Return the expected revenue per visitor (n, n_bootstrap) at regressors (n, p)."""
        odds = np.exp(-(x @ self.rate + self.rate_shift))
        return np.exp(x @ self.severity + self.severity_shift) / (1 + odds)


@dataclass(frozen=True)
class Posterior:
    """The regressions of every arm; a bootstrap sample takes the place of a posterior draw."""

    columns: Columns
    arms: tuple[Arm, ...]

    def cate(self, points: TestPoints) -> Array:
        """Return the effect (n_points, n_bootstrap) of each point under its arm, in each sample."""
        x = self.columns.at(points.covariates)
        effects = -self.arms[0].revenue(x)
        for k, arm in enumerate(self.arms[1:], start=1):
            asked = points.arm == k
            effects[asked] += arm.revenue(x[asked])
        return effects


@dataclass(frozen=True)
class TwoPart:
    """Settings of ``own.estimator``: bootstrap samples, and the penalties (scikit-learn's defaults)."""

    n_bootstrap: int = 200
    C: float = 1.0
    alpha: float = 1.0

    def fit(self, trial: Trial, seed: int) -> Posterior:
        """Fit each arm to ``n_bootstrap`` resamples of its visitors.

        Raises:
            EstimationError: fewer than two visitors of an arm converted, or all did.
        """
        columns, rng = Columns.of(trial.covariates), np.random.default_rng(seed)
        x = columns.at(trial.covariates)
        members = [trial.arm == k for k in range(trial.n_arms)]
        for name, member in zip(trial.arm_names, members, strict=True):
            if not 2 <= trial.converted[member].sum() < member.sum():
                raise EstimationError(f"arm {name}: two visitors have to convert, and one has not to")
        return Posterior(columns, tuple(self._arm(x[m], trial.revenue[m], rng) for m in members))

    def _arm(self, x: Array, revenue: Array, rng: np.random.Generator) -> Arm:
        fits = [self._regressions(x, revenue, weight) for weight in self._weights(revenue > 0, rng)]
        rate, rate_shift, severity, severity_shift = zip(*fits, strict=True)
        return Arm(np.stack(rate, 1), np.array(rate_shift), np.stack(severity, 1), np.array(severity_shift))

    def _weights(self, converted: NDArray[np.bool_], rng: np.random.Generator) -> list[Array]:
        """Return how often each visitor is in each resample; one without both outcomes is drawn again."""
        n, kept = len(converted), []
        while len(kept) < self.n_bootstrap:
            weight = rng.multinomial(n, np.full(n, 1 / n)).astype(np.float64)
            if weight[converted].any() and weight[~converted].any():
                kept.append(weight)
        return kept

    def _regressions(self, x: Array, revenue: Array, weight: Array) -> tuple[Array, float, Array, float]:
        inside = weight > 0
        x, revenue, weight = x[inside], revenue[inside], weight[inside]
        converted = revenue > 0
        rate = LogisticRegression(C=self.C, solver="newton-cholesky").fit(x, converted, weight)
        spent, log_revenue, share = x[converted], np.log(revenue[converted]), weight[converted]
        severity = Ridge(alpha=self.alpha).fit(spent, log_revenue, share)
        variance = np.average((log_revenue - severity.predict(spent)) ** 2, weights=share)
        return rate.coef_[0], rate.intercept_[0], severity.coef_, severity.intercept_ + variance / 2


def build(settings: Mapping[str, Any]) -> TwoPart:
    """Return the estimator; an unknown setting is an error."""
    return TwoPart(**settings)

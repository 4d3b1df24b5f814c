"""Whether ranks are uniform: the simultaneous band of their ECDF.

Talts, Betancourt, Simpson, Vehtari and Gelman (2018): where a parameter is drawn from the prior and the fit
is exact, its rank among L posterior draws is uniform on 0..L. The band is that of Sailynoja, Burkner and
Vehtari (2022), section 2.1, its coverage found by simulation.
"""

from __future__ import annotations

import numpy as np
from scipy.special import bdtr, bdtrc

from sbcflow.data import FloatArray

N_NULL = 40_000


def extremeness(ranks: FloatArray, n_draws: int) -> FloatArray:
    """Return the smallest pointwise two-sided p-value of each column's rank ECDF, (Q,), for ranks (n, Q).

    Under uniform ranks the number at most r is Binomial(n, (r + 1) / (n_draws + 1)).
    """
    counts = np.stack([(ranks <= r).sum(axis=0) for r in range(n_draws)], axis=-1)
    return _pointwise(len(ranks), n_draws)[counts, np.arange(n_draws)].min(axis=-1)


def null_extremeness(n: int, n_draws: int) -> FloatArray:
    """Return the sorted extremeness (N_NULL,) of ``n`` uniform ranks, by simulation."""
    rng = np.random.default_rng(n)
    bins = rng.multinomial(n, np.full(n_draws + 1, 1 / (n_draws + 1)), size=N_NULL)
    counts = np.cumsum(bins, axis=1)[:, :-1]
    return np.sort(_pointwise(n, n_draws)[counts, np.arange(n_draws)].min(axis=1))


def p_values(extreme: FloatArray, null: FloatArray) -> FloatArray:
    """Return how often uniform ranks are as extreme, (Q,); none is under 1 / (1 + N_NULL)."""
    return (1 + np.searchsorted(null, extreme, side="right")) / (1 + len(null))


def _pointwise(n: int, n_draws: int) -> FloatArray:
    """Table (n + 1, n_draws) of two-sided binomial p-values by count and cut."""
    uniform, count = np.arange(1, n_draws + 1) / (n_draws + 1), np.arange(n + 1)[:, None]
    upper = np.where(count > 0, bdtrc(np.maximum(count - 1, 0), n, uniform), 1.0)
    return np.minimum(1.0, 2 * np.minimum(bdtr(count, n, uniform), upper))

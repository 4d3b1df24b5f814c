"""What can be seen of a point's posterior without its truth: the quantities that coverage is a function of.

All are free of units, so that corrected intervals follow the currency. ``signal`` is the posterior mean over
the posterior sd. ``skew`` is that of Bowley (1920) on the central 90%, ``tail`` the log of how far the 99%
interval reaches beyond the 80% one, less a normal's. ``heterogeneity`` belongs to the fit: the log of the sd
of its posterior means over the root mean square of its posterior sds. What else was tried adds nothing to
these (docs/decisions/0017).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import ndtri

from sbcflow.data import FloatArray
from sbcflow.errors import DataError
from sbcflow.scoring import central_interval, quantile_of

OBSERVABLES = ("signal", "skew", "tail", "heterogeneity")

SKEW_LEVEL, TAIL_LEVEL, BODY_LEVEL = 0.9, 0.99, 0.8
_NORMAL_REACH = math.log(float(ndtri((1 + TAIL_LEVEL) / 2) / ndtri((1 + BODY_LEVEL) / 2)))
# A single point, or points of one mean, have no heterogeneity: exp(-8) is below any that is seen.
LEAST_HETEROGENEITY = -8.0
NO_SPREAD = (
    "draws: must spread within every point, found a point whose central 80% are one value; the method regime "
    "needs a posterior"
)


def moments(ordered: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return posterior mean and sd, (n_points,) float64 each, of draws (n_points, n_draws).

    Raises:
        DataError: the draws of a point are all equal, or so many of them that no quantile tells more.
    """
    if not spreads(ordered):
        raise DataError(NO_SPREAD)
    return ordered.mean(axis=1), ordered.std(axis=1)


def spreads(ordered: FloatArray) -> bool:
    """Return whether the central 80% of every point's draws (n_points, n_draws) are more than one value."""
    lower, upper = central_interval(ordered, BODY_LEVEL)
    return bool((upper > lower).all())


def heterogeneity_of(ordered: FloatArray) -> float:
    """Return the heterogeneity of a fit from the draws (n_points, n_draws) of a sample of its points."""
    mean, sd = moments(ordered)
    spread = float(mean.std() / np.sqrt(np.mean(sd**2)))
    return max(math.log(spread), LEAST_HETEROGENEITY) if spread > 0 else LEAST_HETEROGENEITY


def observe(ordered: FloatArray, heterogeneity: float) -> FloatArray:
    """Return the observables (n_points, 4) float64, in the order of ``OBSERVABLES``.

    ``ordered`` (n_points, n_draws) float64, each point's draws ascending; ``heterogeneity`` that of the fit.

    Raises:
        DataError: the draws of a point do not spread.
    """
    mean, sd = moments(ordered)
    return np.stack([mean / sd, _skew(ordered), _tail(ordered), np.full(len(mean), heterogeneity)], axis=1)


def _skew(ordered: FloatArray) -> FloatArray:
    lower, upper = central_interval(ordered, SKEW_LEVEL)
    return np.asarray((lower + upper - 2 * quantile_of(ordered, 0.5)) / (upper - lower))


def _tail(ordered: FloatArray) -> FloatArray:
    reach = [np.subtract(*central_interval(ordered, level)[::-1]) for level in (TAIL_LEVEL, BODY_LEVEL)]
    return np.log(reach[0] / reach[1]) - _NORMAL_REACH

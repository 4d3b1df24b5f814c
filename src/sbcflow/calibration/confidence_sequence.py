"""An anytime-valid interval for a mean of bounded observations: it may be looked at after every cycle.

The hedged capital process of Waudby-Smith and Ramdas (2024), "Estimating means of bounded random
variables by betting", JRSS B 86, section 4.3: gamblers bet that the mean is above or below m, and m is
refuted once their capital is 1/alpha. By Ville's inequality a true m is ever refuted with a
probability of at most alpha, however often one looks and whatever one stops for.

Two things are ours. Observations come in *cycles* (each template at each scale once), so those of one
cycle have different means. A bet is therefore set at the start of a cycle, from former cycles alone, and
kept through it: as the observations are independent, a cycle's expected factor is the product of
1 + lambda (mu_j - m), by the inequality of means at most (1 + lambda mean_j(mu_j - m))^J = 1 at m the mean of
the mu_j. So single fits may be bet on, and looks are valid at the end of whole cycles. One bet a cycle, on
its mean, is valid too and takes three times as many fits, since a mean of eight has an eighth of the
observations and the same range. The other: lambda is the bet that grows fastest against a mean a
half-width away (the paper's approximate Kelly bet, appendix B, with the wanted precision in the place of
the guessed distance), so no fit is spent on narrower intervals than were asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sbcflow.data import FloatArray

ALPHA = 0.05
# A bet stakes at most this share of what a gambler has, so that no one observation ruins it.
LARGEST_STAKE = 0.9
# What is believed of a fit's coverage before any is seen, with the weight of a cycle; where it is wrong it
# costs fits, and no validity.
PRIOR_SD = 0.1
BISECTIONS = 40


@dataclass(frozen=True)
class Bounds:
    """An interval for a mean in [0, 1]."""

    lower: float
    upper: float

    @property
    def half_width(self) -> float:
        """Half of its length."""
        return (self.upper - self.lower) / 2


def fewest_observations(half_width: float, alpha: float = ALPHA) -> int:
    """Return the number of observations below which no interval can have this half-width.

    Were they all equal to x (by Jensen's inequality the best case), a stake of all gives log(2/alpha) =
    n log(1 + (x - m)/m) at the lower bound m; with the upper bound alike, the length w is at least
    (1 - w) log(2/alpha) / n.
    """
    return math.ceil(math.log(2 / alpha) * (1 - 2 * half_width) / (2 * half_width))


def betting_interval(
    cycles: Sequence[FloatArray], *, guess: float, half_width: float, alpha: float = ALPHA
) -> Bounds:
    """Return the interval after the last of ``cycles``, of confidence 1 - ``alpha`` over all looks.

    Args:
        cycles: the observations, in [0, 1], of each cycle, (n_j,) float64 each; one may be empty. They are
            independent, and a cycle's size and means do not depend on other cycles. With observations
            missing at random within a cycle, the mean is over those that are there.
        guess: what is believed of the mean before the first; any value is valid.
        half_width: the precision that bets are made for, in (0, 0.5); any value is valid.
        alpha: the probability, at most, that the mean is ever outside.

    Raises:
        ValueError: an observation is not in [0, 1].
    """
    values = np.concatenate([np.empty(0), *cycles])
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("observations must lie in [0, 1]")
    bets = _bets(cycles, guess, half_width)
    return Bounds(_lower(values, bets, alpha), 1 - _lower(1 - values, bets, alpha))


def _bets(cycles: Sequence[FloatArray], guess: float, half_width: float) -> FloatArray:
    """Return the bet on each observation, (n,): half-width by the expected square of its distance to m."""
    weight = max((len(cycle) for cycle in cycles), default=1) or 1
    n, total, squares = float(weight), weight * guess, weight * (PRIOR_SD**2 + guess**2)
    bets = []
    for cycle in cycles:
        variance = max(squares / n - (total / n) ** 2, 0.0)
        bets += [half_width / (variance + half_width**2)] * len(cycle)
        n, total, squares = n + len(cycle), total + cycle.sum(), squares + (cycle**2).sum()
    return np.array(bets, dtype=np.float64)


def _lower(values: FloatArray, bets: FloatArray, alpha: float) -> float:
    """Return the largest m that the gambler on a higher mean, who has half of the capital, refutes."""

    def is_refuted(m: float) -> bool:
        stakes = np.minimum(bets, LARGEST_STAKE / m)
        return bool(np.log1p(stakes * (values - m)).sum() >= math.log(2 / alpha))

    # Its capital falls in m (theorem 3): a bisection finds where it crosses.
    return _bisect(is_refuted)


def _bisect(holds: Callable[[float], bool]) -> float:
    """Return the largest of [0, 1] at which a condition holds, of one that holds up to some place."""
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low

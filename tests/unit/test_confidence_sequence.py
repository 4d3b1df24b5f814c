"""The interval of a sweep to a precision holds at all looks together; what would not is told from it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from sbcflow.calibration import confidence_sequence
from sbcflow.calibration.confidence_sequence import (
    ALPHA,
    Bounds,
    betting_interval,
    fewest_observations,
)
from sbcflow.data import FloatArray

N_STREAMS, N_CYCLES, LOOK_EVERY = 400, 60, 3
MEANS = np.array([0.99, 0.95, 0.9, 0.9, 0.88, 0.86, 0.8, 0.6])
Interval = Callable[[Sequence[FloatArray]], Bounds]


def _stream(rng: np.random.Generator, n_cycles: int = N_CYCLES) -> list[FloatArray]:
    """Draw cycles of eight templates: Beta coverages of those means; a few fits do not converge."""
    cycles = [rng.beta(3 * MEANS, 3 * (1 - MEANS)) for _ in range(n_cycles)]
    return [cycle[rng.random(8) < 0.95] for cycle in cycles]


def _misses(interval: Interval, seed: int = 1, n_streams: int = N_STREAMS) -> float:
    """Return the share of streams in which the interval leaves out the mean at some look."""
    rng = np.random.default_rng(seed)
    return float(np.mean([_is_missed(interval, _stream(rng)) for _ in range(n_streams)]))


def _is_missed(interval: Interval, stream: Sequence[FloatArray]) -> bool:
    found = (interval(stream[:n]) for n in range(LOOK_EVERY, len(stream) + 1, LOOK_EVERY))
    return any(not one.lower <= MEANS.mean() <= one.upper for one in found)


def _ours(cycles: Sequence[FloatArray]) -> Bounds:
    return betting_interval(cycles, guess=0.9, half_width=0.05)


def _central_limit(cycles: Sequence[FloatArray]) -> Bounds:
    """The interval of a number of fits that is fixed beforehand, looked at all the same as it goes on."""
    values = np.concatenate(cycles)
    error = 1.96 * values.std(ddof=1) / math.sqrt(len(values))
    return Bounds(values.mean() - error, values.mean() + error)


# Monte Carlo: 400 streams at a true 5% give more than 0.05 + 3.3 * 0.0109 = 0.086 in one of 2,000 runs.
TOLERATED = ALPHA + 3.3 * math.sqrt(ALPHA * (1 - ALPHA) / N_STREAMS)


def test_the_mean_is_left_out_at_any_look_no_more_often_than_said() -> None:
    assert _misses(_ours) <= TOLERATED


def test_an_interval_of_fixed_size_that_is_peeked_at_is_caught() -> None:
    assert _misses(_central_limit) > TOLERATED


def test_bets_that_know_their_own_cycle_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bet of the outcome's own size and side is no bet: it wins whatever the mean."""

    def told(cycles: Sequence[FloatArray], guess: float, half_width: float) -> FloatArray:  # noqa: ARG001
        values = np.concatenate(cycles)
        return np.maximum(values - values.mean(), 0) / half_width**2

    monkeypatch.setattr(confidence_sequence, "_bets", told)
    assert _misses(_ours, n_streams=100) > TOLERATED


def test_a_capital_that_refutes_too_soon_is_caught() -> None:
    """At 1 / 0.9 in the place of 1 / 0.05."""
    assert _misses(lambda cycles: betting_interval(cycles, guess=0.9, half_width=0.05, alpha=0.9)) > TOLERATED


def test_capitals_by_hand() -> None:
    """Two fits of one cycle: the bounds are where half the capital of a gambler is 1 / alpha."""
    cycle = np.array([0.9, 0.7])
    found = betting_interval([cycle], guess=0.9, half_width=0.2, alpha=0.9)
    bet = 0.2 / (0.1**2 + 0.2**2)

    def capital(m: float, side: int) -> float:
        stake = min(bet, 0.9 / (m if side > 0 else 1 - m))
        return math.prod(1 + side * stake * (x - m) for x in cycle) / 2

    assert capital(found.lower, 1) == pytest.approx(1 / 0.9)
    assert capital(found.upper, -1) == pytest.approx(1 / 0.9) or found.upper == 1


def test_mirrored_observations_mirror_the_interval() -> None:
    cycles = _stream(np.random.default_rng(2), 30)
    one = betting_interval(cycles, guess=0.8, half_width=0.1)
    other = betting_interval([1 - cycle for cycle in cycles], guess=0.2, half_width=0.1)
    assert (other.lower, other.upper) == pytest.approx((1 - one.upper, 1 - one.lower))


@pytest.mark.parametrize("half_width", [0.01, 0.02, 0.1, 0.3, 0.45])
@pytest.mark.parametrize("value", [0.0, 0.02, 0.3, 0.5, 0.9, 1.0])
def test_no_data_are_narrow_enough_before_the_fewest(half_width: float, value: float) -> None:
    fewest = fewest_observations(half_width)
    found = betting_interval([np.full(fewest - 1, value)], guess=value, half_width=half_width)
    assert found.half_width > half_width


def test_the_fewest_are_nearly_enough_of_equal_fits() -> None:
    n = math.ceil(1.3 * fewest_observations(0.02))
    assert betting_interval([np.ones(8)] * (n // 8), guess=0.9, half_width=0.02).half_width <= 0.02


def test_nothing_seen_tells_nothing() -> None:
    for cycles in ([], [np.empty(0)]):
        assert betting_interval(cycles, guess=0.9, half_width=0.1) == Bounds(0.0, 1.0)


def test_other_values_are_refused() -> None:
    for value in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="must lie in"):
            betting_interval([np.array([value])], guess=0.9, half_width=0.1)


def test_fewer_fits_suffice_for_a_smaller_spread() -> None:
    """The sequence adapts to the variance: it takes what the spread asks for, not the worst case."""
    rng = np.random.default_rng(3)

    def fits_taken(sd_factor: float) -> int:
        stream = [0.9 + sd_factor * rng.uniform(-0.1, 0.1, 8) for _ in range(200)]
        return next(
            8 * n
            for n in itertools.count(1)
            if betting_interval(stream[:n], guess=0.9, half_width=0.03).half_width <= 0.03
        )

    assert fits_taken(0.1) < fits_taken(1.0)

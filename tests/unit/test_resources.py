"""What a fit job asks for: the values of the shipped scenarios, and that more work never asks for less."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbcflow.params import SweepSettings
from sbcflow.sweep.resources import memory_mb, minutes


def _sweep(*scales: int) -> SweepSettings:
    return SweepSettings(
        id="one", master_seed=1, n_configs=3, scales=scales, generator_family="v2", save_samples=False
    )


@pytest.mark.parametrize(
    ("scales", "memory"), [((2000,), 4004), ((20_000,), 4040), ((2000, 500_000, 100), 5000), ((499,), 4000)]
)
def test_memory_is_that_of_the_largest_fit(scales: tuple[int, ...], memory: int) -> None:
    assert memory_mb(_sweep(*scales)) == memory


@pytest.mark.parametrize(
    ("scales", "n_configs", "expected"),
    [((2000,), 1, 15), ((20_000,), 1, 17), ((20_000,), 4, 38), ((500, 100_000), 10, 160)],
)
def test_minutes_are_the_start_and_those_of_each_fit(
    scales: tuple[int, ...], n_configs: int, expected: int
) -> None:
    assert minutes(_sweep(*scales), n_configs) == expected


@given(visitors=st.integers(100, 100_000_000), more=st.integers(0, 1_000_000), n_configs=st.integers(1, 1000))
def test_more_work_never_asks_for_less(visitors: int, more: int, n_configs: int) -> None:
    small, large = _sweep(visitors), _sweep(min(visitors + more, 100_000_000))
    assert memory_mb(small) <= memory_mb(large)
    assert minutes(small, n_configs) <= minutes(large, n_configs)
    assert minutes(small, n_configs) < minutes(small, n_configs + 1)

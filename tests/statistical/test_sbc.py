"""Exact simulation-based calibration of the hurdle estimator with NUTS, and planted errors that it catches.

Ranks of every hyperparameter, the ATE and four CATEs of N_TRIALS trials from the prior stay inside a band
that exact inference leaves with probability 0.01 at most, over all quantities together. Seeds are fixed,
and a fit depends on its seed alone, so a failure is a change in the code. Power, measured by resampling:
of 120 of these 160 trials, 1.00 (sd x 0.8), 0.98 (mean + 0.2 sd) and 0.93 (mean - 0.2 sd) leave the band;
of 300 of the 600 of benchmarks/sbc.py, 1.00 under each planted error and 0.003 without one.
"""

import numpy as np
import pytest
import simulation_based as sbc

N_TRIALS = 160
N_WRONG_PRIOR = 40
FIRST_SEED = 20_260_527


@pytest.fixture(scope="module")
def replicates() -> sbc.Replicates:
    return sbc.run(range(FIRST_SEED, FIRST_SEED + N_TRIALS))


@pytest.fixture(scope="module")
def null() -> np.ndarray:
    return sbc.null_extremeness(N_TRIALS)


def test_ranks_of_nuts_stay_inside_the_band(replicates: sbc.Replicates, null: np.ndarray) -> None:
    assert len(replicates.names) == 5 + 6 + 1 + sbc.N_CATES
    assert sbc.outside_the_band(replicates, null) == []


@pytest.mark.parametrize("error", [{"spread": 0.8}, {"shift": 0.2}, {"shift": -0.2}])
def test_a_posterior_too_narrow_or_shifted_leaves_it(replicates, null, error: dict[str, float]) -> None:
    assert sbc.outside_the_band(replicates.altered(**error), null)


def test_a_fit_under_a_prior_that_is_not_the_generators_leaves_it() -> None:
    """Treatment scales 0.4 times as wide as those that the trials come from."""
    seeds = range(FIRST_SEED, FIRST_SEED + N_WRONG_PRIOR)
    outside = sbc.outside_the_band(sbc.run(seeds, sbc.prior_of_both(treatment_scale=0.2)))
    assert any("treatment" in name for name in outside)


def test_uniform_ranks_leave_the_band_as_seldom_as_stated() -> None:
    """5,000 sets of 16 independent uniform ranks: a share of 0.01 has a standard error of 0.0014."""
    rng = np.random.default_rng(3)
    null = sbc.null_extremeness(N_TRIALS)
    ranks = rng.integers(0, sbc.N_KEPT + 1, size=(5000 * 16, N_TRIALS)).T
    extreme = sbc.extremeness(ranks).reshape(5000, 16).min(axis=1)
    limit = null[int(sbc.FALSE_ALARM / 16 * len(null))]
    assert 0.005 < np.mean(extreme < limit) < 0.015

import numpy as np
import pytest
from scipy.stats import norm

from sbcflow.errors import DataError
from sbcflow.levels import LEVELS, coverage_metric
from sbcflow.scoring import (
    central_interval,
    interval_score,
    order_draws,
    quantile_of,
    rank_of,
    sample_crps,
    score_fit,
)

N_POINTS, N_DRAWS = 4000, 1000


@pytest.fixture(scope="module")
def exact_fit():
    """Truth and draws from one Gaussian each point: an exact posterior."""
    rng = np.random.default_rng(11)
    center = rng.normal(size=N_POINTS)
    draws = (center[:, None] + 0.5 * rng.normal(size=(N_POINTS, N_DRAWS))).astype(np.float32)
    return draws, center + 0.5 * rng.normal(size=N_POINTS)


def gaussian_grid(n_draws: int) -> np.ndarray:
    """One row of draws at the standard normal's own quantiles, so that sums are near integrals."""
    return norm.ppf((np.arange(n_draws) + 0.5) / n_draws)[None, :]


@pytest.mark.parametrize("level", LEVELS)
def test_exact_posterior_covers_nominal(exact_fit, level):
    """Within 4 MC standard errors, sqrt(a (1-a) / N), and the 2/S that S draws fall short of quantiles."""
    tolerance = 4 * np.sqrt(level * (1 - level) / N_POINTS) + 2 / N_DRAWS
    assert abs(score_fit(*exact_fit)[coverage_metric(level)] - level) < tolerance


@pytest.mark.parametrize("c", [0.5, 0.8, 1.5])
def test_scaled_posterior_covers_as_the_scale_family_says(exact_fit, c):
    draws, truth = exact_fit
    center = draws.mean(axis=1, keepdims=True)
    scores = score_fit(center + c * (draws - center), truth)
    for level in (a for a in LEVELS if N_DRAWS * (1 - a) / 2 >= 5):  # tails that hold 5 draws or more
        expected = 2 * norm.cdf(c * norm.ppf((1 + level) / 2)) - 1
        tolerance = 4 * np.sqrt(expected * (1 - expected) / N_POINTS) + 6 / N_DRAWS
        assert abs(scores[coverage_metric(level)] - expected) < tolerance


def test_scores_come_in_the_contract_order(exact_fit):
    expected = [coverage_metric(level) for level in LEVELS]
    expected += ["rmse", "bias", "mean_width_90", "interval_score_90", "crps"]
    scores = score_fit(*exact_fit)
    assert list(scores) == expected
    assert all(type(value) is float for value in scores.values())


def test_rmse_bias_width_against_hand_values():
    draws = np.array([[0.0, 1.0, 2.0], [4.0, 6.0, 5.0]], dtype=np.float32)
    scores = score_fit(draws, np.array([0.0, 7.0]))
    assert scores["rmse"] == pytest.approx(np.sqrt((1 + 4) / 2))
    assert scores["bias"] == pytest.approx((1 - 2) / 2)
    assert scores["mean_width_90"] == pytest.approx(1.8)
    assert scores["coverage_90"] == 0.0


@pytest.mark.parametrize("truth", [-3.0, -0.4, 0.0, 1.0, 5.0])
def test_crps_of_a_gaussian_is_the_closed_form(truth):
    """z (2 Phi(z) - 1) + 2 phi(z) - 1/sqrt(pi) (Gneiting & Raftery 2007, equation 21)."""
    closed = truth * (2 * norm.cdf(truth) - 1) + 2 * norm.pdf(truth) - 1 / np.sqrt(np.pi)
    found = sample_crps(gaussian_grid(20_000), np.array([truth]))
    assert found[0] == pytest.approx(closed, abs=2e-4)


def test_crps_is_the_sum_over_pairs_of_draws():
    rng = np.random.default_rng(3)
    draws, truth = np.sort(rng.normal(size=(5, 7)), axis=1), rng.normal(size=5)
    pairs = np.abs(draws[:, :, None] - draws[:, None, :]).sum(axis=(1, 2)) / (7 * 6)
    expected = np.abs(draws - truth[:, None]).mean(axis=1) - pairs / 2
    np.testing.assert_allclose(sample_crps(draws, truth), expected, atol=1e-14)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.99])
def test_expected_interval_score_of_a_gaussian_is_the_closed_form(level):
    """For a standard normal's own interval it is 4 phi(z) / (1 - a)."""
    grid = gaussian_grid(40_000)
    lower, upper = (end.repeat(grid.size) for end in central_interval(grid, level))
    closed = 4 * norm.pdf(norm.ppf((1 + level) / 2)) / (1 - level)
    assert interval_score(lower, upper, grid[0], level).mean() == pytest.approx(closed, rel=2e-3)


def test_interval_score_by_hand():
    lower, upper, truth = np.zeros(3), np.ones(3), np.array([0.5, -0.1, 1.2])
    np.testing.assert_allclose(interval_score(lower, upper, truth, 0.9), [1.0, 3.0, 5.0])


@pytest.mark.parametrize("probability", [0.0, 0.00025, 0.05, 0.5, 0.77, 0.99975, 1.0])
@pytest.mark.parametrize("n_draws", [2, 3, 200])
def test_quantiles_are_numpys(probability, n_draws):
    draws = np.random.default_rng(5).normal(size=(20, n_draws))
    expected = np.quantile(draws, probability, axis=1)
    np.testing.assert_allclose(quantile_of(order_draws(draws), probability), expected, atol=1e-13)


def test_order_of_draws_does_not_matter(exact_fit):
    draws, truth = exact_fit
    assert score_fit(draws[:50, ::-1], truth[:50]) == score_fit(draws[:50], truth[:50])


def test_rank_counts_the_draws_below():
    draws = np.array([[0.0, 1.0, 2.0], [5.0, 4.0, 3.0]])
    np.testing.assert_array_equal(rank_of(np.array([1.5, 2.0]), draws), [2, 0])
    assert rank_of(np.float64(9.0), draws[0]) == 3


def test_ranks_of_an_exact_posterior_are_uniform(exact_fit):
    draws, truth = exact_fit
    counts = np.histogram(rank_of(truth, draws), bins=10, range=(0, N_DRAWS + 1))[0]
    # chi-square with 9 degrees of freedom: 27.9 is passed with probability 0.001.
    assert ((counts - N_POINTS / 10) ** 2 / (N_POINTS / 10)).sum() < 27.9


@pytest.mark.parametrize(
    ("draws", "truth", "named"),
    [
        (np.zeros(5), np.zeros(5), "shape"),
        (np.zeros((0, 5)), np.zeros(0), "shape"),
        (np.zeros((5, 1)), np.zeros(5), "n_draws >= 2"),
        (np.full((5, 3), np.nan), np.zeros(5), "finite"),
        (np.zeros((5, 3), dtype=int), np.zeros(5), "floating point"),
        (np.zeros((5, 3)), np.zeros(4), "truth"),
        (np.zeros((5, 3)), np.full(5, np.inf), "truth"),
    ],
)
def test_what_cannot_be_scored_is_refused(draws, truth, named):
    with pytest.raises(DataError, match=named) as refusal:
        score_fit(draws, truth)
    assert "\n" not in str(refusal.value)

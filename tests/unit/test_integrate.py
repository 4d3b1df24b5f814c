"""Weighted points recover the moments of known densities, a skewed one included, from bad proposals.

Limits are four standard errors at the effective number of points, so that a right method fails for about
one seed in 2,000 (20 comparisons); seeds are fixed.
"""

import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import norm

from sbcflow.inference.integrate import WANTED_POINTS, Proposal, ThetaPoints, integrate

SHAPES = np.array([2.0, 5.0])
SEEDS = range(30)


def log_gamma_density(theta: np.ndarray) -> float:
    """Logarithms of two Gamma variables: skewed to the left, with known moments."""
    return float(np.sum(SHAPES * theta - np.exp(theta) - gammaln(SHAPES)))


def mean_estimates(mode: np.ndarray, root: np.ndarray, power: float = 1.0) -> np.ndarray:
    """Estimates (seeds, 2) of E[exp(theta)], which is SHAPES; ``power`` flattens weights by mistake."""
    found = []
    for seed in SEEDS:
        at = integrate(log_gamma_density, mode, root, np.random.default_rng(seed))
        weights = np.exp(power * at.log_weights)
        found.append(weights @ np.exp(at.points) / weights.sum())
    return np.array(found)


def distance(estimates: np.ndarray) -> np.ndarray:
    """Of the average estimate from SHAPES, in standard errors over seeds."""
    return np.abs(estimates.mean(axis=0) - SHAPES) / (estimates.std(axis=0) / np.sqrt(len(estimates)))


LAPLACE = np.log(SHAPES), np.diag(SHAPES**-0.5)


def test_moments_of_a_skewed_density_are_recovered() -> None:
    assert distance(mean_estimates(*LAPLACE)).max() < 4


def test_flattened_weights_are_caught() -> None:
    assert distance(mean_estimates(*LAPLACE, power=0.25)).max() > 8


def test_a_bad_first_proposal_is_forgotten() -> None:
    far = np.log(SHAPES) + np.array([1.0, -1.0])
    estimates = mean_estimates(far, LAPLACE[1])
    np.testing.assert_allclose(estimates.mean(axis=0), SHAPES, rtol=0.2)
    first_alone = Proposal.of(far, LAPLACE[1] ** 2).draw(6400, np.random.default_rng(0))
    assert np.abs(np.exp(first_alone).mean(axis=0) / SHAPES - 1).min() > 0.5


def test_weights_are_normalised_and_enough_points_count() -> None:
    at = integrate(log_gamma_density, *LAPLACE, np.random.default_rng(1))
    assert np.exp(at.log_weights).sum() == pytest.approx(1.0)
    assert WANTED_POINTS <= at.effective_number <= len(at.points)


def test_equal_weights_count_in_full() -> None:
    at = ThetaPoints(np.zeros((8, 1)), np.full(8, -np.log(8)))
    assert at.effective_number == pytest.approx(8.0)


def test_the_log_density_is_known_up_to_a_constant_only() -> None:
    points = [
        integrate(lambda t, c=c: log_gamma_density(t) + c, *LAPLACE, np.random.default_rng(2))
        for c in (0.0, -5e4)
    ]
    np.testing.assert_allclose(points[0].log_weights, points[1].log_weights, atol=1e-6)


def test_a_proposal_has_the_moments_it_was_made_for() -> None:
    covariance = np.array([[2.0, 0.6], [0.6, 0.5]])
    draws = Proposal.of(np.array([1.0, -1.0]), covariance).draw(200_000, np.random.default_rng(3))
    np.testing.assert_allclose(draws.mean(axis=0), [1.0, -1.0], atol=4 * np.sqrt(2 / 200_000))
    np.testing.assert_allclose(np.cov(draws.T), covariance, rtol=0.05)


def test_a_proposals_density_is_that_of_its_draws() -> None:
    """Weighted by Normal over proposal density, its draws have the Normal's second moment."""
    proposal = Proposal.of(np.zeros(1), np.ones((1, 1)))
    draws = proposal.draw(200_000, np.random.default_rng(4))
    weights = np.exp(norm.logpdf(draws[:, 0], 0, 0.8) - proposal.log_density(draws))
    second = np.sum(weights * draws[:, 0] ** 2) / weights.sum()
    assert second == pytest.approx(0.64, rel=0.02)

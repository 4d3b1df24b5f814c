"""Blocked sums equal dense float64 NumPy, and expectations equal Monte Carlo within four standard errors.

Sums run over float32 columns, so they agree to about 1e-5 of their size. The Monte Carlo comparison of
about 60 figures fails by chance for one seed in 250; the seed is fixed.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm
from small_trials import Case, basis_settings, binary_covariates, make_case, make_trial, mixed_covariates

from sbcflow.likelihood import (
    Conversions,
    Expansion,
    arm_coefficients,
    conversion_curvature,
    join_gram,
    join_score,
)
from sbcflow.runtime import numerics

pytestmark = pytest.mark.usefixtures("fit_numerics")
N_ARMS = 3
N_CHECKED = 60
LIMIT = 4.0


@pytest.fixture(scope="module")
def case() -> Case:
    with numerics():
        return make_case(make_trial(mixed_covariates(1500), N_ARMS))


@pytest.fixture(scope="module")
def coef(case: Case) -> np.ndarray:
    return 0.2 * np.random.default_rng(3).standard_normal((N_ARMS, case.basis.structure.n_columns))


def dense_log_likelihood(case: Case, coef: np.ndarray) -> float:
    logit = case.rows @ coef.ravel()
    return float(np.sum(case.converted * logit - np.logaddexp(0, logit)))


def dense_derivatives(case: Case, coef: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score (D,) and Gram (D, D) of the common row and deviations."""
    rate = expit(case.rows @ coef.ravel())
    weighted = case.rows * (rate * (1 - rate))[:, None]
    return case.rows.T @ (case.converted - rate), case.rows.T @ weighted


def joined_score(expansion: Expansion) -> np.ndarray:
    return join_score(np.asarray(expansion.slope.score))


def joined_gram(expansion: Expansion) -> np.ndarray:
    return join_gram(np.asarray(expansion.gram))


def near(found: object, known: object) -> None:
    np.testing.assert_allclose(found, known, rtol=2e-5, atol=2e-5 * np.abs(known).max())


def test_log_likelihood_score_and_gram_equal_dense_sums(case: Case, coef: np.ndarray) -> None:
    score, gram = dense_derivatives(case, coef)
    expansion = case.conversions.expand(jnp.asarray(coef))
    near(
        float(case.conversions.log_likelihood(jnp.asarray(coef), jnp.ones(()))),
        dense_log_likelihood(case, coef),
    )
    near(float(expansion.slope.log_likelihood.sum()), dense_log_likelihood(case, coef))
    near(joined_score(expansion), score)
    near(joined_gram(expansion), gram)


def test_the_check_catches_a_gram_without_its_blocks_off_the_diagonal(case: Case, coef: np.ndarray) -> None:
    _, gram = dense_derivatives(case, coef)
    width = case.basis.structure.n_columns
    broken = joined_gram(case.conversions.expand(jnp.asarray(coef)))
    broken[:width, width:] = broken[width:, :width] = 0
    with pytest.raises(AssertionError):
        near(broken, gram)


def test_the_check_catches_weighted_padding(case: Case, coef: np.ndarray) -> None:
    blocks = case.conversions.design.blocks
    everything = replace(blocks, weight=jnp.ones_like(blocks.weight))
    broken = Conversions(replace(case.conversions.design, blocks=everything))
    with pytest.raises(AssertionError):
        near(
            float(broken.expand(jnp.asarray(coef)).slope.log_likelihood.sum()),
            dense_log_likelihood(case, coef),
        )


def test_many_log_likelihoods_equal_one_at_a_time(case: Case) -> None:
    coefs = 0.3 * np.random.default_rng(4).standard_normal((7, N_ARMS, case.basis.structure.n_columns))
    found = case.conversions.log_likelihoods(jnp.asarray(coefs))
    near(found, [dense_log_likelihood(case, c) for c in coefs])


def test_the_log_likelihood_sums_in_float64(case: Case, coef: np.ndarray) -> None:
    assert case.conversions.log_likelihood(jnp.asarray(coef), jnp.ones(())).dtype == np.float64


def test_expand_equals_the_derivatives_by_jax(coef: np.ndarray) -> None:
    small = make_case(make_trial(binary_covariates(300)), basis_settings(interactions=False))
    at = jnp.asarray(coef[:2, : small.basis.structure.n_columns])
    rows, converted = jnp.asarray(small.rows), jnp.asarray(small.converted)

    def dense(flat: jax.Array) -> jax.Array:
        logit = rows @ flat
        return jnp.sum(converted * logit - jax.nn.softplus(logit))

    expansion = small.conversions.expand(at)
    near(joined_score(expansion), jax.grad(dense)(at.ravel()))
    near(joined_gram(expansion), -jax.hessian(dense)(at.ravel()))
    near(jax.grad(small.conversions.log_likelihood)(at, jnp.ones(())).ravel(), jax.grad(dense)(at.ravel()))


def test_without_uncertainty_the_expected_expansion_is_the_expansion(case: Case, coef: np.ndarray) -> None:
    nothing = case.conversions.predictor_sd(jnp.zeros((coef.size, coef.size)), N_ARMS)
    expected = case.conversions.expand_expected(jnp.asarray(coef), nothing)
    at_a_point = case.conversions.expand(jnp.asarray(coef))
    for found, known in zip(jax.tree.leaves(expected), jax.tree.leaves(at_a_point), strict=True):
        near(found, known)


def test_the_slope_alone_is_that_of_the_expected_expansion(case: Case, coef: np.ndarray) -> None:
    spread = case.conversions.predictor_sd(0.01 * jnp.eye(coef.size), N_ARMS)
    slope = case.conversions.slope_expected(jnp.asarray(coef), spread)
    whole = case.conversions.expand_expected(jnp.asarray(coef), spread).slope
    near(slope.score, whole.score)
    near(slope.log_likelihood, whole.log_likelihood)


def test_with_a_stride_the_expansion_is_that_of_every_so_many_blocks(coef: np.ndarray) -> None:
    design = make_case(make_trial(mixed_covariates(6000), N_ARMS)).conversions.design
    taken = np.arange(len(design.blocks.weight)) % 2 == 0
    weight = design.blocks.weight * taken[:, None].astype(np.float32)
    some = Conversions(replace(design, blocks=replace(design.blocks, weight=weight)))
    found, known = Conversions(design).expand(jnp.asarray(coef), 2), some.expand(jnp.asarray(coef))
    assert 0.3 < float(weight.sum()) / 6000 < 0.7
    near(joined_gram(found), joined_gram(known))
    near(joined_score(found), joined_score(known))


def expected_and_simulated(case: Case, coef: np.ndarray, shrunk: float = 1.0) -> np.ndarray:
    """Differences of score and Gram from Monte Carlo, in standard errors.

    ``shrunk`` scales the covariance that the formula is told of, not that of the draws.
    """
    rng = np.random.default_rng(5)
    root = 0.15 * rng.standard_normal((coef.size, coef.size)) / np.sqrt(coef.size) + 0.1 * np.eye(coef.size)
    spread = case.conversions.predictor_sd(jnp.asarray(shrunk * root @ root.T), N_ARMS)
    expansion = case.conversions.expand_expected(jnp.asarray(coef), spread)
    draws = coef.ravel() + rng.standard_normal((2000, coef.size)) @ root.T
    rows, converted = case.rows[:, :N_CHECKED], case.converted[:, None]
    rate = expit(case.rows @ draws.T)
    score = rows.T @ (converted - rate)
    gram = np.square(rows).T @ (rate * (1 - rate))
    simulated = np.concatenate([score, gram])
    diagonal = np.diag(joined_gram(expansion))[:N_CHECKED]
    found = np.concatenate([joined_score(expansion)[:N_CHECKED], diagonal])
    return (found - simulated.mean(axis=1)) / (simulated.std(axis=1) / np.sqrt(simulated.shape[1]))


def test_the_expected_expansion_equals_monte_carlo(case: Case, coef: np.ndarray) -> None:
    assert np.abs(expected_and_simulated(case, coef)).max() < LIMIT


def test_monte_carlo_catches_an_expansion_that_ignores_or_halves_the_uncertainty(case, coef) -> None:
    assert np.abs(expected_and_simulated(case, coef, shrunk=0.0)).max() > 2 * LIMIT
    assert np.abs(expected_and_simulated(case, coef, shrunk=0.5)).max() > LIMIT


def severity_log_density(case: Case, coef: np.ndarray, noise: float) -> float:
    return float(norm.logpdf(case.log_revenue, case.spender_rows @ coef.ravel(), noise).sum())


@pytest.mark.parametrize("noise", [0.3, 1.0, 2.5])
def test_severity_moments_give_the_normal_log_density(case: Case, coef: np.ndarray, noise: float) -> None:
    found = float(case.severities.log_likelihood(jnp.asarray(coef), jnp.asarray(noise)))
    assert found == pytest.approx(severity_log_density(case, coef, noise), rel=1e-5)


def test_the_check_of_severities_catches_a_missing_visitor(case: Case, coef: np.ndarray) -> None:
    curvature = case.severities.curvature
    broken = replace(case.severities, curvature=replace(curvature, n=curvature.n - 1))
    found = float(broken.log_likelihood(jnp.asarray(coef), jnp.asarray(0.3)))
    assert found != pytest.approx(severity_log_density(case, coef, 0.3), rel=1e-5)


def test_the_conversion_quadratic_touches_the_log_likelihood(case: Case, coef: np.ndarray) -> None:
    expansion = case.conversions.expand(jnp.asarray(coef))
    curvature = conversion_curvature(expansion, coef)
    step = 1e-3 * np.random.default_rng(6).standard_normal(coef.shape)

    def quadratic(at: np.ndarray) -> float:
        flat = at.ravel()
        return float(curvature.linear @ flat - 0.5 * flat @ curvature.precision @ flat)

    risen = quadratic(coef + step) - quadratic(coef)
    assert risen == pytest.approx(
        dense_log_likelihood(case, coef + step) - dense_log_likelihood(case, coef), rel=1e-3
    )


def test_deviations_add_to_the_common_row() -> None:
    found = arm_coefficients(jnp.asarray([[1.0, 2.0], [0.5, 0.0], [-1.0, 3.0]]))
    np.testing.assert_array_equal(found, [[1.0, 2.0], [1.5, 2.0], [0.0, 5.0]])

"""CATE draws equal p1 m1 - p0 m0 computed densely in float64, across chunks of points and for K = 3."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit
from small_trials import basis_settings, mixed_covariates

from sbcflow.basis import Basis, make_basis
from sbcflow.data import TestPoints
from sbcflow.estimators.effects import CHUNK, OutcomeDraws, cate_chunks
from sbcflow.inference.laplace import PartDraws
from sbcflow.runtime import numerics

N_ARMS, N_DRAWS = 3, 40


@pytest.fixture(scope="module")
def basis() -> Basis:
    return make_basis(mixed_covariates(600), basis_settings())


@pytest.fixture(scope="module")
def parts(basis: Basis) -> tuple[PartDraws, PartDraws]:
    rng = np.random.default_rng(1)
    shape = (N_DRAWS, N_ARMS, basis.structure.n_columns)
    noise = rng.uniform(0.5, 1.5, N_DRAWS)
    return (
        PartDraws(0.2 * rng.standard_normal(shape), np.ones(N_DRAWS), np.zeros((N_DRAWS, 0))),
        PartDraws(0.2 * rng.standard_normal(shape), noise, np.log(noise)[:, None]),
    )


def points_of(n: int) -> TestPoints:
    return TestPoints(mixed_covariates(n, seed=9), (1 + np.arange(n) % (N_ARMS - 1)).astype(np.int32))


def dense_cate(basis: Basis, parts: tuple[PartDraws, PartDraws], points: TestPoints) -> np.ndarray:
    columns = np.asarray(basis.columns(points.covariates.values), dtype=np.float64).T
    noise = parts[1].noise

    def revenue(arm: np.ndarray) -> np.ndarray:
        """Per visitor, (n, draws), each under an arm of their own."""
        value = np.empty((len(arm), N_DRAWS))
        for d in range(N_DRAWS):
            logit, log_median = (
                np.sum(columns * (p.coef[d, 0] + np.where(arm[:, None] > 0, p.coef[d][arm], 0.0)), axis=1)
                for p in parts
            )
            value[:, d] = expit(logit) * np.exp(log_median + noise[d] ** 2 / 2)
        return value

    return revenue(points.arm) - revenue(np.zeros_like(points.arm))


def found_cate(basis: Basis, parts: tuple[PartDraws, PartDraws], points: TestPoints) -> np.ndarray:
    with numerics():
        draws = OutcomeDraws.of(*parts)
    return np.concatenate([np.asarray(c.cate) for c in cate_chunks(basis, draws, points)])


def check(found: np.ndarray, known: np.ndarray) -> None:
    np.testing.assert_allclose(found, known, rtol=2e-4, atol=2e-4 * known.std())


@pytest.mark.parametrize("n", [1, CHUNK, CHUNK + 3])
def test_cates_are_differences_of_revenue_per_visitor(basis, parts, n: int) -> None:
    found = found_cate(basis, parts, points_of(n))
    assert found.shape == (n, N_DRAWS)
    assert found.dtype == np.float32
    check(found, dense_cate(basis, parts, points_of(n)))


def test_the_dense_formula_catches_a_lost_noise_mean_and_a_wrong_arm(basis, parts) -> None:
    points, (conversion, severity) = points_of(20), parts
    quiet = replace(severity, noise=np.zeros(N_DRAWS))
    swapped = TestPoints(points.covariates, (3 - points.arm).astype(np.int32))
    for wrong in (
        found_cate(basis, (conversion, quiet), points),
        found_cate(basis, parts, swapped),
        found_cate(basis, (severity, conversion), points),
    ):
        with pytest.raises(AssertionError):
            check(wrong, dense_cate(basis, parts, points))


def test_chunks_tell_which_points_they_hold(basis, parts) -> None:
    with numerics():
        draws = OutcomeDraws.of(*parts)
    spans = [(c.start, c.stop, c.cate.shape) for c in cate_chunks(basis, draws, points_of(CHUNK + 3))]
    assert spans == [(0, CHUNK, (CHUNK, N_DRAWS)), (CHUNK, CHUNK + 3, (3, N_DRAWS))]


def test_parts_are_paired_draw_by_draw(parts) -> None:
    with numerics():
        draws = OutcomeDraws.of(*parts)
    np.testing.assert_allclose(draws.log_noise_mean, parts[1].noise ** 2 / 2, rtol=1e-6)
    assert draws.conversion.dtype == jnp.float32
    assert draws.conversion.shape == (N_ARMS, parts[0].coef.shape[2], N_DRAWS)

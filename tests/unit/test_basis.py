"""The basis: centred and standardised columns, and curves equal to an independent spline construction.

No test here depends on chance but through fixed data; tolerances are those of float32 columns.
"""

import jax
import numpy as np
import pytest
import scipy.linalg
from scipy.interpolate import CubicSpline
from small_trials import basis_settings, binary_covariates, make_trial, mixed_covariates

from sbcflow.basis import GROUPS, Basis, make_basis
from sbcflow.data import Covariates, Feature
from sbcflow.errors import DataError

N = 5_000
N_KNOTS = 5


@pytest.fixture(scope="module")
def covariates() -> Covariates:
    return mixed_covariates(N)


@pytest.fixture(scope="module")
def basis(covariates: Covariates) -> Basis:
    return make_basis(covariates, basis_settings(n_knots=N_KNOTS))


@pytest.fixture(scope="module")
def columns(basis: Basis, covariates: Covariates) -> np.ndarray:
    return np.asarray(basis.columns(covariates.values), dtype=np.float64).T


def group(basis: Basis, columns: np.ndarray, name: str) -> np.ndarray:
    return columns[:, np.array(basis.structure.group_of_column) == GROUPS.index(name)]


def clamped(covariates: Covariates) -> np.ndarray:
    """The continuous feature on 0..1 between its 0.5% and 99.5% quantiles."""
    spend = covariates.values[:, 0].astype(np.float64)
    low, high = np.quantile(spend, (0.005, 0.995))
    return (np.clip(spend, low, high) - low) / (high - low)


def check_moments(columns: np.ndarray, spread: np.ndarray | float) -> None:
    np.testing.assert_allclose(columns.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(columns.std(axis=0), spread, rtol=1e-4)


def test_columns_stand_in_the_order_of_their_groups(basis: Basis, columns: np.ndarray) -> None:
    assert basis.structure.group_sizes == (1 + 1 + 3, N_KNOTS - 2, 1 + 3 + 3)
    assert columns.shape == (N, basis.structure.n_columns)
    np.testing.assert_array_equal(columns[:, 0], 1.0)


def test_main_columns_are_centred_and_all_but_levels_standardised(basis, columns, covariates) -> None:
    main = group(basis, columns, "main")
    shares = np.bincount(covariates.values[:, 2].astype(int)) / N
    check_moments(main[:, :2], 1.0)
    check_moments(main[:, 2:], np.sqrt(shares * (1 - shares)))
    position = clamped(covariates)
    np.testing.assert_allclose(main[:, 0], (position - position.mean()) / position.std(), atol=1e-4)


def test_interactions_are_standardised_products_of_two_features(basis, columns) -> None:
    main, products = group(basis, columns, "main"), group(basis, columns, "interaction")
    check_moments(products, 1.0)
    for product, (left, right) in zip(products.T, basis.structure.pairs, strict=True):
        assert basis.structure.main_source[left] != basis.structure.main_source[right]
        raw = main[:, left] * main[:, right]
        np.testing.assert_allclose(product, (raw - raw.mean()) / raw.std(), atol=1e-4)


@pytest.mark.parametrize("broken", [lambda c: c + 0.01, lambda c: c * 1.01])
def test_the_check_of_moments_catches_columns_that_are_off(basis, columns, broken) -> None:
    with pytest.raises(AssertionError):
        check_moments(broken(group(basis, columns, "interaction")), 1.0)


def reference_curves(position: np.ndarray) -> np.ndarray:
    """Demmler-Reinsch curves from SciPy's cardinal natural splines, with exact integrals of curvature."""
    knots = np.quantile(position, np.linspace(0.05, 0.95, N_KNOTS), method="inverted_cdf")
    spline = CubicSpline(knots, np.eye(N_KNOTS), bc_type="natural")
    ends = np.clip(position, knots[0], knots[-1])
    slopes = np.where((position < knots[0])[:, None], spline(knots[0], 1), spline(knots[-1], 1))
    values = spline(ends) + (position - ends)[:, None] * slopes
    bend = spline(knots, 2)
    h = np.diff(knots)
    mass = np.diag(np.append(h, 0) + np.append(0, h)) / 3 + np.diag(h, 1) / 6 + np.diag(h, -1) / 6
    line = np.stack([np.ones_like(position), position], axis=1)
    residual = values - line @ np.linalg.lstsq(line, values, rcond=None)[0]
    left, _, _ = np.linalg.svd(residual.T, full_matrices=False)
    kept = left[:, : N_KNOTS - 2]
    roughness, vectors = scipy.linalg.eigh(
        kept.T @ bend.T @ mass @ bend @ kept, kept.T @ residual.T @ residual @ kept / len(position)
    )
    return residual @ kept @ vectors * np.sqrt(roughness[0] / roughness)


def check_curves(curves: np.ndarray, reference: np.ndarray) -> None:
    signs = np.sign(np.sum(curves * reference, axis=0))
    np.testing.assert_allclose(curves, reference * signs, atol=0.01 * np.abs(reference).max(axis=0).min())


def test_curves_equal_an_independent_construction(basis, columns, covariates) -> None:
    check_curves(group(basis, columns, "curve"), reference_curves(clamped(covariates)))


def test_the_check_of_curves_catches_unscaled_ones_and_another_order(basis, columns, covariates) -> None:
    curves, reference = group(basis, columns, "curve"), reference_curves(clamped(covariates))
    for broken in (
        curves / curves.std(axis=0),
        curves[:, ::-1],
        curves + 0.05 * clamped(covariates)[:, None],
    ):
        with pytest.raises(AssertionError):
            check_curves(broken, reference)


def test_curves_are_orthogonal_to_the_line_and_each_other_and_wigglier_ones_smaller(
    basis, columns, covariates
) -> None:
    curves = group(basis, columns, "curve")
    line = np.stack([np.ones(N), clamped(covariates)], axis=1)
    np.testing.assert_allclose(line.T @ curves / N, 0, atol=1e-5)
    spread = curves.std(axis=0)
    np.testing.assert_allclose(curves.T @ curves / N, np.diag(spread**2), atol=1e-5)
    assert spread[0] == pytest.approx(1.0, rel=1e-4)
    assert np.all(np.diff(spread) < 0)


def test_values_beyond_the_outer_quantiles_count_as_those(basis, covariates) -> None:
    low, high = np.quantile(covariates.values[:, 0].astype(np.float64), (0.005, 0.995))
    points = np.array([[low, 0, 0], [-1e6, 0, 0], [high, 1, 2], [1e6, 1, 2]], dtype=np.float32)
    found = np.asarray(basis.columns(points)).T
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)
    np.testing.assert_allclose(found[2], found[3], atol=1e-5)
    assert np.abs(found[0] - found[2]).max() > 1


def one_feature(values: np.ndarray) -> Covariates:
    return Covariates((Feature("x", "continuous"),), values[:, None].astype(np.float32))


def test_a_constant_feature_says_nothing_and_breaks_nothing() -> None:
    basis = make_basis(one_feature(np.full(300, 7.0)), basis_settings())
    assert basis.structure.group_sizes == (1, 0, 0)
    found = np.asarray(basis.columns(np.array([[7.0], [8.0]], dtype=np.float32)))
    np.testing.assert_array_equal(found, [[1, 1], [0, 0]])


def test_a_feature_with_two_distinct_values_has_no_curve() -> None:
    basis = make_basis(one_feature(np.arange(300) % 2), basis_settings())
    assert basis.structure.group_sizes == (1, 0, 0)
    assert float(basis.main.factor[0]) == pytest.approx(2.0)


def test_tied_knots_are_merged() -> None:
    values = np.where(np.arange(1000) < 600, 0.0, np.linspace(0, 1, 1000))
    basis = make_basis(one_feature(values), basis_settings(n_knots=7))
    curves = np.asarray(basis.columns(one_feature(values).values))[2:]
    assert 1 <= len(curves) < 7 - 2
    assert np.isfinite(curves).all()


@pytest.mark.parametrize("sigma", [1.0, 2.0, 3.0])
def test_curves_of_a_heavy_tailed_feature_keep_their_scale_in_float32(sigma: float) -> None:
    values = np.exp(sigma * np.random.default_rng(1).standard_normal(20_000))
    covariates = one_feature(values)
    basis = make_basis(covariates, basis_settings(n_knots=6))
    curves = np.asarray(basis.columns(covariates.values))[2:]
    again = np.asarray(basis.columns(one_feature(values * (1 + 1e-6)).values))[2:]
    np.testing.assert_allclose(curves[:1].std(axis=1), 1.0, atol=1e-3)
    np.testing.assert_allclose(again, curves, atol=5e-3)


def test_a_rare_value_outside_the_quantiles_still_counts() -> None:
    basis = make_basis(one_feature(np.arange(1000) == 500), basis_settings())
    assert float(basis.main.factor[0]) == pytest.approx(1 / np.sqrt(0.001 * 0.999), rel=1e-4)


def test_trials_of_one_structure_share_a_compiled_program() -> None:
    traced = []

    @jax.jit
    def columns(basis: Basis, values: np.ndarray) -> jax.Array:
        traced.append(1)
        return basis.columns(values)

    for seed in (1, 2, 3):
        covariates = mixed_covariates(400, seed)
        columns(make_basis(covariates, basis_settings()), covariates.values)
    assert len(traced) == 1


def test_the_basis_ignores_arms_and_outcomes() -> None:
    trial = make_trial(binary_covariates(300), seed=3)
    again = make_trial(binary_covariates(300), seed=4)
    one, two = (make_basis(t.covariates, basis_settings()) for t in (trial, again))
    np.testing.assert_array_equal(one.columns(trial.covariates.values), two.columns(trial.covariates.values))


def test_too_many_columns_are_refused_with_the_way_out() -> None:
    with pytest.raises(DataError, match=r"16 columns, over model.basis.max_columns = 15.*interactions"):
        make_basis(mixed_covariates(300), basis_settings(max_columns=15))

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbcflow.calibration.bootstrap import interval_over_fits, resampled_means
from sbcflow.calibration.coverage_curve import CoverageCurve, fit_coverage_curve, isotonic
from sbcflow.errors import ArtifactError
from sbcflow.levels import LEVELS


def curve(x, y):
    return CoverageCurve(tuple(x), tuple(y), tuple(y), tuple(y), n_fits=3, n_bootstrap=100, seed=1)


def test_isotonic_against_pava_by_hand():
    """3, 2 pool to 2.5; 6, 5, 4 pool to 5 (here a tenth of it, as coverages)."""
    means = np.array([0.1, 0.3, 0.2, 0.3, 0.6, 0.5, 0.4])
    np.testing.assert_allclose(isotonic(means), [0.1, 0.25, 0.25, 0.3, 0.5, 0.5, 0.5])


def test_pooled_over_fits_is_the_level_means():
    actual = np.tile(np.asarray(LEVELS), (4, 1)) + np.array([[0.0], [0.0], [-0.01], [-0.03]])
    fitted = fit_coverage_curve(actual, 100, 1)
    assert fitted.x_thresholds == LEVELS
    np.testing.assert_allclose(fitted.y_values, np.asarray(LEVELS) - 0.01)
    assert (fitted.n_fits, fitted.n_bootstrap, fitted.seed) == (4, 100, 1)


def test_inverse_reads_the_line_between_thresholds():
    inverse = curve([0.2, 0.5, 0.9], [0.1, 0.4, 0.8]).invert
    assert inverse(0.25) == pytest.approx(0.35)
    assert inverse(0.4) == pytest.approx(0.5)
    assert inverse(0.01) == pytest.approx(0.2)
    assert inverse(0.99) == pytest.approx(0.9)


def test_inverse_of_a_flat_stretch_is_its_left_end():
    assert curve([0.2, 0.5, 0.7, 0.9], [0.1, 0.6, 0.6, 0.9]).invert(0.6) == pytest.approx(0.5)


def test_inverse_is_clipped_as_in_the_contract():
    assert curve([0.001, 0.9995], [0.001, 0.9995]).invert(0.9999) == 0.999
    assert curve([0.001, 0.9995], [0.001, 0.9995]).invert(0.0001) == 0.01


def test_identity_sweep_inverts_to_itself():
    identity = curve(LEVELS, LEVELS)
    for level in (0.05, 0.3, 0.9, 0.99):
        assert identity.invert(level) == pytest.approx(level)
        assert identity.actual(level) == pytest.approx(level)


@given(st.lists(st.floats(0, 1), min_size=12, max_size=12), st.floats(0.001, 0.999), st.floats(0.001, 0.999))
def test_curve_and_inverse_are_monotone(values, one, other):
    fitted = curve(LEVELS, isotonic(np.array(values)))
    low, high = sorted((one, other))
    assert list(fitted.y_values) == sorted(fitted.y_values)
    assert fitted.invert(low) <= fitted.invert(high)
    assert fitted.actual(low) <= fitted.actual(high)


def test_json_round_trip_with_and_without_a_band():
    rng = np.random.default_rng(2)
    for n_fits in (1, 5):
        actual = np.sort(rng.uniform(size=(n_fits, 12)), axis=1)
        values = fit_coverage_curve(actual, 100, 3).to_json()
        assert CoverageCurve.from_json(values).to_json() == values
        assert (values["band_lower"][0] is None) == (n_fits == 1)


def test_band_is_pointwise_around_the_curve_and_repeatable():
    actual = np.clip(np.asarray(LEVELS) + np.random.default_rng(4).normal(0, 0.05, (20, 1)), 0, 1)
    one, two = (fit_coverage_curve(actual, 200, 7) for _ in range(2))
    assert one == two
    assert one != fit_coverage_curve(actual, 200, 8)
    bands = zip(one.band_lower, one.y_values, one.band_upper, strict=True)
    assert all(low <= mid <= high for low, mid, high in bands)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"x_thresholds": [0.5, 0.2]}, "x_thresholds"),
        ({"x_thresholds": [0.2, 0.2]}, "x_thresholds"),
        ({"x_thresholds": [0.2, 1.0]}, "x_thresholds"),
        ({"y_values": [0.6, 0.1]}, "y_values"),
        ({"y_values": [0.1, 1.1]}, "y_values"),
        ({"y_values": [0.1]}, "same length"),
        ({"y_values": "high"}, "y_values"),
        ({"y_values": [0.1, math.nan]}, "y_values"),
        ({"y_values": [True, True]}, "y_values"),
        ({"band_lower": [0.1]}, "band_lower"),
        ({"n_fits": 2.5}, "n_fits"),
        ({"seed": None}, "seed"),
    ],
)
def test_impossible_curves_are_refused(change, named):
    values = curve([0.2, 0.5], [0.1, 0.4]).to_json()
    with pytest.raises(ArtifactError, match=named):
        CoverageCurve.from_json({**values, **change})


def test_resamples_are_means_of_whole_fits():
    per_fit = np.array([[0.0, 10.0], [1.0, 11.0]])
    means = resampled_means(per_fit, 500, 1)
    assert set(map(tuple, means)) == {(0.0, 10.0), (0.5, 10.5), (1.0, 11.0)}


def test_one_fit_has_no_interval():
    lower, upper = interval_over_fits(np.array([[0.5]]), 100, 1)
    assert np.isnan(lower).all() and np.isnan(upper).all()

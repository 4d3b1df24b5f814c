import json
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from sbcflow.calibration.regime import Observed, Range, Regime
from sbcflow.calibration.regime.correction import REGIME_FILE, RegimeCorrection
from sbcflow.calibration.regime.fit import MIN_FITS, FitErrors, errors_of, fit_regime
from sbcflow.calibration.regime.location_scale import _loss, fit_location_scale
from sbcflow.calibration.regime.observables import OBSERVABLES, heterogeneity_of, observe
from sbcflow.errors import ArtifactError, DataError, ParamsError
from sbcflow.scoring import central_interval

HULL = Regime(Range(1000, 1000), Range(0.05, 0.1), Range(2, 2), Range(1, 1))
INSIDE, OUTSIDE = Observed(1000, 0.07, 2, 1.0), Observed(1000, 0.5, 2, 1.0)
LEVELS = (0.05, 0.5, 0.9, 0.95, 0.99, 0.9995)


def sweep(n_fits: int = 90, n_points: int = 30, seed: int = 1) -> list[FitErrors]:
    """Fits of posteriors twice too wide."""
    rng = np.random.default_rng(seed)
    fits = []
    for _ in range(n_fits):
        mean = rng.normal(size=n_points)
        draws = np.sort(mean[:, None] + rng.normal(size=(n_points, 200)), axis=1)
        fits.append(errors_of(draws, mean + 0.5 * rng.normal(size=n_points)))
    return fits


@pytest.fixture(scope="module")
def correction() -> RegimeCorrection:
    return fit_regime(sweep(), HULL, seed=1, trained_on="train", fitted_by={"estimator": "hurdle"})


@pytest.fixture
def draws() -> np.ndarray:
    return np.random.default_rng(2).normal(2.0, 3.0, size=(40, 500)).astype(np.float32)


def test_intervals_are_nested(correction, draws):
    found = [correction.intervals(draws, level) for level in LEVELS]
    for inner, outer in pairwise(found):
        assert (outer.lower <= inner.lower).all() and (inner.upper <= outer.upper).all()


def test_intervals_follow_the_currency(correction, draws):
    euros, cents = (correction.intervals(factor * draws.astype(np.float64), 0.9) for factor in (1.0, 100.0))
    np.testing.assert_allclose(cents.lower, 100 * euros.lower, rtol=1e-9)
    np.testing.assert_allclose(cents.upper, 100 * euros.upper, rtol=1e-9)


def test_too_wide_posteriors_get_narrower_intervals(correction, draws):
    found, raw = correction.intervals(draws, 0.9), central_interval(np.sort(draws, axis=1), 0.9)
    assert np.mean(found.upper - found.lower) < 0.7 * np.mean(raw[1] - raw[0])
    assert found.regime == "regime, past the 0.836 that 60 fits guarantee"


def test_outside_the_hull_nothing_is_narrower_than_raw(correction, draws):
    inside, outside = (correction.intervals(draws, 0.9, observed) for observed in (INSIDE, OUTSIDE))
    raw = central_interval(np.sort(draws.astype(np.float64), axis=1), 0.9)
    np.testing.assert_array_equal(outside.lower, np.minimum(inside.lower, raw[0]))
    np.testing.assert_array_equal(outside.upper, np.maximum(inside.upper, raw[1]))
    assert outside.regime.endswith("nowhere narrower than raw: outside the regime in conversion_rate")
    assert "outside" not in inside.regime


def test_many_rows_are_corrected_in_blocks_with_one_heterogeneity(correction, draws, monkeypatch):
    whole = correction.intervals(draws, 0.9)
    monkeypatch.setattr("sbcflow.calibration.intervals.BLOCK_VALUES", 1500)
    again = correction.intervals(draws, 0.9)
    np.testing.assert_array_equal(whole.lower, again.lower)
    np.testing.assert_array_equal(whole.upper, again.upper)


def test_the_file_holds_all_of_it(correction, draws, tmp_path):
    files = correction.to_files()
    assert list(files) == [REGIME_FILE]
    (tmp_path / REGIME_FILE).write_text(json.dumps(files[REGIME_FILE], allow_nan=False))
    again = RegimeCorrection.load(tmp_path)
    assert again == correction
    np.testing.assert_array_equal(again.intervals(draws, 0.97).upper, correction.intervals(draws, 0.97).upper)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema_version must be 1, got 2"),
        ({"cutoffs": {"n_fits": 60, "depths": [0.5, 0.6]}}, "depths must never rise"),
        ({"cutoffs": {"n_fits": 60, "depths": [0.5]}}, "depths must have 836 values for 60 fits"),
        ({"regression": {"location": 0, "log_scale": 0, "splines": {}}}, "key signal is missing"),
        ({"shape": {"body": [1, 0], "lower": {}, "upper": {}}}, "body must be at least two ascending"),
        ({"trained_on": None}, "trained_on must be a string"),
    ],
)
def test_a_damaged_file_is_named_with_its_key(correction, tmp_path, change, message):
    (tmp_path / REGIME_FILE).write_text(json.dumps(correction.to_files()[REGIME_FILE] | change))
    with pytest.raises(ArtifactError, match=f"{REGIME_FILE}: {message}"):
        RegimeCorrection.load(tmp_path)


@pytest.mark.parametrize("xi", [-0.1, 0.6])
def test_a_tail_out_of_its_bounds_is_refused(correction, tmp_path, xi):
    content = correction.to_files()[REGIME_FILE]
    content["shape"]["upper"]["xi"] = xi
    (tmp_path / REGIME_FILE).write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match=r"xi must lie in \[0, 0.5\]"):
        RegimeCorrection.load(tmp_path)


def test_equal_fits_and_seeds_give_equal_files(correction):
    again = fit_regime(sweep(), HULL, seed=1, trained_on="train", fitted_by={"estimator": "hurdle"})
    assert json.dumps(again.to_files()) == json.dumps(correction.to_files())
    other = fit_regime(sweep(), HULL, seed=2, trained_on="train", fitted_by={"estimator": "hurdle"})
    assert other.to_files() != correction.to_files()


def test_too_few_fits_are_refused():
    with pytest.raises(ArtifactError, match=f"59 fits are too few .*at least {MIN_FITS}"):
        fit_regime(sweep(59), HULL, seed=1, trained_on="train")
    with pytest.raises(ArtifactError, match="no converged fit"):
        fit_regime([], HULL, seed=1, trained_on="train")


def test_unequal_numbers_of_points_are_refused():
    with pytest.raises(ArtifactError, match="as many test points, got 29 to 30"):
        fit_regime([*sweep(59), *sweep(1, 29)], HULL, seed=1, trained_on="train")


@pytest.mark.parametrize("level", [0.0, 1.0, 1.5])
def test_a_level_that_is_none_is_refused(correction, draws, level):
    with pytest.raises(ParamsError, match="level: must lie between 0 and 1"):
        correction.intervals(draws, level)


def test_draws_without_spread_are_refused(correction):
    with pytest.raises(DataError, match="must spread within every point"):
        correction.intervals(np.ones((3, 100)), 0.9)


def test_observables_by_hand():
    """A normal's quantiles: no skew, a normal's tail; two points one sd apart about 5."""
    from scipy.stats import norm

    grid = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    ordered = np.stack([grid + 4.5, grid + 5.5])
    spread = heterogeneity_of(ordered)
    assert spread == pytest.approx(np.log(0.5), abs=1e-3)
    found = dict(zip(OBSERVABLES, observe(ordered, spread).T, strict=True))
    np.testing.assert_allclose(found["signal"], [4.5, 5.5], rtol=1e-3)
    np.testing.assert_allclose(found["skew"], 0, atol=1e-9)
    np.testing.assert_allclose(found["tail"], 0, atol=1e-3)
    right = dict(zip(OBSERVABLES, observe(np.exp(ordered), spread).T, strict=True))
    assert (right["skew"] > 0.5).all() and (right["tail"] > 0.3).all()


def test_one_point_has_the_least_heterogeneity():
    assert heterogeneity_of(np.sort(np.random.default_rng(3).normal(size=(1, 50)))) == -8.0


def test_the_gradient_is_the_loss_functions():
    rng = np.random.default_rng(4)
    columns, ridge, errors = rng.normal(size=(3, 200)), np.array([0.1, 1.0, 2.0]), rng.normal(size=200)
    at = 0.3 * rng.normal(size=8)
    numeric = approx_fprime(at, lambda v: _loss(v, columns, ridge, errors)[0], 1e-7)
    np.testing.assert_allclose(_loss(at, columns, ridge, errors)[1], numeric, atol=1e-5)


def test_a_planted_shrinkage_and_spread_are_found():
    """20,000 errors: location -0.5 signal, scale exp(0.3 tail); the ridge takes a little of either."""
    rng = np.random.default_rng(5)
    observables = rng.uniform(-1, 1, size=(20_000, 4))
    signal, tail = observables[:, 0], observables[:, 2]
    errors = -0.5 * signal + np.exp(0.3 * tail) * rng.standard_t(8, size=20_000)
    regression = fit_location_scale(observables, errors)
    at = np.zeros((3, 4))
    at[:, 0] = at[:, 2] = [-0.8, 0.0, 0.8]
    location, scale = regression.predict(at)
    np.testing.assert_allclose(location, [0.4, 0.0, -0.4], atol=0.05)
    np.testing.assert_allclose(np.log(scale), [-0.24, 0.0, 0.24], atol=0.05)


def test_beyond_the_outer_knots_functions_are_constant():
    rng = np.random.default_rng(6)
    regression = fit_location_scale(rng.normal(size=(2000, 4)), rng.normal(size=2000))
    far, further = (regression.predict(np.full((1, 4), value)) for value in (10.0, 1e6))
    assert far == further


def test_regressions_compare_by_value(correction):
    assert replace(correction, n_learnt=1) != correction

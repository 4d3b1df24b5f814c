"""Known answers of an audit: miscalibration planted in the model, in the approximation, or in both."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm

from sbcflow.calibration.audit import Attribution, attribute
from sbcflow.levels import LEVELS

HALF_WIDTHS = norm.ppf((1 + np.asarray(LEVELS)) / 2)
N_FITS, N_POINTS = 40, 500


def coverages(rng: np.random.Generator, shared: np.ndarray, too_narrow: float) -> np.ndarray:
    """Coverage (n_fits, n_levels) of intervals of posteriors with 1/``too_narrow`` of the right sd.

    ``shared`` (n_fits, n_points) are errors that both inferences have, in right posterior sds.
    """
    errors = np.abs(shared + 0.05 * rng.normal(size=shared.shape))
    return (errors[:, :, None] * too_narrow < HALF_WIDTHS).mean(axis=1)


def audited(model: float, approximation: float, seed: int = 1) -> Attribution:
    """An audit where the model makes posteriors too narrow by a factor, and the approximation by another."""
    rng = np.random.default_rng(seed)
    shared = rng.normal(size=(N_FITS, N_POINTS)) * model
    return attribute(coverages(rng, shared, approximation), coverages(rng, shared, 1.0), 1000, seed)


def errors_of(too_narrow: float) -> float:
    actual = 2 * norm.cdf(HALF_WIDTHS / too_narrow) - 1
    return float(np.abs(actual - np.asarray(LEVELS)).mean())


def test_an_exact_model_leaves_all_of_it_to_the_approximation() -> None:
    """The reference is off by chance alone, 0.002 at 20,000 points: a share of over 0.95 of 0.107."""
    found = audited(model=1.0, approximation=1.5)
    assert found.approximate.value == pytest.approx(errors_of(1.5), abs=0.01)
    assert found.share.value > 0.95 and found.share.lower > 0.9


def test_an_exact_inference_leaves_all_of_it_to_the_model() -> None:
    found = audited(model=1.5, approximation=1.0)
    assert found.share.value == pytest.approx(0, abs=0.02)
    assert found.share.lower < 0 < found.share.upper


def test_of_both_each_has_its_part() -> None:
    """By the closed form, within 4 standard errors of 20,000 points on either side (0.03)."""
    found = audited(model=1.3, approximation=1.2)
    expected = 1 - errors_of(1.3) / errors_of(1.3 * 1.2)
    assert found.share.value == pytest.approx(expected, abs=0.03)


def test_an_approximation_that_hides_the_model_s_error_has_a_negative_share() -> None:
    assert audited(model=1.5, approximation=0.8).share.upper < 0


def share_held(interval: Callable[[np.ndarray, np.ndarray], tuple[float, float]]) -> float:
    """How often a 95% interval of the share holds its truth, in 200 audits of fits that share an error."""
    expected = 1 - errors_of(np.hypot(1, 0.5)) / errors_of(1.3 * np.hypot(1, 0.5))
    held = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        shared = rng.normal(size=(20, 100)) + 0.5 * rng.normal(size=(20, 1))
        lower, upper = interval(coverages(rng, shared, 1.3), coverages(rng, shared, 1.0))
        held.append(lower <= expected <= upper)
    return float(np.mean(held))


def over_fits(approximate: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    share = attribute(approximate, reference, 300, 1).share
    return share.lower, share.upper


def test_the_interval_over_fits_is_honest() -> None:
    """95%, less 4 Monte Carlo standard errors over 200 (0.06) and a percentile interval's 0.02 at 20 fits."""
    assert share_held(over_fits) >= 0.87


def test_an_interval_of_unpaired_fits_is_caught() -> None:
    """The broken variant pairs nothing: it is several times as wide as the paired one."""
    rng = np.random.default_rng(3)
    shared = rng.normal(size=(20, 100)) + 0.5 * rng.normal(size=(20, 1))
    approximate, reference = coverages(rng, shared, 1.3), coverages(rng, shared, 1.0)
    paired = np.diff(over_fits(approximate, reference))
    unpaired = np.diff(over_fits(approximate, reference[rng.permutation(20)]))
    assert unpaired > 1.5 * paired


def test_one_fit_has_no_interval() -> None:
    found = attribute(np.full((1, 12), 0.5), np.full((1, 12), 0.4), 100, 1)
    assert np.isnan([found.share.lower, found.share.upper, found.reference.lower]).all()
    assert found.share.to_json()["lower"] is None

"""Known answers: planted errors are undone, within stated Monte Carlo error, and broken rules are caught."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from sbcflow.calibration.bootstrap import interval_over_fits
from sbcflow.calibration.coverage_curve import fit_coverage_curve
from sbcflow.calibration.fit import fit_corrections
from sbcflow.calibration.layered import LayeredCorrection, Rule
from sbcflow.calibration.scale_family import fit_scale_family
from sbcflow.levels import LEVELS
from sbcflow.params import CorrectionSettings
from sbcflow.scoring import covers, order_draws, score_fit

C = 0.6
N_POINTS, N_DRAWS = 200, 1000
SETTINGS = CorrectionSettings(id="corrections", n_bootstrap=200, seed=1)
# Levels whose intervals 1,000 draws can place: the train sweep's anchor is known from the same draws.
WANTED = (0.2, 0.5, 0.8, 0.9, 0.95, 0.975, 0.99)


def fits_of(seed: int, n_fits: int):
    """Posterior draws ``C`` times as wide as the errors of their centers; the truths are 0."""
    rng = np.random.default_rng(seed)
    for _ in range(n_fits):
        draws = rng.normal(size=(N_POINTS, 1)) + C * rng.normal(size=(N_POINTS, N_DRAWS))
        yield draws.astype(np.float32), np.zeros(N_POINTS)


@pytest.fixture(scope="module")
def train_table() -> pd.DataFrame:
    rows = [{f"metrics.{k}": v for k, v in score_fit(*fit).items()} for fit in fits_of(1, 40)]
    constants = {"n_visitors": 1000, "diagnostics.conversion_rate": 0.1, "diagnostics.n_arms": 2}
    return pd.DataFrame(rows).assign(
        **constants, **{"diagnostics.severity_sd": 1.0, "diagnostics.converged": True}
    )


@pytest.fixture(scope="module")
def correction(train_table) -> LayeredCorrection:
    return fit_corrections(train_table, SETTINGS, "train")


@pytest.fixture(scope="module")
def held_out() -> list:
    return [(order_draws(draws), truth) for draws, truth in fits_of(2, 40)]


def miscovered(rule: Callable[[float], Rule], sweep: list) -> list[float]:
    """The wanted levels at which mean coverage differs from nominal by more than its error explains.

    Error of the train and of the test sweep's mean coverage, 4 standard errors of each over their 40
    fits, the densities' ratio (under 2.5 here) carrying the train's over; and 0.002, the 2/S of S draws.
    """
    found = []
    for level in WANTED:
        fits = [covers(*rule(level).read(ordered), truth).mean() for ordered, truth in sweep]
        test_error = np.std(fits, ddof=1) / np.sqrt(len(fits))
        nominal_error = np.sqrt(level * (1 - level) / (N_POINTS * len(fits)))
        if abs(np.mean(fits) - level) > 4 * max(test_error, nominal_error) * np.sqrt(2) + 0.002:
            found.append(level)
    return found


def test_layered_undoes_a_planted_scale_error(correction, held_out):
    assert correction.scale.anchor_usable
    assert {correction.rule(level).regime for level in WANTED} == {"r_of_p", "scale_family"}
    assert miscovered(correction.rule, held_out) == []


def test_c_is_the_planted_one(correction):
    """Within 0.01: the mean coverages' own error, over 40 fits of 200 points, is 0.003 at the least."""
    assert correction.scale.c == pytest.approx(C, abs=0.01)


def test_raw_is_caught(correction, held_out):
    assert miscovered(lambda level: correction.rule(level, "raw"), held_out) == list(WANTED)


def test_a_curve_read_the_wrong_way_is_caught(correction, held_out):
    def forward(level: float) -> Rule:
        return Rule(correction.curve.actual(level), 1.0, "broken")

    assert miscovered(forward, held_out) == list(WANTED)


def test_an_inverted_z_ratio_is_caught(correction, held_out):
    def inverted(level: float) -> Rule:
        rule = correction.rule(level)
        return dataclasses.replace(rule, stretch=1 / rule.stretch)

    broken = [level for level in WANTED if correction.rule(level).regime == "scale_family"]
    assert broken and miscovered(inverted, held_out) == broken


def test_a_stretch_without_the_anchors_actual_is_caught(correction, held_out):
    def from_nominal(level: float) -> Rule:
        rule = correction.rule(level)
        if rule.regime != "scale_family":
            return rule
        wrong = norm.ppf((1 + level) / 2) / norm.ppf((1 + LEVELS[-1]) / 2)
        return dataclasses.replace(rule, stretch=wrong)

    assert miscovered(from_nominal, held_out)


# Bootstrap: the points of a fit share an error b ~ N(0, SHARED^2), so coverage varies from fit to fit.
SHARED, N_FITS, N_SWEEPS = 0.8, 30, 300
Z90 = norm.ppf(0.95)
TRUE_COVERAGE = 2 * norm.cdf(Z90 / np.sqrt(1 + SHARED**2)) - 1


def coverages_of_sweeps() -> np.ndarray:
    """(N_SWEEPS, N_FITS): coverage at 0.9 of the points of each fit of many sweeps."""
    rng = np.random.default_rng(3)
    shared = SHARED * rng.normal(size=(N_SWEEPS, N_FITS, 1))
    return (np.abs(shared + rng.normal(size=(N_SWEEPS, N_FITS, 100))) < Z90).mean(axis=2)


def share_that_holds_the_truth(interval: Callable[[np.ndarray], tuple]) -> float:
    ends = [interval(sweep) for sweep in coverages_of_sweeps()]
    return float(np.mean([low <= TRUE_COVERAGE <= high for low, high in ends]))


def over_fits(sweep: np.ndarray) -> tuple:
    return interval_over_fits(sweep, 500, 1)


def over_points(sweep: np.ndarray) -> tuple:
    """The broken variant: forgets that the points of a fit belong together."""
    mean = sweep.mean()
    error = 1.96 * np.sqrt(mean * (1 - mean) / (N_FITS * 100))
    return mean - error, mean + error


def is_honest(share: float) -> bool:
    """95% less the percentile interval's known shortfall at 30 clusters (0.02), within 4 MC errors (0.05)."""
    return 0.88 <= share <= 1.0


def test_bootstrap_over_fits_holds_the_truth_as_often_as_it_says():
    assert is_honest(share_that_holds_the_truth(over_fits))


def test_an_interval_that_forgets_clusters_is_caught():
    assert not is_honest(share_that_holds_the_truth(over_points))


def test_bootstrap_over_fits_is_wider_where_points_share_an_error():
    sweep = coverages_of_sweeps()[0]
    widths = [np.subtract(*interval(sweep)[::-1]) for interval in (over_fits, over_points)]
    assert widths[0] > 3 * widths[1]


def test_curve_band_holds_the_true_curve():
    """60 sweeps x 12 levels of the shared-error design: the pointwise 95% band, judged as above."""
    rng = np.random.default_rng(4)
    half_widths = norm.ppf((1 + np.asarray(LEVELS)) / 2)
    truth = 2 * norm.cdf(half_widths / np.sqrt(1 + SHARED**2)) - 1
    held = []
    for _ in range(60):
        errors = np.abs(SHARED * rng.normal(size=(N_FITS, 1)) + rng.normal(size=(N_FITS, 100)))
        curve = fit_coverage_curve((errors[:, :, None] < half_widths).mean(axis=1), 200, 1)
        held.append((np.array(curve.band_lower) <= truth) & (truth <= np.array(curve.band_upper)))
    # Near coverage 1 most fits have no miss at all, and a percentile band is known to fall short.
    assert is_honest(np.mean(np.array(held)[:, :8]))


def test_a_wide_enough_posterior_leaves_no_anchor():
    """Twice too wide, at 0.9995 nothing is missed: R(p) alone, and the family says so."""
    rng = np.random.default_rng(5)
    draws = rng.normal(size=(12, 200, 1)) + 2 * rng.normal(size=(12, 200, 500))
    rows = [score_fit(fit, np.zeros(200)) for fit in draws]
    family = fit_scale_family(np.array([list(row.values())[: len(LEVELS)] for row in rows]))
    assert not family.anchor_usable and "is 1.0" in family.anchor_reason

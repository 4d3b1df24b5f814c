"""Known answers of the correction by regime, within stated Monte Carlo error, and broken variants caught."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from regime_fits import N_POINTS, SPREADS, Fit, by_spread, calibrated, errors, fits_of
from scipy.stats import genpareto, norm

from sbcflow.calibration.evaluate import Method, TestFit
from sbcflow.calibration.regime import Range, Regime
from sbcflow.calibration.regime.conformal import FITS_PAST, STEPS, Cutoffs, fit_cutoffs
from sbcflow.calibration.regime.correction import RegimeCorrection
from sbcflow.calibration.regime.fit import FitErrors, errors_of, fit_regime
from sbcflow.calibration.regime.shape import TAIL_SHARE, XI_BOUNDS, fit_shape
from sbcflow.calibration.rivals.methods import conformal, conformal_quantiles, sd_factor
from sbcflow.calibration.rivals.train import reduce_fits
from sbcflow.scoring import central_interval, covers, interval_score

HULL = Regime(Range(1, 1), Range(0.1, 0.1), Range(2, 2), Range(1, 1))
N_TRAIN, N_TEST = 600, 300
LEVELS = (0.2, 0.5, 0.8, 0.9, 0.95, 0.99)


def correction_of(train: list[FitErrors]) -> RegimeCorrection:
    return fit_regime(train, HULL, seed=1, trained_on="train")


@pytest.fixture(scope="module")
def planted() -> RegimeCorrection:
    return correction_of(errors(fits_of(1, N_TRAIN, by_spread)))


@pytest.fixture(scope="module")
def unseen() -> list[Fit]:
    return list(fits_of(2, N_TEST, by_spread))


def miscovered(method: Method, fits: list[Fit]) -> list[tuple[int, float]]:
    """The spreads and levels at which coverage is off by more than chance explains.

    Chance: 4 standard errors of the test points in the spread's third and of the train points, those
    independent and a third of 2/3 of the train fits; the guarantee's excess of a level over the calibration
    fits; and 0.01, as the regression is a smooth curve through three spreads. False alarms: under 1 in
    1,000 for all together.
    """
    found = []
    readings = [(method(ordered), truth) for ordered, truth in fits]
    for place, _ in enumerate(SPREADS):
        own = readings[place :: len(SPREADS)]
        for level in LEVELS:
            coverage = np.mean([covers(*ends(level), truth).mean() for ends, truth in own])
            n_test, n_train = N_POINTS * len(own), N_POINTS * N_TRAIN * 2 / 9
            chance = 4 * np.sqrt(level * (1 - level) * (1 / n_test + 1 / n_train))
            if not -chance - 0.01 <= coverage - level <= chance + 0.01 + level / (N_TRAIN * 2 / 3):
                found.append((place, level))
    return found


def test_over_and_under_dispersion_by_regime_are_undone(planted, unseen):
    assert miscovered(planted.see, unseen) == []


def test_raw_is_caught(unseen):
    def raw(ordered):
        return lambda level: central_interval(ordered, level)

    assert {place for place, _ in miscovered(raw, unseen)} == {0, 2}


def test_one_scale_for_all_regimes_is_caught(unseen):
    one = conformal([fit.errors for fit in errors(fits_of(1, N_TRAIN, by_spread))])
    assert {place for place, _ in miscovered(one, unseen)} == {0, 1, 2}


def test_a_location_scale_read_upside_down_is_caught(planted, unseen):
    upside_down = replace(planted, regression=replace(planted.regression, splines=_negated(planted)))
    assert miscovered(upside_down.see, unseen)


def _negated(correction: RegimeCorrection):
    return {
        name: replace(spline, scale=tuple(-slope for slope in spline.scale))
        for name, spline in correction.regression.splines.items()
    }


def test_calibrated_draws_stay_so():
    """Widths within 2% of raw on average: the guarantee's excess at 400 calibration fits is 0.7% of them."""
    found = correction_of(errors(fits_of(3, N_TRAIN, calibrated)))
    fits = list(fits_of(4, N_TEST, calibrated))
    assert miscovered(found.see, fits) == []
    for level in (0.5, 0.8, 0.9, 0.95):
        ends = [(found.see(ordered)(level), central_interval(ordered, level)) for ordered, _ in fits]
        ours, raw = (np.mean([upper - lower for lower, upper in pair]) for pair in zip(*ends, strict=True))
        assert ours / raw == pytest.approx(1, abs=0.02)


def test_shuffled_labels_give_no_gain(planted, unseen):
    """Observables of other fits tell nothing: scores are those of one scale for all. Their own tell.

    Over ten shuffles the ratio had mean 1.007 and sd 0.03, chance likenesses of 200 fits; 4 sd are allowed.
    """
    train = errors(fits_of(1, N_TRAIN, by_spread))
    order = np.random.default_rng(5).permutation(N_TRAIN)
    shuffled = [FitErrors(train[i].observables, fit.errors) for i, fit in zip(order, train, strict=True)]
    one = conformal([fit.errors for fit in train])
    base = mean_score(one, unseen)
    assert mean_score(correction_of(shuffled).see, unseen) / base == pytest.approx(1, abs=0.12)
    assert mean_score(planted.see, unseen) / base < 0.85


def mean_score(method: Method, fits: list[Fit], level: float = 0.9) -> float:
    scores = [interval_score(*method(ordered)(level), truth, level).mean() for ordered, truth in fits]
    return float(np.mean(scores))


def leaks(reduce: Callable[[np.ndarray, np.ndarray], FitErrors]) -> bool:
    """Whether the observables of a fit change with its truths."""
    ordered, truth = next(fits_of(6, 1, calibrated))
    kept, other = (reduce(ordered, t).observables for t in (truth, truth + 1))
    return not np.array_equal(kept, other)


def test_observables_do_not_know_the_truth():
    assert not leaks(errors_of)


def test_a_leak_of_the_truth_is_caught():
    def leaking(ordered, truth):
        found = errors_of(ordered, truth)
        return FitErrors(found.observables + 1e-6 * truth[:, None], found.errors)

    assert leaks(leaking)


# The guarantee, where it is tight: points of a fit all alike, so that a fit says no more than a point.
K, SWEEPS, GUARANTEED = 20, 20_000, 0.5


def share_covered(cutoff: Callable[[np.ndarray], float]) -> float:
    depths = np.random.default_rng(7).random((SWEEPS, K + 1))
    return float(np.mean([fit[K] >= cutoff(fit[:K, None]) for fit in depths]))


def test_the_guarantee_holds_for_whole_fits():
    """At least 0.5, less 4 standard errors (0.014); no more than the 1/K above it."""
    share = share_covered(lambda depths: fit_cutoffs(depths).cutoff(GUARANTEED))
    assert GUARANTEED - 0.014 <= share <= GUARANTEED + 1 / K + 0.014


def test_a_cutoff_without_the_fit_to_come_is_caught():
    share = share_covered(lambda depths: float(np.quantile(depths, 1 - GUARANTEED, method="higher")))
    assert share < GUARANTEED - 0.014


def test_what_is_guaranteed_grows_with_the_fits():
    found = [fit_cutoffs(np.random.default_rng(8).random((n, 5))) for n in (9, 20, 200)]
    assert [cutoffs.guaranteed_level for cutoffs in found] == [0, 0.523, 0.95]
    assert all(c.guaranteed_level <= 1 - FITS_PAST / (c.n_fits + 1) for c in found)


@pytest.mark.parametrize("cutoffs", [Cutoffs(9, ()), fit_cutoffs(np.random.default_rng(9).random((200, 5)))])
def test_cutoffs_fall_with_the_level_and_never_to_nothing(cutoffs):
    depths = [cutoffs.cutoff(level) for level in np.linspace(1 / STEPS, 1 - 1e-6, 5000)]
    assert all(a >= b > 0 for a, b in pairwise(depths))


# Tails: 40,000 residuals, 2,000 past either threshold.
TAILS = {
    "normal": (norm.rvs, norm.ppf, 0.0),
    "heavy": (
        lambda size, random_state: (
            genpareto.rvs(0.3, size=size, random_state=random_state)
            * np.random.default_rng(11).choice([-1, 1], size)
        ),
        lambda p: genpareto.ppf(2 * p - 1, 0.3),
        0.3,
    ),
}


@pytest.mark.parametrize("name", TAILS)
@pytest.mark.parametrize(
    ("level", "chance"), [(0.99, 0.08), (0.995, 0.12), (0.999, 0.2), (0.9995, 0.25)], ids=str
)
def test_quantiles_far_out_are_those_of_the_distribution(name, level, chance):
    """Within 4 relative standard errors at 2,000 exceedances of xi = 0.3: xi's own is 1.3/sqrt(2000), and
    the log quantile moves with it by 0.7 (0.99) to 2.2 (0.9995) times as much. A normal's tail is lighter
    than the lightest allowed, so there the quantile errs on the wide side, by under 0.15.
    """
    sample, exact, xi = TAILS[name]
    shape = fit_shape(sample(size=40_000, random_state=10))
    ratio = shape.quantile((1 + level) / 2) / exact((1 + level) / 2)
    assert 1 - chance <= ratio <= 1 + chance
    assert shape.upper.xi == pytest.approx(xi, abs=4 * 1.3 / np.sqrt(2000))


def test_an_exponential_tail_on_heavy_residuals_is_caught():
    sample, exact, _ = TAILS["heavy"]
    shape = fit_shape(sample(size=40_000, random_state=10))
    light = replace(shape, upper=replace(shape.upper, xi=0.0))
    assert light.quantile(0.99975) / exact(0.99975) < 1 - 0.25


def test_a_tail_that_nothing_lies_in_has_quantiles_all_the_same():
    """The anchor of the layered rule degenerates where no fit misses at 0.9995; this cannot."""
    shape = fit_shape(np.concatenate([np.zeros(1000), np.ones(1)]))
    found = [shape.quantile(p) for p in (0.5, 0.9, 0.99, 0.999, 0.99999)]
    assert np.isfinite(found).all() and found == sorted(found)
    assert XI_BOUNDS[0] <= shape.upper.xi <= XI_BOUNDS[1]


@pytest.mark.parametrize("probability", [1e-5, 0.01, TAIL_SHARE, 0.3, 0.5, 0.95, 0.999])
def test_depth_and_quantile_are_inverse(probability):
    shape = fit_shape(norm.rvs(size=20_000, random_state=12))
    depth = shape.depth(np.array([shape.quantile(probability)]))
    assert depth[0] == pytest.approx(2 * min(probability, 1 - probability), rel=1e-9)


def test_rivals_are_right_on_average_in_the_training_distribution(unseen):
    """Each at the level that it is fitted at, over all regimes, within 4 standard errors over 300 fits."""
    train = reduce_fits(
        TestFit(str(i), 1, "", 0.1, True, ordered.astype(np.float32), truth)
        for i, (ordered, truth) in enumerate(fits_of(1, N_TRAIN, by_spread))
    )
    methods = (
        sd_factor([fit.factors for fit in train]),
        conformal([fit.errors.errors for fit in train]),
        conformal_quantiles([fit.missed for fit in train]),
    )
    for method in methods:
        shares = [covers(*method(ordered)(0.9), truth).mean() for ordered, truth in unseen]
        assert np.mean(shares) == pytest.approx(0.9, abs=4 * np.std(shares) / np.sqrt(N_TEST) + 0.002)

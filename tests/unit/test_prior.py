"""The family of the prior: pure, faithful to the model's own prior, with truths that its outcomes follow.

Distributions are compared by Kolmogorov-Smirnov tests that fail under 1e-4 (7 tests) and means within 4.5
standard errors (8): one false alarm in some 1,300 choices of the fixed seeds.
"""

import dataclasses

import numpy as np
import pytest
from scipy.stats import halfnorm, kstest, lognorm
from small_trials import CONVERSION, SEVERITY, model_settings

from sbcflow.data import Simulation
from sbcflow.generators.prior import Prior
from sbcflow.params import PriorSettings

SETTINGS = PriorSettings(n_arms=3, n_continuous=1, n_binary=1, n_categorical=1)
FAMILY = Prior(SETTINGS, model_settings(n_knots=4, interactions=False))
SMALLEST_P = 1e-4
N_SEEDS = 150


def simulate(seed: int, n: int = 2000, n_test: int = 60, family: Prior = FAMILY) -> Simulation:
    return family.simulate(seed, {}, n, n_test)


@pytest.fixture(scope="module")
def drawn() -> dict[str, np.ndarray]:
    """Hyperparameters over many seeds, by name."""
    found = [simulate(seed, n=200, n_test=2).parameters for seed in range(N_SEEDS)]
    return {name: np.array([p[name][0] for p in found]) for name in found[0]}


def prior_of(name: str):
    part = CONVERSION if name.startswith("conversion") else SEVERITY
    if name == "severity.noise":
        return lognorm(SEVERITY.noise_log_sd, scale=SEVERITY.noise_median)
    widths = {
        "shift": part.shift_scale,
        "prognostic": part.prognostic_scale,
        "treatment": part.treatment_scale,
    }
    return halfnorm(scale=next(width for of, width in widths.items() if of in name))


def test_hyperparameters_follow_their_prior(drawn) -> None:
    assert len(drawn) == 2 * 5 + 1
    assert min(kstest(values, prior_of(name).cdf).pvalue for name, values in drawn.items()) > SMALLEST_P


def test_the_check_of_priors_catches_a_scale_of_the_other_kind(drawn) -> None:
    values = drawn["severity.treatment_main"]
    assert kstest(values, prior_of("severity.prognostic_main").cdf).pvalue < SMALLEST_P


def test_the_same_seed_gives_the_same_data_and_another_others() -> None:
    one, again, other = simulate(1), simulate(1), simulate(2)
    np.testing.assert_array_equal(one.trial.revenue, again.trial.revenue)
    np.testing.assert_array_equal(one.test_cate, again.test_cate)
    assert not np.array_equal(one.trial.revenue, other.trial.revenue)


def test_trials_are_sound() -> None:
    trial = simulate(3).trial
    np.testing.assert_array_equal(trial.revenue > 0, trial.converted)
    assert set(trial.arm) == {0, 1, 2}
    assert [f.kind for f in trial.covariates.features] == ["continuous", "binary", "categorical"]
    assert set(simulate(3).test_points.arm) == {1, 2}


def effect_errors(simulation: Simulation, truth: np.ndarray) -> np.ndarray:
    """Of each treatment's difference in mean revenue, in standard errors about ``truth`` (K - 1,)."""
    trial = simulation.trial
    of_arm = [trial.revenue[trial.arm == k] for k in range(trial.n_arms)]
    mean = np.array([r.mean() for r in of_arm])
    error = np.array([r.std() / np.sqrt(len(r)) for r in of_arm])
    return (mean[1:] - mean[0] - truth) / np.hypot(error[1:], error[0])


@pytest.mark.parametrize("seed", [4, 5, 6, 7])
def test_differences_in_means_find_the_average_effects(seed: int) -> None:
    simulation = simulate(seed, n=200_000)
    assert np.abs(effect_errors(simulation, simulation.visitor_cate.mean(axis=0))).max() < 4.5


def test_the_check_of_effects_catches_a_truth_of_the_wrong_sign() -> None:
    simulation = simulate(4, n=200_000)
    assert np.abs(effect_errors(simulation, -simulation.visitor_cate.mean(axis=0))).max() > 4.5


def test_log_revenues_spread_as_sigma_says() -> None:
    """The spread of log revenue about its cell's mean, among visitors of an arm who look alike."""
    flat = FAMILY.model.severity.model_copy(update={"prognostic_scale": 1e-6, "treatment_scale": 1e-6})
    model = FAMILY.model.model_copy(update={"severity": flat})
    simulation = simulate(8, n=100_000, family=dataclasses.replace(FAMILY, model=model))
    trial = simulation.trial
    control = np.log(trial.revenue[trial.converted & (trial.arm == 0)])
    error = control.std() / np.sqrt(2 * len(control))
    assert abs(control.std() - simulation.parameters["severity.noise"][0]) < 4.5 * error


def test_every_config_is_of_the_one_template() -> None:
    assert FAMILY.draw_knobs(1, 2) == {"template": "prior"}

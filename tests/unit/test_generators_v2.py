"""The stress family: pure draws, a sound trial, and truths that hold against simulated outcomes.

Each truth is compared with a Monte Carlo mean and fails past LIMIT = 4.5 standard errors, which a right
truth does with probability 7e-6. Over the some 100 comparisons here that is a false alarm in one of about
1,500 choices of the seeds; they are fixed, so a failure is a change in the code.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
from pydantic import ValidationError

from sbcflow.data import Covariates, FloatArray, Simulation, average_effects, everybody
from sbcflow.errors import DataError, ParamsError
from sbcflow.generators import make_family
from sbcflow.generators.covariates import FEATURES, NUISANCE
from sbcflow.generators.surfaces import SurfaceValues
from sbcflow.generators.v2 import V2, draw_outcomes
from sbcflow.params import TEMPLATES, V2Settings

LIMIT = 4.5
N_OUTCOMES = 1_000_000
SEED = 20260527
# Large effects and little noise: what makes a truth that is wrong by 5% visible in N_OUTCOMES.
CLEAR = {
    "base_rate": 0.1,
    "severity_sigma": 0.6,
    "conversion_effect": 0.35,
    "severity_effect": 0.15,
}
WRONG_TRUTHS = ("times_1.05", "no_noise_mean", "conversion_only", "wrong_sign")


def family(n_arms: int = 2, **changes: tuple[float, float]) -> V2:
    ranges = {
        "base_rate": (0.01, 0.1),
        "severity_sigma": (0.6, 1.4),
        "conversion_effect": (0.05, 0.35),
        "severity_effect": (0.0, 0.15),
    }
    return V2(V2Settings(n_arms=n_arms, templates=TEMPLATES, **(ranges | changes)))


def knobs_of(template: str, seed: int = SEED, **changes: float) -> dict[str, float | int | str]:
    return family().draw_knobs(seed, TEMPLATES.index(template)) | changes


@cache
def simulated(template: str, n_visitors: int = 100_000, n_arms: int = 2) -> Simulation:
    return family(n_arms).simulate(SEED, knobs_of(template), n_visitors, 500)


def digest(simulation: Simulation, test_points: bool = True) -> str:
    trial = simulation.trial
    arrays = [trial.covariates.values, trial.arm, trial.converted, trial.revenue, simulation.visitor_cate]
    if test_points:
        points = simulation.test_points
        arrays += [points.covariates.values, points.arm, simulation.test_cate]
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


@dataclass(frozen=True)
class Estimate:
    """A Monte Carlo mean with its standard error."""

    mean: float
    se: float

    def z(self, truth: float) -> float:
        """Distance from the truth in standard errors; a constant sample must equal it."""
        if self.se == 0:
            return 0.0 if self.mean == truth else float("inf")
        return abs(self.mean - truth) / self.se


def estimate(sample: FloatArray) -> Estimate:
    return Estimate(float(sample.mean()), float(sample.std() / np.sqrt(len(sample))))


# Purity


@pytest.mark.parametrize("template", TEMPLATES)
def test_same_config_gives_same_bytes_whatever_ran_before(template: str) -> None:
    first = digest(family().simulate(SEED, knobs_of(template), 3000, 40))
    np.random.seed(0)  # noqa: NPY002 - the global state must not matter
    family(3).simulate(SEED + 1, knobs_of("clustered"), 777, 13)
    assert digest(family().simulate(SEED, knobs_of(template), 3000, 40)) == first


def test_number_of_test_points_does_not_move_the_trial() -> None:
    few, many = (family().simulate(SEED, knobs_of("clustered"), 2000, n) for n in (10, 999))
    assert digest(few, test_points=False) == digest(many, test_points=False)


def test_number_of_visitors_does_not_move_the_test_points() -> None:
    few, many = (family().simulate(SEED, knobs_of("clustered_realistic"), n, 50) for n in (500, 5000))
    assert few.test_points.covariates.values.tobytes() == many.test_points.covariates.values.tobytes()
    assert few.test_cate.tobytes() == many.test_cate.tobytes()


def test_other_seeds_give_other_data() -> None:
    knobs = knobs_of("constant")
    assert digest(family().simulate(1, knobs, 500, 10)) != digest(family().simulate(2, knobs, 500, 10))


def test_truth_at_a_customer_does_not_depend_on_the_others() -> None:
    covariates = simulated("clustered_realistic").trial.covariates
    surfaces = family().surfaces(SEED, knobs_of("clustered_realistic"))
    alone = [surfaces.cate(covariates.take(slice(i, i + 1)), 1)[0] for i in range(50)]
    np.testing.assert_allclose(alone, surfaces.cate(covariates, 1)[:50], rtol=1e-12)


# Knobs


def test_knobs_are_stratified_by_template_and_share_their_names() -> None:
    drawn = [family().draw_knobs(seed, replicate) for replicate, seed in enumerate(range(100, 116))]
    assert [knobs["template"] for knobs in drawn] == [*TEMPLATES, *TEMPLATES]
    assert len({tuple(knobs) for knobs in drawn}) == 1
    assert json.loads(json.dumps(drawn)) == drawn


def test_knobs_stay_in_their_ranges() -> None:
    drawn = [family().draw_knobs(seed, seed) for seed in range(400)]
    assert all(0.01 <= float(k["base_rate"]) <= 0.1 for k in drawn)
    assert all(0.05 <= abs(float(k["conversion_effect"])) <= 0.35 for k in drawn)
    assert all(abs(float(k["severity_effect"])) <= 0.15 for k in drawn)
    assert {np.sign(float(k["conversion_effect"])) for k in drawn} == {-1.0, 1.0}
    assert all(float(k["conversion_effect"]) > 0 for k in drawn if k["template"] == "sparse_benefit")
    assert all((k["n_clusters"] == 0) == (not str(k["template"]).startswith("clustered")) for k in drawn)


def test_sizes_of_effects_are_drawn_from_the_ranges_that_are_set() -> None:
    """And nothing else of a config moves: its other draws come from the same places of the stream."""
    larger = family(conversion_effect=(0.5, 2.0), severity_effect=(0.3, 0.4))
    for seed in range(50):
        drawn, usual = larger.draw_knobs(seed, seed), family().draw_knobs(seed, seed)
        assert 0.5 <= abs(float(drawn["conversion_effect"])) <= 2.0
        assert 0.3 <= abs(float(drawn["severity_effect"])) <= 0.4
        assert {name for name in drawn if drawn[name] != usual[name]} == {
            "conversion_effect",
            "severity_effect",
        }


def test_without_ranges_of_effects_they_are_those_of_before() -> None:
    before = V2(V2Settings(n_arms=2, base_rate=(0.01, 0.1), severity_sigma=(0.6, 1.4), templates=TEMPLATES))
    assert before.draw_knobs(1, 6) == family().draw_knobs(1, 6)


@pytest.mark.parametrize(
    ("key", "bounds"),
    [
        ("conversion_effect", (0.0, 0.3)),
        ("conversion_effect", (0.3, 0.1)),
        ("severity_effect", (-0.1, 0.2)),
        ("severity_effect", (0.0, 3.1)),
    ],
)
def test_sizes_of_effects_that_cannot_be_are_refused(key: str, bounds: tuple[float, float]) -> None:
    with pytest.raises(ValidationError, match=key):
        family(**{key: bounds})


def test_knobs_do_not_change_between_versions() -> None:
    """A seed's knobs are a published row of a sweep: a new draw must not shift the older ones."""
    knobs = family().draw_knobs(1, 6)
    assert (knobs["template"], knobs["base_rate"], knobs["n_clusters"]) == ("clustered", 0.05001, 4)


@pytest.mark.parametrize(
    ("knobs", "named"),
    [
        ({"template": "constant"}, "base_rate"),
        (knobs_of("constant") | {"spread": 1.0}, "spread"),
        (knobs_of("constant") | {"template": "constnat"}, "constnat"),
    ],
)
def test_wrong_knobs_are_named(knobs: dict[str, float | int | str], named: str) -> None:
    with pytest.raises(ParamsError, match=named):
        family().simulate(SEED, knobs, 100, 10)


# The trial


@pytest.mark.parametrize("n_arms", [2, 4])
def test_trial_keeps_the_hurdle_contract(n_arms: int) -> None:
    simulation = simulated("nonlinear", 20_000, n_arms)
    trial, points = simulation.trial, simulation.test_points
    assert np.array_equal(trial.revenue > 0, trial.converted)
    assert trial.n_arms == n_arms and set(trial.arm) == set(range(n_arms))
    assert set(points.arm) == set(range(1, n_arms)) and list(points.arm[:2]) == [1, 1 + 1 % (n_arms - 1)]
    assert simulation.visitor_cate.shape == (20_000, n_arms - 1)
    assert simulation.parameters == {}
    assert (trial.arm.dtype, points.arm.dtype) == (np.int32, np.int32)
    assert (trial.covariates.values.dtype, trial.revenue.dtype) == (np.float32, np.float64)


def test_arms_are_equally_likely_and_independent_of_the_covariates() -> None:
    trial = simulated("constant", 100_000, 4).trial
    for arm in range(4):
        chosen = trial.arm == arm
        assert estimate(chosen.astype(np.float64)).z(0.25) < LIMIT
        scores = trial.covariates.values[chosen, 3].astype(np.float64)
        assert estimate(scores).z(0.0) < LIMIT


def test_arms_differ_in_the_size_of_their_effect_and_the_first_keeps_it() -> None:
    four, two = (simulated("constant", 1000, k).visitor_cate for k in (4, 2))
    assert len(np.unique(four[0])) == 3
    assert np.array_equal(four[:, 0], two[:, 0])


def test_covariates_are_as_their_features_say() -> None:
    covariates = simulated("constant").trial.covariates
    for column, feature in enumerate(covariates.features):
        codes = set(np.unique(covariates.values[:, column]))
        if feature.kind == "binary":
            assert codes == {0, 1}
        if feature.kind == "categorical":
            assert codes == set(range(len(feature.levels)))
    assert np.isfinite(covariates.values).all()


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("base_rate", [0.01, 0.1])
def test_base_rate_is_realised(template: str, base_rate: float) -> None:
    surfaces = family().surfaces(SEED, knobs_of(template, base_rate=base_rate))
    realised = surfaces.conversion(simulated("constant").trial.covariates, 0).mean()
    assert realised == pytest.approx(base_rate, rel=0.04)


def test_nuisance_features_have_no_effect() -> None:
    covariates = simulated("clustered_realistic").trial.covariates
    columns = [i for i, feature in enumerate(FEATURES) if feature.name in NUISANCE]
    shuffled = covariates.values.copy()
    shuffled[:, columns] = shuffled[::-1, columns]
    surfaces = family().surfaces(SEED, knobs_of("clustered_realistic"))
    before, after = surfaces.at(covariates), surfaces.at(Covariates(FEATURES, shuffled))
    assert not np.array_equal(shuffled, covariates.values)
    assert np.array_equal(before.cate(1), after.cate(1))
    assert np.array_equal(before.conversion(0), after.conversion(0))
    assert np.array_equal(before.mean_spend(0), after.mean_spend(0))


def test_foreign_covariates_are_refused() -> None:
    foreign = Covariates(FEATURES[:2], np.zeros((3, 2), dtype=np.float32))
    with pytest.raises(DataError, match="nuisance_binary"):
        family().surfaces(SEED, knobs_of("constant")).at(foreign)


# Shapes


def shape_values(template: str) -> FloatArray:
    covariates = simulated("constant").trial.covariates
    return family().surfaces(SEED, knobs_of(template)).at(covariates).shape


@pytest.mark.parametrize("template", TEMPLATES)
def test_shapes_have_root_mean_square_one(template: str) -> None:
    assert np.sqrt(np.mean(shape_values(template) ** 2)) == pytest.approx(1, rel=0.03)


def test_shapes_are_what_their_names_say() -> None:
    assert (shape_values("constant") == 1).all()
    assert 0.15 < (shape_values("reversal") > 0).mean() < 0.85
    sparse = shape_values("sparse_benefit")
    assert (sparse >= 0).all() and 0.09 < (sparse > 0).mean() < 0.16
    assert (shape_values("monotone_gradient") > 0).all()
    assert len(np.unique(shape_values("clustered"))) == knobs_of("clustered")["n_clusters"]
    assert len(np.unique(shape_values("clustered_realistic"))) > 90_000


def test_interaction_has_no_main_effect() -> None:
    """The mean along any one feature is 0, in each of ten bins of it."""
    values, shape = simulated("constant").trial.covariates.values, shape_values("interaction_only")
    for column in range(5):
        bins = np.argsort(np.argsort(values[:, column])) // 10_000
        for b in range(10):
            assert estimate(shape[bins == b]).z(0.0) < LIMIT


# Truths against outcomes


@dataclass(frozen=True)
class Checked:
    """One customer's mean revenue and effect from simulated outcomes, and the truths claimed of them."""

    control: Estimate
    effect: Estimate
    claims: dict[str, float]


def outcomes_at(values: SurfaceValues, point: int, arm: int, sigma: float) -> tuple[Estimate, Estimate]:
    """Mean revenue of control, and mean effect: the arms share their random numbers, which sharpens it."""
    fixed = replace(
        values,
        logit=np.full(N_OUTCOMES, values.logit[point]),
        log_mean_spend=np.full(N_OUTCOMES, values.log_mean_spend[point]),
        shape=np.full(N_OUTCOMES, values.shape[point]),
    )
    arms = (np.full(N_OUTCOMES, k, dtype=np.int32) for k in (0, arm))
    control, treated = (draw_outcomes(SEED + point, fixed, a, sigma)[1] for a in arms)
    return estimate(control), estimate(treated - control)


@cache
def checked_points(template: str) -> tuple[Checked, ...]:
    """Outcomes at the test points of least and greatest effect, with the true CATE and wrong ones."""
    knobs = knobs_of(template, **CLEAR)
    simulation = family().simulate(SEED, knobs, 100, 500)
    points, cate = simulation.test_points, simulation.test_cate
    values, sigma = family().surfaces(SEED, knobs).at(points.covariates), float(knobs["severity_sigma"])
    gained = values.conversion(points.arm) - values.conversion(0)
    claims = {
        "true": cate,
        "control": values.conversion(0) * values.mean_spend(0),
        "times_1.05": 1.05 * cate,
        "no_noise_mean": cate * np.exp(-(sigma**2) / 2),
        "conversion_only": gained * values.mean_spend(0),
        "wrong_sign": -cate,
    }
    chosen = [int(np.argmin(cate)), int(np.argmax(cate))]
    return tuple(
        Checked(
            *outcomes_at(values, j, int(points.arm[j]), sigma),
            claims={name: float(truth[j]) for name, truth in claims.items()},
        )
        for j in chosen
    )


def truth_holds(template: str, truth: str) -> bool:
    """Whether a truth is within LIMIT standard errors of the outcomes at every checked point."""
    return all(point.effect.z(point.claims[truth]) < LIMIT for point in checked_points(template))


@pytest.mark.parametrize("template", TEMPLATES)
def test_cate_is_the_mean_difference_of_outcomes(template: str) -> None:
    assert truth_holds(template, "true")
    assert all(p.control.z(p.claims["control"]) < LIMIT for p in checked_points(template))


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("wrong", WRONG_TRUTHS)
def test_wrong_cate_is_caught(template: str, wrong: str) -> None:
    assert not truth_holds(template, wrong)


def ate_z(simulation: Simulation, ate: float, arm: int = 1) -> float:
    """Distance of the difference in means of ``arm`` and control from ``ate`` in standard errors."""
    trial = simulation.trial
    treated, control = (trial.revenue[trial.arm == k] for k in (arm, 0))
    se = np.sqrt(treated.var() / len(treated) + control.var() / len(control))
    return float(abs(treated.mean() - control.mean() - ate) / se)


@pytest.mark.parametrize("template", TEMPLATES)
def test_ate_is_the_difference_in_means_of_a_big_trial(template: str) -> None:
    simulation = family().simulate(SEED, knobs_of(template), 400_000, 10)
    effects = average_effects(simulation.visitor_cate, (everybody(simulation.trial.covariates),))
    assert ate_z(simulation, effects[0, 0]) < LIMIT


def test_ate_of_each_of_four_arms_is_its_difference_in_means() -> None:
    simulation = family(4).simulate(SEED, knobs_of("clustered", **CLEAR), 400_000, 10)
    effects = simulation.visitor_cate.mean(axis=0)
    assert all(ate_z(simulation, effects[arm - 1], arm) < LIMIT for arm in (1, 2, 3))
    assert ate_z(simulation, effects[0], 2) > LIMIT


def test_wrong_ate_is_caught() -> None:
    simulation = family().simulate(SEED, knobs_of("constant", **CLEAR), 400_000, 10)
    ate = float(simulation.visitor_cate.mean())
    assert ate_z(simulation, ate) < LIMIT
    assert ate_z(simulation, -ate) > LIMIT
    assert ate_z(simulation, ate / 2) > LIMIT


# The registry


def test_import_is_light() -> None:
    """Planning imports the generators, and must not pay for the numerical libraries of a fit."""
    heavy = "{'jax', 'numpyro', 'scipy', 'pandas'}"
    code = f"import sys, sbcflow.generators; sys.exit(', '.join({heavy} & set(sys.modules)) or 0)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_unknown_family_is_named() -> None:
    with pytest.raises(ParamsError, match=r"v3.*v2, prior"):
        make_family("v3", params=None)  # type: ignore[arg-type]

"""The Laplace fit against the same approximation computed densely, in float64, until nothing moves.

Nothing here is random but the trial: both are deterministic given it. What the fit saves (float32 columns, a
start from some of the visitors, curvature that is kept) moves no coefficient's mean by 0.02 of its posterior
sd, no sd by 2%, and no scale at the mode by 1%. benchmarks/accuracy.py does the same for effects on five
templates at 20,000 visitors with the full basis.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import dense_laplace as dense
import numpy as np
import pytest

from sbcflow.basis import Basis, make_basis
from sbcflow.data import FloatArray, Trial
from sbcflow.estimators.hurdle import see_conversions, see_severities
from sbcflow.generators import make_family
from sbcflow.inference import laplace
from sbcflow.inference.laplace import LaplaceFit
from sbcflow.model import part_prior, starting_theta
from sbcflow.params import PARAMS_FILE, load
from sbcflow.runtime import numerics

ROOT = Path(__file__).parents[2]
SEED, N_VISITORS = 20261128, 12_000
PARAMS = load(ROOT / PARAMS_FILE)
PARTS = ("conversion", "severity")


@cache
def trial() -> tuple[Trial, Basis]:
    """A trial of the stress family with rare conversions, on a basis without interactions."""
    family = make_family("v2", PARAMS)
    knobs = family.draw_knobs(SEED, PARAMS.generators.v2.templates.index("nonlinear"))
    simulated = family.simulate(SEED, {**knobs, "base_rate": 0.03}, N_VISITORS, 10).trial
    settings = PARAMS.model.basis.model_copy(update={"interactions": False})
    return simulated, make_basis(simulated.covariates, settings)


def fit(part: str) -> LaplaceFit:
    simulated, basis = trial()
    priors = getattr(PARAMS.model, part)
    with numerics():
        prior = part_prior(basis.structure, 2, priors)
        start = starting_theta(priors, prior)
        if part == "conversion":
            return laplace.fit_conversion(see_conversions(simulated, basis), prior, start)
        return laplace.fit_severity(see_severities(simulated, basis), prior, start)


@cache
def reference(part: str) -> LaplaceFit:
    simulated, basis = trial()
    priors = getattr(PARAMS.model, part)
    prior = part_prior(basis.structure, 2, priors)
    by_part = {"conversion": dense.fit_conversion, "severity": dense.fit_severity}
    return by_part[part](simulated, basis, prior, starting_theta(priors, prior))


def sd(found: LaplaceFit) -> FloatArray:
    quadratic = dense.Quadratic(found.centred.precision, found.centred.linear, 0.0, 0.0)
    return np.sqrt(np.diag(dense.gaussian(quadratic, found.prior, found.theta)[1]))


def check(found: LaplaceFit, known: LaplaceFit) -> None:
    assert found.converged
    assert np.abs((found.coef - known.coef).ravel() / sd(known)).max() < 0.02
    assert np.abs(sd(found) / sd(known) - 1).max() < 0.01
    assert np.abs(found.theta - known.theta).max() < 0.01
    np.testing.assert_allclose(
        found.theta_root @ found.theta_root.T, known.theta_root @ known.theta_root.T, rtol=0.05, atol=0.01
    )


@pytest.mark.parametrize("part", PARTS)
def test_means_spreads_and_scales_are_those_of_the_dense_computation(part: str) -> None:
    check(fit(part), reference(part))


@pytest.mark.parametrize("pilot", [1500, 4000])
def test_a_start_from_some_of_the_visitors_changes_nothing(monkeypatch, pilot: int) -> None:
    monkeypatch.setattr(laplace, "PILOT_VISITORS", pilot)
    check(fit("conversion"), reference("conversion"))


@pytest.mark.parametrize("kept", [(1e9, 1e9), (1e9, 1.0)])
def test_curvature_that_is_kept_too_long_is_caught(monkeypatch, kept: tuple[float, float]) -> None:
    monkeypatch.setattr(laplace, "SAME_CURVATURE", kept[0])
    monkeypatch.setattr(laplace, "SAME_CURVATURE_THETA", kept[1])
    with pytest.raises(AssertionError):
        check(fit("conversion"), reference("conversion"))


@pytest.mark.parametrize("part", PARTS)
def test_a_curvature_off_by_a_twentieth_is_caught(part: str) -> None:
    known = reference(part)
    wrong = replace(known, centred=replace(known.centred, precision=1.05 * known.centred.precision))
    with pytest.raises(AssertionError):
        check(wrong, known)

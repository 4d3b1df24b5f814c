"""The evidence equals the marginal density of the data in closed form; its gradient and its top are right."""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal
from small_trials import Case, basis_settings, make_case, make_trial, mixed_covariates

from sbcflow.errors import EstimationError
from sbcflow.inference.evidence import (
    centre,
    evidence_and_gradient,
    log_evidence,
    maximise,
    theta_root,
)
from sbcflow.likelihood import Curvature
from sbcflow.model import PartPrior, log_prior_theta, split_theta
from sbcflow.runtime import numerics

pytestmark = pytest.mark.usefixtures("fit_numerics")
THETAS = [np.log(np.array(t)) for t in ([0.3, 0.2, 0.1, 0.2, 0.7], [1.0, 0.01, 0.5, 0.4, 1.2])]


@pytest.fixture(scope="module")
def case() -> Case:
    """A trial of few converters, each arm's log revenue a conjugate Gaussian regression."""
    with numerics():
        return make_case(make_trial(mixed_covariates(250)), basis_settings(n_knots=4, interactions=False))


def closed_form(case: Case, theta: np.ndarray) -> float:
    """Log prior of theta plus the log density of the log revenues with coefficients integrated out."""
    prior = case.severity_prior
    scales, noise = split_theta(prior, jnp.asarray(theta))
    root = case.spender_rows * np.asarray(prior.sd(scales)).ravel()
    covariance = root @ root.T + float(noise) ** 2 * np.eye(len(root))
    mean = case.spender_rows @ np.asarray(prior.mean).ravel()
    marginal = multivariate_normal.logpdf(case.log_revenue, mean, covariance)
    return float(marginal + log_prior_theta(prior, jnp.asarray(theta)))


def evidence(centred: Curvature, prior: PartPrior, theta: np.ndarray) -> float:
    """The log evidence with the constant that it leaves out."""
    constant = 0.5 * float(centred.n) * np.log(2 * np.pi)
    return float(log_evidence(centred, prior, jnp.asarray(theta))) - constant


@pytest.mark.parametrize("theta", THETAS)
def test_the_evidence_is_the_marginal_density_of_the_data(case: Case, theta: np.ndarray) -> None:
    centred = centre(case.severities.curvature, case.severity_prior)
    assert evidence(centred, case.severity_prior, theta) == pytest.approx(closed_form(case, theta), abs=2e-3)


@pytest.mark.parametrize("theta", THETAS)
def test_the_closed_form_catches_a_lost_visitor_an_uncentred_prior_and_a_wrong_scale(case, theta) -> None:
    curvature, prior = case.severities.curvature, case.severity_prior
    centred = centre(curvature, prior)
    wrong = [
        evidence(replace(centred, n=centred.n - 1), prior, theta),
        evidence(curvature, prior, theta),
        evidence(centred, replace(prior, fixed_sd=1.1 * prior.fixed_sd), theta),
    ]
    assert np.abs(np.array(wrong) - closed_form(case, theta)).min() > 0.02


def quadratics(case: Case) -> list[tuple[Curvature, PartPrior]]:
    """Of severity, with sigma among theta, and of the same quadratic without."""
    curvature = case.severities.curvature
    plain = replace(curvature, squares=jnp.zeros(()), n=jnp.zeros(()))
    priors = case.severity_prior, case.conversion_prior
    return [(centre(c, p), p) for c, p in zip((curvature, plain), priors, strict=True)]


@pytest.mark.parametrize("theta", THETAS)
def test_the_gradient_is_that_of_jax_and_of_differences(case: Case, theta: np.ndarray) -> None:
    for centred, prior in quadratics(case):
        at = theta[: len(prior.theta_names)]
        value, gradient = evidence_and_gradient(centred, prior, jnp.asarray(at))
        by_jax = jax.grad(lambda t, c=centred, p=prior: log_evidence(c, p, t))(jnp.asarray(at))
        np.testing.assert_allclose(gradient, by_jax, rtol=1e-8, atol=1e-8)
        differences = approx_fprime(
            at, lambda t, c=centred, p=prior: float(log_evidence(c, p, jnp.asarray(t))), 1e-6
        )
        np.testing.assert_allclose(gradient, differences, rtol=1e-3, atol=1e-3)
        assert float(value) == pytest.approx(float(log_evidence(centred, prior, jnp.asarray(at))))


@pytest.mark.parametrize("start", [0.5, 1e-3, 20.0])
def test_the_top_is_found_from_bad_starts(case: Case, start: float) -> None:
    prior = case.severity_prior
    centred = centre(case.severities.curvature, prior)
    found = maximise(centred, prior, np.full(5, np.log(start)))
    gradient = evidence_and_gradient(centred, prior, jnp.asarray(found))[1]
    np.testing.assert_allclose(gradient, 0, atol=1e-2)
    for step in 0.1 * np.concatenate([np.eye(5), -np.eye(5)]):
        assert evidence(centred, prior, found + step) < evidence(centred, prior, found)


def test_a_quadratic_that_is_not_finite_is_refused(case: Case) -> None:
    centred = centre(case.severities.curvature, case.severity_prior)
    broken = replace(centred, squares=jnp.asarray(np.nan))
    with pytest.raises(EstimationError, match="not finite"):
        maximise(broken, case.severity_prior, THETAS[0])


def _hessian(function: Callable[[np.ndarray], float], at: np.ndarray) -> np.ndarray:
    """Second differences of values alone, (T, T)."""
    steps = 0.02 * np.eye(len(at))
    return np.array(
        [
            [
                sum(a * b * function(at + a * s + b * t) for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1)))
                / (4 * 0.02**2)
                for t in steps
            ]
            for s in steps
        ]
    )


def test_the_root_is_that_of_the_inverse_curvature_held_to_its_widest(case: Case) -> None:
    prior = case.severity_prior
    centred = centre(case.severities.curvature, prior)
    top = maximise(centred, prior, THETAS[0])
    hessian = _hessian(lambda t: evidence(centred, prior, t), top)
    values, vectors = np.linalg.eigh(-hessian)
    known = vectors / np.maximum(values, 1.5**-2) @ vectors.T
    root = theta_root(centred, prior, top)
    np.testing.assert_allclose(root @ root.T, known, rtol=0.01, atol=2e-3)

"""The evidence equals the marginal density of the data in closed form; its gradient and its top are right."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal
from small_trials import Case, basis_settings, make_case, make_trial, mixed_covariates

from sbcflow.errors import EstimationError
from sbcflow.inference.evidence import (
    centre,
    expand_evidence,
    log_evidence,
    maximise,
    theta_root,
)
from sbcflow.likelihood import Curvature
from sbcflow.model import PartPrior, log_prior_theta, split_theta
from sbcflow.runtime import numerics

pytestmark = pytest.mark.usefixtures("fit_numerics")
THETAS = [np.log(np.array(t)) for t in ([0.3, 0.2, 0.1, 0.2, 0.4, 0.7], [1.0, 0.01, 0.5, 0.4, 0.1, 1.2])]


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
    constant = 0.5 * centred.n * np.log(2 * np.pi) + prior_constant(prior)
    return log_evidence(centred, prior, theta) - constant


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
    plain = replace(curvature, squares=0.0, n=0.0)
    priors = case.severity_prior, case.conversion_prior
    return [(centre(c, p), p) for c, p in zip((curvature, plain), priors, strict=True)]


@pytest.mark.parametrize("theta", THETAS)
def test_gradient_and_hessian_are_those_of_jax(case: Case, theta: np.ndarray) -> None:
    for centred, prior in quadratics(case):
        at = jnp.asarray(theta[: len(prior.theta_names)])
        found = expand_evidence(centred, prior, np.asarray(at))
        by_jax = partial(evidence_by_jax, centred, prior)
        assert found.value - float(by_jax(at)) == pytest.approx(prior_constant(prior), abs=1e-6)
        np.testing.assert_allclose(found.gradient, jax.grad(by_jax)(at), rtol=1e-7, atol=1e-7)
        np.testing.assert_allclose(found.hessian, jax.hessian(by_jax)(at), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("theta", THETAS)
def test_jax_catches_a_hessian_without_its_part_off_the_diagonal(case: Case, theta: np.ndarray) -> None:
    centred, prior = quadratics(case)[0]
    found = expand_evidence(centred, prior, theta).hessian
    known = jax.hessian(partial(evidence_by_jax, centred, prior))(jnp.asarray(theta))
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(np.diag(np.diag(found)), known, rtol=1e-6, atol=1e-6)


def evidence_by_jax(centred: Curvature, prior: PartPrior, theta: jax.Array) -> jax.Array:
    """The log evidence by an explicit solve and log determinant, with NumPyro's prior of theta."""
    scales, noise = split_theta(prior, theta)
    sd = prior.sd(scales).ravel()
    a = jnp.eye(len(sd)) + sd[:, None] * centred.precision * sd / noise**2
    pulled = sd * centred.linear / noise**2
    data = 0.5 * pulled @ jnp.linalg.solve(a, pulled) - 0.5 * centred.squares / noise**2
    determinant = 0.5 * jnp.linalg.slogdet(a)[1]
    return data - centred.n * jnp.log(noise) - determinant + log_prior_theta(prior, theta)


def prior_constant(prior: PartPrior) -> float:
    """What the package leaves out of the log prior density of theta: it depends on no theta."""
    half_normal = np.sum(0.5 * np.log(2 / np.pi) - np.log(prior.widths))
    log_normal = -0.5 * np.log(2 * np.pi) - np.log(prior.noise[1]) if prior.has_noise else 0.0
    return -float(half_normal + log_normal)


def test_the_gaussian_given_theta_is_that_of_an_explicit_inverse(case: Case) -> None:
    centred, prior = quadratics(case)[0]
    at = expand_evidence(centred, prior, THETAS[0])
    sd, noise = np.asarray(prior.sd(jnp.exp(THETAS[0][:-1]))).ravel(), np.exp(THETAS[0][-1])
    covariance = np.linalg.inv(centred.precision / noise**2 + np.diag(sd**-2))
    np.testing.assert_allclose(at.coef_covariance, covariance, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(at.step, covariance @ centred.linear / noise**2, rtol=1e-5, atol=1e-8)
    step = np.random.default_rng(1).standard_normal(len(sd))
    assert at.distance(step) == pytest.approx(step @ np.linalg.solve(covariance, step) / len(sd), rel=1e-6)


@pytest.mark.parametrize("start", [0.5, 1e-3, 20.0])
def test_the_top_is_found_from_bad_starts(case: Case, start: float) -> None:
    prior = case.severity_prior
    centred = centre(case.severities.curvature, prior)
    at = maximise(centred, prior, np.full(len(prior.theta_names), np.log(start)))
    found = at.theta
    np.testing.assert_allclose(expand_evidence(centred, prior, found).gradient, 0, atol=1e-3)
    assert at.value == log_evidence(centred, prior, found)
    for step in 0.1 * np.concatenate([np.eye(len(found)), -np.eye(len(found))]):
        assert evidence(centred, prior, found + step) < evidence(centred, prior, found)


def test_a_quadratic_that_is_not_finite_is_refused(case: Case) -> None:
    centred = centre(case.severities.curvature, case.severity_prior)
    broken = replace(centred, squares=np.nan)
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
    at = maximise(centred, prior, THETAS[0])
    top = at.theta
    hessian = _hessian(lambda t: evidence(centred, prior, t), top)
    values, vectors = np.linalg.eigh(-hessian)
    known = vectors / np.maximum(values, 1.5**-2) @ vectors.T
    root = theta_root(at)
    np.testing.assert_allclose(root @ root.T, known, rtol=0.01, atol=2e-3)

"""The Laplace fit against answers known in another way, theta held fixed.

Severity is a conjugate regression: mean and covariance in closed form. Conversion is compared with a
dense float64 Gaussian variational fit (Opper and Archambeau 2009) and with importance-sampled means of
the exact posterior, whose Monte Carlo error is 0.01 posterior sd. Draws are compared within 4.5 standard
errors: about 100 comparisons, so one false alarm in 1,500 choices of the fixed seed.
"""

from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from scipy.special import expit
from small_trials import Case, basis_settings, make_case, make_trial, mixed_covariates

from sbcflow.inference import laplace
from sbcflow.inference.evidence import expand_evidence
from sbcflow.inference.integrate import ThetaPoints
from sbcflow.inference.laplace import LaplaceFit
from sbcflow.model import PartPrior, split_theta
from sbcflow.runtime import numerics

pytestmark = pytest.mark.usefixtures("fit_numerics")
LIMIT = 4.5
THETA = np.log(np.array([0.5, 0.3, 0.3, 0.2, 0.4, 0.7]))
FEW = 400


@pytest.fixture(scope="module")
def case() -> Case:
    """A trial of few and rare conversions, where posterior mean and mode are apart."""
    with numerics():
        trial = make_trial(mixed_covariates(FEW), logit=-2.5)
        return make_case(trial, basis_settings(n_knots=3, interactions=False))


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian (mean (D,), covariance (D, D)) of coefficients."""

    mean: np.ndarray
    covariance: np.ndarray


def prior_moments(prior: PartPrior, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scales, _ = split_theta(prior, jnp.asarray(theta))
    return np.asarray(prior.mean).ravel(), np.asarray(prior.sd(scales)).ravel()


def conjugate(case: Case, prior: PartPrior, noise: float) -> Gaussian:
    """The posterior of a Gaussian regression with a Gaussian prior, from the dense design."""
    mean, sd = prior_moments(prior, THETA)
    rows = case.spender_rows
    covariance = np.linalg.inv(rows.T @ rows / noise**2 + np.diag(sd**-2))
    return Gaussian(covariance @ (rows.T @ case.log_revenue / noise**2 + mean / sd**2), covariance)


@pytest.fixture(scope="module")
def severity(case: Case) -> LaplaceFit:
    with numerics():
        return laplace.fit_severity(case.severities, case.severity_prior, THETA, fixed_theta=True)


def distances(fit: LaplaceFit, known: Gaussian, seed: int = 1) -> np.ndarray:
    """Of the first and second moments of draws, whitened by the known answer, in standard errors."""
    n, rng = 20_000, np.random.default_rng(seed)
    draws = laplace.draw(fit, laplace.theta_points(fit, rng), n, rng).coef.reshape(n, -1)
    white = np.linalg.solve(np.linalg.cholesky(known.covariance), (draws - known.mean).T)
    second = (white @ white.T / n - np.eye(len(white))) * np.sqrt(n / (1 + np.eye(len(white))))
    return np.abs(np.concatenate([white.mean(axis=1) * np.sqrt(n), second[np.triu_indices(len(white))]]))


def test_severity_is_the_conjugate_posterior(case: Case, severity: LaplaceFit) -> None:
    known = conjugate(case, case.severity_prior, np.exp(THETA[-1]))
    sd = np.sqrt(np.diag(known.covariance))
    np.testing.assert_allclose((severity.coef.ravel() - known.mean) / sd, 0, atol=1e-3)
    assert distances(severity, known).max() < LIMIT
    assert severity.converged


def test_the_closed_form_catches_a_wrong_sigma_and_a_wrong_prior_scale(case, severity) -> None:
    louder = conjugate(case, case.severity_prior, 1.1 * np.exp(THETA[-1]))
    prior = replace(case.severity_prior, fixed_sd=0.8 * case.severity_prior.fixed_sd)
    for wrong in (louder, conjugate(case, prior, np.exp(THETA[-1]))):
        assert distances(severity, wrong).max() > 2 * LIMIT


def mode(case: Case) -> Gaussian:
    """A penalised logistic fit by SciPy, with the curvature there."""
    mean, sd = prior_moments(case.conversion_prior, THETA[:-1])

    def objective(c: np.ndarray) -> tuple[float, np.ndarray]:
        logit = case.rows @ c
        value = np.sum(np.logaddexp(0, logit) - case.converted * logit) + 0.5 * np.sum(((c - mean) / sd) ** 2)
        return value, case.rows.T @ (expit(logit) - case.converted) + (c - mean) / sd**2

    found = scipy.optimize.minimize(objective, mean, jac=True, method="BFGS", options={"gtol": 1e-8}).x
    rate = expit(case.rows @ found)
    precision = case.rows.T @ (case.rows * (rate * (1 - rate))[:, None]) + np.diag(sd**-2)
    return Gaussian(found, np.linalg.inv(precision))


def closest_gaussian(case: Case) -> Gaussian:
    """Opper and Archambeau's fixed point, dense, by 40-point quadrature and damped steps."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    prior_mean, sd = prior_moments(case.conversion_prior, THETA[:-1])
    at = mode(case)
    for _ in range(200):
        spread = np.sqrt(np.einsum("ij,jk,ik->i", case.rows, at.covariance, case.rows))
        rates = expit((case.rows @ at.mean)[:, None] + spread[:, None] * nodes)
        weight = (rates * (1 - rates)) @ weights
        covariance = np.linalg.inv(case.rows.T @ (case.rows * weight[:, None]) + np.diag(sd**-2))
        score = case.rows.T @ (case.converted - rates @ weights) - (at.mean - prior_mean) / sd**2
        at = Gaussian(at.mean + 0.7 * covariance @ score, covariance)
    return at


def importance_mean(case: Case, proposal: Gaussian) -> np.ndarray:
    """The exact posterior mean given theta, by importance sampling from a wider Gaussian."""
    rng, n = np.random.default_rng(7), 40_000
    prior_mean, sd = prior_moments(case.conversion_prior, THETA[:-1])
    u = rng.standard_normal((n, len(sd)))
    draws = proposal.mean + 1.1 * u @ np.linalg.cholesky(proposal.covariance).T
    logit = draws @ case.rows.T
    log_posterior = logit @ case.converted - np.logaddexp(0, logit).sum(axis=1)
    log_posterior -= 0.5 * np.sum(((draws - prior_mean) / sd) ** 2, axis=1)
    log_weight = log_posterior + 0.5 * np.sum(u**2, axis=1)
    weight = np.exp(log_weight - log_weight.max())
    return weight @ draws / weight.sum()


@pytest.fixture(scope="module")
def conversion(case: Case) -> LaplaceFit:
    with numerics():
        return laplace.fit_conversion(case.conversions, case.conversion_prior, THETA[:-1], fixed_theta=True)


def test_conversion_is_the_closest_gaussian_of_a_dense_computation(case, conversion) -> None:
    known = closest_gaussian(case)
    sd = np.sqrt(np.diag(known.covariance))
    np.testing.assert_allclose((conversion.coef.ravel() - known.mean) / sd, 0, atol=0.02)
    assert distances(conversion, known).max() < LIMIT
    assert conversion.converged


def test_the_dense_computation_catches_the_plain_mode(case, conversion) -> None:
    assert distances(conversion, mode(case)).max() > 2 * LIMIT


def test_conversion_means_are_those_of_the_exact_posterior(case, conversion) -> None:
    known = closest_gaussian(case)
    sd = np.sqrt(np.diag(known.covariance))
    exact = importance_mean(case, known)
    assert np.abs((conversion.coef.ravel() - exact) / sd).max() < 0.05
    assert np.abs((mode(case).mean - exact) / sd).max() > 0.1


def test_khat_is_small_on_a_near_gaussian_posterior_and_large_on_a_wrong_curvature() -> None:
    clear = make_case(
        make_trial(mixed_covariates(FEW), logit=0.0), basis_settings(n_knots=3, interactions=False)
    )
    fit = laplace.fit_conversion(clear.conversions, clear.conversion_prior, THETA[:-1], fixed_theta=True)
    centred = fit.centred
    narrow = replace(
        fit, centred=replace(centred, precision=10 * centred.precision, linear=10 * centred.linear)
    )
    found = [laplace.khat(f, clear.conversions, 1000, np.random.default_rng(1)) for f in (fit, narrow)]
    assert found[0] < 0.5
    assert found[1] > 0.7


def test_scales_at_the_mode_are_a_top_of_the_evidence(case: Case) -> None:
    fit = laplace.fit_conversion(case.conversions, case.conversion_prior, THETA[:-1])
    gradient = expand_evidence(fit.centred, fit.prior, fit.theta).gradient
    assert fit.converged
    np.testing.assert_allclose(gradient, 0, atol=0.02)


def test_theta_held_fixed_is_one_point(severity: LaplaceFit) -> None:
    at = laplace.theta_points(severity, np.random.default_rng(1))
    np.testing.assert_array_equal(at.points, severity.theta[None])
    draws = laplace.draw(severity, at, 10, np.random.default_rng(1))
    np.testing.assert_allclose(draws.noise, np.exp(THETA[-1]))


def test_draws_come_from_each_point_by_its_weight(severity: LaplaceFit) -> None:
    points = np.stack([THETA, THETA + 0.1])
    at = ThetaPoints(points, np.log([0.25, 0.75]))
    draws = laplace.draw(severity, at, 1000, np.random.default_rng(2))
    assert np.mean(draws.theta[:, 0] > THETA[0]) == pytest.approx(0.75, abs=0.02)
    np.testing.assert_allclose(draws.noise, np.exp(draws.theta[:, -1]))
    assert np.any(np.diff(draws.theta[:20, 0]))

"""NUTS against the exact posterior of a small severity problem, and the Jacobian of its coordinates.

Moments from 2 x 500 draws are compared within five Monte Carlo standard errors from the draws' own
effective number: some 25 comparisons, so about one false alarm in 10,000 choices of the fixed seed (errors
of the effective number itself apart).
"""

from dataclasses import replace
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from arviz_stats.base.array import array_stats
from small_trials import (
    CONVERSION,
    SEVERITY,
    SMALL_NUTS,
    Case,
    basis_settings,
    binary_covariates,
    make_case,
    make_trial,
)

from sbcflow.inference import laplace, nuts
from sbcflow.inference.evidence import condition, expand_evidence
from sbcflow.inference.laplace import LaplaceFit
from sbcflow.inference.nuts import NutsRun
from sbcflow.model import log_prior_theta, split_theta, starting_theta
from sbcflow.runtime import numerics

pytestmark = pytest.mark.usefixtures("fit_numerics")
LIMIT = 5.0


@cache
def small_case() -> Case:
    with numerics():
        return make_case(make_trial(binary_covariates(400)), basis_settings(interactions=False))


@cache
def fit() -> LaplaceFit:
    case = small_case()
    with numerics():
        return laplace.fit_severity(
            case.severities, case.severity_prior, starting_theta(SEVERITY, case.severity_prior)
        )


@cache
def run() -> NutsRun:
    with numerics():
        return nuts.sample(fit(), small_case().severities, SMALL_NUTS, seed=3)


@cache
def exact() -> tuple[np.ndarray, np.ndarray]:
    """Mean and sd of (exp(theta), coef) by quadrature over theta; coefficients are Gaussian given it.

    Scales and not their logarithms, whose long tail to the left 1,000 draws say too little of.
    """
    laplace_fit = fit()
    axes = [
        *[np.linspace(-7, 2.5, 22)] * 3,
        laplace_fit.theta[-1] + np.linspace(-0.25, 0.25, 11),
    ]
    grid = np.stack([a.ravel() for a in np.meshgrid(*axes, indexing="ij")], axis=1)
    centred, prior = laplace_fit.centred, laplace_fit.prior

    at = [expand_evidence(centred, prior, theta) for theta in grid]
    log_weight = np.array([one.value for one in at])
    mean = np.array([one.step for one in at])
    variance = np.array([np.diag(one.coef_covariance) for one in at])
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    scales = np.exp(grid)
    first = np.concatenate([weight @ scales, weight @ mean])
    second = np.concatenate([weight @ scales**2, weight @ (mean**2 + variance)])
    sd = np.sqrt(second - first**2)
    first[grid.shape[1] :] += np.asarray(prior.mean).ravel()
    return first, sd


def sampled() -> np.ndarray:
    """Draws (chains, draws, quantities) of exp(theta) and coefficients."""
    draws = run().draws
    flat = np.concatenate([np.exp(draws.theta), draws.coef.reshape(len(draws.theta), -1)], axis=1)
    return flat.reshape(SMALL_NUTS.n_chains, -1, flat.shape[1])


def distances(draws: np.ndarray) -> np.ndarray:
    """Of means and mean squares about the exact ones, in Monte Carlo standard errors."""
    mean, sd = exact()
    white = (draws - mean) / sd
    found = []
    for values, known in ((white, 0.0), (white**2, 1.0)):
        effective = np.asarray(array_stats.ess(values, chain_axis=0, draw_axis=1, method="mean"))
        error = values.std(axis=(0, 1)) / np.sqrt(effective)
        found.append((values.mean(axis=(0, 1)) - known) / error)
    return np.abs(np.concatenate(found))


def test_nuts_samples_the_exact_posterior_of_scales_sigma_and_coefficients() -> None:
    assert distances(sampled()).max() < LIMIT
    assert run().rhat < 1.05
    assert run().ess > 100


def test_the_exact_posterior_catches_narrow_draws_and_a_shift() -> None:
    draws = sampled()
    mean, sd = draws.mean(axis=(0, 1)), draws.std(axis=(0, 1))
    assert distances(mean + 0.75 * (draws - mean)).max() > LIMIT
    assert distances(draws + 0.3 * sd).max() > LIMIT


def test_the_weighted_points_of_laplace_have_the_exact_moments_too() -> None:
    """200 sets of points, so that an error of 0.05 posterior sd is 4 standard errors at least."""
    mean, sd = exact()
    found = []
    for seed in range(200):
        at = laplace.theta_points(fit(), np.random.default_rng(seed))
        found.append(np.exp(at.log_weights) @ np.exp(at.points))
    average = np.mean(found, axis=0)
    assert np.abs((average - mean[:4]) / sd[:4]).max() < 0.1
    assert np.abs((np.exp(fit().theta) - mean[:4]) / sd[:4]).max() > 0.1


def position(seed: int, n_u: int, n_v: int) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    return {"u": jnp.asarray(rng.standard_normal(n_u)), "v": jnp.asarray(rng.standard_normal(n_v))}


def make_target() -> nuts.Target:
    return nuts._whiten(fit(), small_case().severities)


def by_definition(target: nuts.Target, at: dict[str, jax.Array]) -> float:
    """Log density of (theta, z) times the Jacobian, by differentiation, of the map from (u, v) to them."""

    def located(flat: jax.Array) -> jax.Array:
        theta, z, _ = target.locate({"u": flat[: len(at["u"])], "v": flat[len(at["u"]) :]})
        return jnp.concatenate([z.ravel(), theta]) if len(at["v"]) else z.ravel()

    theta, z, _ = target.locate(at)
    scales, noise = split_theta(target.prior, theta)
    jacobian = jax.jit(jax.jacfwd(located))(jnp.concatenate([at["u"], at["v"]]))
    density = -0.5 * jnp.sum(z**2) + log_prior_theta(target.prior, theta)
    density += target.seen.log_likelihood(target.prior.mean + target.prior.sd(scales) * z, noise)
    return float(density + jnp.linalg.slogdet(jacobian)[1])


def differences(target: nuts.Target) -> np.ndarray:
    """Of the density from its definition at some positions, less that at the first."""
    n_u, n_v = len(target.linear), target.scores_root.shape[1]
    at = [position(seed, n_u, n_v) for seed in range(6)]
    by_density = jax.jit(target.log_density)
    gap = np.array([float(by_density(p)) - by_definition(target, p) for p in at])
    return gap[1:] - gap[0]


def test_the_density_in_whitened_coordinates_carries_the_jacobian_of_the_map() -> None:
    np.testing.assert_allclose(differences(make_target()), 0, atol=1e-6)


def test_so_it_does_where_directions_are_left_out(monkeypatch) -> None:
    monkeypatch.setattr(nuts, "_rank", lambda _: 2)
    np.testing.assert_allclose(differences(make_target()), 0, atol=1e-6)


@pytest.mark.parametrize("held", [False, True])
def test_so_it_does_for_conversion_in_three_arms_and_with_theta_held(held: bool) -> None:
    """The likelihood is of float32 columns, so that densities agree to 1e-3."""
    case = make_case(make_trial(binary_covariates(400), n_arms=3), basis_settings(interactions=False))
    start = starting_theta(CONVERSION, case.conversion_prior)
    found = laplace.fit_conversion(case.conversions, case.conversion_prior, start, fixed_theta=held)
    target = nuts._whiten(found, case.conversions)
    assert target.scores_root.shape[1] == (0 if held else len(start))
    np.testing.assert_allclose(differences(target), 0, atol=1e-3)


def test_ranks_are_few_and_enough() -> None:
    ranks = {n: nuts._rank(n) for n in (0, 1, 64, 65, 193, 363)}
    assert ranks == {0: 64, 1: 64, 64: 64, 65: 128, 193: 256, 363: 512}


def test_the_check_of_the_jacobian_catches_one_that_is_left_out(monkeypatch) -> None:
    target = make_target()
    locate = nuts.Target.locate
    monkeypatch.setattr(nuts.Target, "locate", lambda self, p: (*locate(self, p)[:2], 0.0))
    assert np.abs(differences(target)).max() > 0.1


def given_theta(target: nuts.Target, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and covariance (D, D) of z given theta, where u is standard normal: z is linear in u."""

    def located(u: jax.Array) -> jax.Array:
        return target._coefficients_at(jnp.asarray(theta), u)[0].ravel()

    root = np.asarray(jax.jacfwd(located)(jnp.zeros(len(target.linear))))
    return np.asarray(located(jnp.zeros(len(target.linear)))), root @ root.T


@pytest.mark.parametrize("away", [-2.0, 0.0, 1.0])
def test_coefficients_are_white_at_any_theta(away: float) -> None:
    theta = fit().theta + away * np.array([1.0, -0.5, 0.5, 0.1])
    known = condition(fit().centred, fit().prior, theta)
    mean, covariance = given_theta(make_target(), theta)
    inverse = np.linalg.inv(np.tril(known.factor))
    np.testing.assert_allclose(mean, known.mean, atol=1e-8)
    np.testing.assert_allclose(covariance, inverse.T @ inverse, atol=1e-8)


def test_the_check_of_white_coefficients_catches_directions_left_out(monkeypatch) -> None:
    monkeypatch.setattr(nuts, "_rank", lambda _: 2)
    known = condition(fit().centred, fit().prior, fit().theta)
    mean, _ = given_theta(make_target(), fit().theta)
    assert np.abs(mean - known.mean).max() > 0.01


def test_normal_scores_are_those_of_the_priors_quantiles_in_both_tails() -> None:
    prior = fit().prior
    theta = np.array([[-12.0, 0.3, -2.0, 0.2], [-1.0, 1.5, -12.0, -1.0]])
    for one in theta:
        scores = nuts._scores_of(prior, one)
        scales = scipy.stats.halfnorm(scale=prior.widths)
        np.testing.assert_allclose(
            scipy.stats.norm.logcdf(scores[:3]), scales.logcdf(np.exp(one[:3])), rtol=1e-6
        )
        np.testing.assert_allclose(nuts._theta_at(prior, jnp.asarray(scores)), one, rtol=1e-6)


def test_the_same_seed_gives_the_same_draws_and_another_others() -> None:
    again = nuts.sample(fit(), small_case().severities, SMALL_NUTS, seed=3)
    other = nuts.sample(fit(), small_case().severities, SMALL_NUTS, seed=4)
    np.testing.assert_array_equal(again.draws.coef, run().draws.coef)
    assert not np.array_equal(other.draws.coef, run().draws.coef)


def test_a_badly_whitened_target_has_the_same_density() -> None:
    """A wrong Laplace fit changes coordinates, not the posterior: densities differ by the Jacobian alone."""
    f = fit()
    wrong = replace(f.centred, precision=3 * f.centred.precision, linear=0.5 * f.centred.linear)
    off = replace(f, centred=wrong, theta=f.theta + 0.5, theta_root=2 * f.theta_root)
    target = nuts._whiten(off, small_case().severities)
    np.testing.assert_allclose(differences(target), 0, atol=1e-6)

"""The NumPyro model's density is the written-out one, and log theta carries its Jacobian."""

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.infer.util import log_density
from scipy.integrate import quad
from scipy.stats import halfnorm, lognorm, norm
from small_trials import CONVERSION, SEVERITY, basis_settings, make_case, make_trial, mixed_covariates

from sbcflow.basis import make_basis
from sbcflow.model import (
    PartPrior,
    log_prior_theta,
    part_model,
    part_prior,
    split_theta,
    starting_theta,
)

pytestmark = pytest.mark.usefixtures("fit_numerics")
STRUCTURE = make_basis(mixed_covariates(500), basis_settings(n_knots=4)).structure
SCALES = np.array([0.5, 0.2, 0.4, 0.1, 0.3, 0.6, 0.7])
NOISE = 0.9


def prior_of(n_arms: int, part=SEVERITY) -> PartPrior:
    return part_prior(STRUCTURE, n_arms, part)


def test_the_prior_sd_of_a_group_is_its_scale_over_the_root_of_its_size() -> None:
    sd = np.asarray(prior_of(3).sd(jnp.asarray(SCALES)))
    sizes, group = STRUCTURE.group_sizes, np.array(STRUCTURE.group_of_column)
    assert sd[0, 0] == SEVERITY.intercept_sd
    np.testing.assert_allclose(sd[1:, 0], SCALES[6])
    for g, size in enumerate(sizes):
        np.testing.assert_allclose(sd[0, group == g], SCALES[g] / np.sqrt(size))
        np.testing.assert_allclose(sd[1:, group == g], SCALES[3 + g] / np.sqrt(size))


def test_scales_are_named_by_row_and_group() -> None:
    groups = ("main", "curve", "interaction")
    expected = tuple(f"{row}_{g}" for row in ("prognostic", "treatment") for g in groups)
    assert prior_of(2).theta_names == (*expected, "treatment_shift", "noise")
    assert prior_of(2, CONVERSION).theta_names == (*expected, "treatment_shift")


def test_groups_without_columns_have_no_scale() -> None:
    structure = make_basis(mixed_covariates(500), basis_settings(interactions=False)).structure
    names = part_prior(structure, 2, CONVERSION).scale_names
    groups = ("prognostic_main", "prognostic_curve", "treatment_main", "treatment_curve")
    assert names == (*groups, "treatment_shift")


def written_out(prior: PartPrior, sd: np.ndarray, z: np.ndarray, case) -> float:
    """Log density of scales, sigma, z and the log revenues of a trial, from SciPy."""
    coef = np.asarray(prior.mean) + sd * z
    density = halfnorm.logpdf(SCALES, scale=np.asarray(prior.widths)).sum()
    density += lognorm.logpdf(NOISE, SEVERITY.noise_log_sd, scale=SEVERITY.noise_median)
    density += norm.logpdf(z).sum()
    return float(density + norm.logpdf(case.log_revenue, case.spender_rows @ coef.ravel(), NOISE).sum())


def test_the_models_log_density_is_the_written_out_one() -> None:
    case = make_case(make_trial(mixed_covariates(400), 2), basis_settings(n_knots=4))
    prior = case.severity_prior
    z = np.random.default_rng(1).standard_normal(prior.mean.shape)
    sites = {"scales": jnp.asarray(SCALES), "noise": jnp.asarray(NOISE), "z": jnp.asarray(z)}
    found = float(log_density(part_model, (prior, case.severities), {}, sites)[0])
    sd = np.asarray(prior.sd(jnp.asarray(SCALES)))
    assert found == pytest.approx(written_out(prior, sd, z, case), rel=1e-6)
    assert found != pytest.approx(written_out(prior, 1.01 * sd, z, case), rel=1e-6)


@pytest.mark.parametrize("part", [CONVERSION, SEVERITY])
def test_log_prior_theta_is_the_change_of_variables_of_numpyros_distributions(part) -> None:
    prior = prior_of(2, part)
    theta = np.log(np.append(SCALES, NOISE)[: len(prior.theta_names)])
    to_log = dist.transforms.ExpTransform().inv
    known = sum(
        dist.TransformedDistribution(dist.HalfNormal(w), to_log).log_prob(t)
        for w, t in zip(prior.widths, theta, strict=False)
    )
    if prior.has_noise:
        noise = dist.LogNormal(jnp.log(SEVERITY.noise_median), SEVERITY.noise_log_sd)
        known += dist.TransformedDistribution(noise, to_log).log_prob(theta[-1])
    assert float(log_prior_theta(prior, jnp.asarray(theta))) == pytest.approx(float(known), rel=1e-10)


def test_the_prior_of_a_log_scale_integrates_to_one() -> None:
    """A density without its Jacobian does not: the integral over log s of a density in s diverges."""
    prior = prior_of(2, CONVERSION)
    rest = jnp.log(jnp.asarray(SCALES))

    def density(log_scale: float, jacobian: bool = True) -> float:
        value = float(log_prior_theta(prior, rest.at[0].set(log_scale)) - log_prior_theta(prior, rest))
        scale = halfnorm.logpdf(SCALES[0], scale=prior.widths[0]) + np.log(SCALES[0])
        return float(np.exp(value + scale - (0 if jacobian else log_scale)))

    assert quad(density, -12, 3, epsabs=1e-7)[0] == pytest.approx(1.0, abs=1e-4)
    assert quad(lambda t: density(t, jacobian=False), -12, 3)[0] > 5


def test_theta_splits_into_scales_and_sigma() -> None:
    theta = jnp.log(jnp.asarray(np.append(SCALES, NOISE)))
    scales, noise = split_theta(prior_of(2), theta)
    np.testing.assert_allclose(scales, SCALES)
    assert float(noise) == pytest.approx(NOISE)
    assert float(split_theta(prior_of(2, CONVERSION), theta[:-1])[1]) == 1.0


def test_a_search_starts_at_half_the_priors_widths_and_the_median_noise() -> None:
    found = np.exp(starting_theta(SEVERITY, prior_of(2)))
    np.testing.assert_allclose(found, [0.25] * 3 + [0.15] * 3 + [0.2] + [SEVERITY.noise_median])

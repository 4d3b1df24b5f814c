"""The hurdle model in NumPyro, a part at a time.

Logit conversion and log-normal severity are independent given the covariates and have independent
priors, so their posteriors are independent too. Each part is a linear predictor over the basis, one
row of coefficients for everybody (prognostic) and one per treatment arm (its deviation from control):

    predictor of a visitor in arm k = basis @ (coef[0] + [k > 0] coef[k])
    coef = mean + sd * z,   z ~ Normal(0, 1)

The prior sd of a group of m columns, prognostic and treatment apart, is scale / sqrt(m) with scale
~ HalfNormal: the scale is the spread that the group gives the predictor, however many columns it has.
The treatments' constants, their shifts, are such a group of one column, without the prognostic row; the mean
and sd of control's constant are fixed settings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from sbcflow.basis import GROUPS, Structure
from sbcflow.data import FloatArray, IntArray
from sbcflow.params import PartPriors, SeverityPriors


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PartPrior:
    """The prior of one part; D = K x n_columns coefficients, S scales.

    ``mean`` and ``fixed_sd`` (K, n_columns) float64; ``scale_index`` (K, n_columns) int32 gives the
    scale that multiplies ``fixed_sd``, -1 for none; ``widths`` (S,) of the HalfNormals; ``noise``
    (2,): median and log-sd of the LogNormal on sigma, empty for conversion.
    """

    mean: FloatArray
    fixed_sd: FloatArray
    scale_index: IntArray
    widths: FloatArray
    noise: FloatArray
    scale_names: tuple[str, ...] = field(metadata={"static": True})

    @property
    def n_scales(self) -> int:
        return len(self.scale_names)

    @property
    def has_noise(self) -> bool:
        return self.noise.shape[0] > 0

    @property
    def theta_names(self) -> tuple[str, ...]:
        """Names of the hyperparameters: the scales, and sigma where the part has one."""
        return (*self.scale_names, *(("noise",) if self.has_noise else ()))

    def sd(self, scales: jax.Array) -> jax.Array:
        """Return the prior standard deviation (K, n_columns) of each coefficient given scales (S,)."""
        padded = jnp.concatenate([scales, jnp.ones(1, scales.dtype)])
        return padded[self.scale_index] * self.fixed_sd


class PartLikelihood(Protocol):
    """What a part has seen: the log likelihood of coefficients (K, n_columns) and sigma."""

    def log_likelihood(self, coef: jax.Array, noise: jax.Array) -> jax.Array: ...


def part_prior(structure: Structure, n_arms: int, priors: PartPriors) -> PartPrior:
    """Lay the settings of a part out over the coefficients of a basis."""
    group = np.array(structure.group_of_column)
    present = [g for g, size in enumerate(structure.group_sizes) if size]
    position = np.array([present.index(g) if g >= 0 else -1 for g in group], dtype=np.int32)
    treatment = np.where(position >= 0, position + len(present), -1).astype(np.int32)
    treatment[0] = 2 * len(present)
    mean, fixed_sd = np.zeros((n_arms, len(group))), np.ones((n_arms, len(group)))
    mean[0, 0], fixed_sd[0, 0] = priors.intercept_mean, priors.intercept_sd
    for g in present:
        fixed_sd[:, group == g] = 1 / math.sqrt(structure.group_sizes[g])
    noise = (priors.noise_median, priors.noise_log_sd) if isinstance(priors, SeverityPriors) else ()
    widths = np.repeat([priors.prognostic_scale, priors.treatment_scale], len(present))
    rows_and_groups = (f"{row}_{GROUPS[g]}" for row in ("prognostic", "treatment") for g in present)
    return PartPrior(
        mean=mean,
        fixed_sd=fixed_sd,
        scale_index=np.stack([position, *[treatment] * (n_arms - 1)]),
        widths=np.append(widths, priors.shift_scale),
        noise=np.array(noise, dtype=np.float64),
        scale_names=(*rows_and_groups, "treatment_shift"),
    )


def part_model(prior: PartPrior, seen: PartLikelihood | None = None) -> tuple[jax.Array, jax.Array]:
    """NumPyro model of one part; returns coefficients (K, n_columns) and sigma (1 for conversion).

    Sites: ``scales`` (S,), ``noise`` () for severity, ``z`` (K, n_columns), ``coef``, and the factor
    ``likelihood`` unless nothing has been ``seen``.
    """
    scales = numpyro.sample("scales", dist.HalfNormal(prior.widths).to_event(1))
    noise = jnp.ones(())
    if prior.has_noise:
        noise = numpyro.sample("noise", dist.LogNormal(jnp.log(prior.noise[0]), prior.noise[1]))
    z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand(prior.mean.shape).to_event(2))
    coef = numpyro.deterministic("coef", prior.mean + prior.sd(scales) * z)
    if seen is not None:
        numpyro.factor("likelihood", seen.log_likelihood(coef, noise))
    return coef, noise


def split_theta(prior: PartPrior, theta: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return scales (S,) and sigma () from their logarithms ``theta`` (S or S + 1,)."""
    values = jnp.exp(theta)
    noise = values[prior.n_scales] if prior.has_noise else jnp.ones((), values.dtype)
    return values[: prior.n_scales], noise


def log_prior_theta(prior: PartPrior, theta: jax.Array) -> jax.Array:
    """Return the log density of ``theta``, the logarithms of scales and sigma, Jacobian included."""
    scales, _ = split_theta(prior, theta)
    density = jnp.sum(dist.HalfNormal(prior.widths).log_prob(scales) + theta[: prior.n_scales])
    if prior.has_noise:
        log_noise = dist.Normal(jnp.log(prior.noise[0]), prior.noise[1])
        density += log_noise.log_prob(theta[prior.n_scales])
    return density


def starting_theta(priors: PartPriors, prior: PartPrior) -> np.ndarray:
    """Return where a search for theta starts: every scale at half its prior's width."""
    start = np.log(prior.widths / 2)
    if isinstance(priors, SeverityPriors):
        start = np.append(start, math.log(priors.noise_median))
    return start

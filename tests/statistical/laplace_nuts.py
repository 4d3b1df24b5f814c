"""Laplace held against NUTS on one trial: effects of both, and how far apart they are in posterior sd."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sbcflow.basis import Basis, make_basis
from sbcflow.data import FloatArray, Segment, Simulation
from sbcflow.estimators.hurdle import (
    HurdlePosterior,
    PartPosterior,
    see_conversions,
    see_severities,
)
from sbcflow.inference import laplace, nuts
from sbcflow.inference.laplace import LaplaceFit, PartDraws
from sbcflow.likelihood import Conversions, Severities
from sbcflow.model import part_prior, starting_theta
from sbcflow.params import ModelSettings, NutsSettings
from sbcflow.runtime import numerics

N_LAPLACE = 4000


@dataclass(frozen=True)
class Parts:
    """Both parts of a trial, laid out, with Laplace fits; ``held`` are those at fixed scales."""

    basis: Basis
    seen: tuple[Conversions, Severities]
    free: tuple[LaplaceFit, LaplaceFit]
    held: tuple[LaplaceFit, LaplaceFit]


def fit_parts(simulation: Simulation, model: ModelSettings) -> Parts:
    """Fit both parts by Laplace, then again with theta held at the mode just found."""
    trial = simulation.trial
    basis = make_basis(trial.covariates, model.basis)
    with numerics():
        seen = see_conversions(trial, basis), see_severities(trial, basis)
        priors = [part_prior(basis.structure, trial.n_arms, p) for p in (model.conversion, model.severity)]
        conversion = laplace.fit_conversion(seen[0], priors[0], starting_theta(model.conversion, priors[0]))
        severity = laplace.fit_severity(seen[1], priors[1], starting_theta(model.severity, priors[1]))
        held = (
            laplace.fit_conversion(seen[0], priors[0], conversion.theta, fixed_theta=True),
            laplace.fit_severity(seen[1], priors[1], severity.theta, fixed_theta=True),
        )
    return Parts(basis, seen, (conversion, severity), held)


def by_laplace(parts: Parts, fits: tuple[LaplaceFit, LaplaceFit]) -> HurdlePosterior:
    """Return N_LAPLACE draws from the Laplace approximations."""
    rng = np.random.default_rng(1)
    with numerics():
        drawn = [laplace.draw(fit, laplace.theta_points(fit, rng), N_LAPLACE, rng) for fit in fits]
    return _posterior(parts, fits, drawn)


def by_nuts(
    parts: Parts, fits: tuple[LaplaceFit, LaplaceFit], settings: NutsSettings
) -> tuple[HurdlePosterior, tuple[nuts.NutsRun, nuts.NutsRun]]:
    """Return all draws of NUTS, which holds theta where ``fits`` do, and the runs of both parts."""
    with numerics():
        conversion, severity = (
            nuts.sample(fit, seen, settings, seed=2 + part)
            for part, (fit, seen) in enumerate(zip(fits, parts.seen, strict=True))
        )
    return _posterior(parts, fits, [conversion.draws, severity.draws]), (conversion, severity)


def _posterior(parts: Parts, fits: tuple[LaplaceFit, LaplaceFit], drawn: list[PartDraws]) -> HurdlePosterior:
    found = [PartPosterior(f.prior, d, "", True, 0) for f, d in zip(fits, drawn, strict=True)]
    return HurdlePosterior(parts.basis, *found)


@dataclass(frozen=True)
class Effects:
    """Posterior mean and sd of effects, of test points first and the ATE last: (n_test + 1,) each."""

    mean: FloatArray
    sd: FloatArray


def effects(posterior: HurdlePosterior, simulation: Simulation) -> Effects:
    """Return the moments of the effects under a posterior."""
    everybody = Segment("all", np.ones(simulation.trial.n_visitors, dtype=bool))
    cate = posterior.cate(simulation.test_points).astype(np.float64)
    ate = posterior.average_cate(simulation.trial.covariates, (everybody,))[0]
    draws = np.concatenate([cate, ate])
    return Effects(draws.mean(axis=1), draws.std(axis=1))


@dataclass(frozen=True)
class Comparison:
    """How far Laplace is from NUTS: gaps of means in NUTS's sd, and ratios of sd, Laplace over NUTS.

    ``cate_gap`` is the mean absolute gap over test points, ``cate_shift`` the mean signed one.
    """

    cate_gap: float
    cate_shift: float
    ate_gap: float
    sd_ratio: float
    sd_ratio_range: tuple[float, float]
    ate_sd_ratio: float


def compare(approximate: Effects, reference: Effects) -> Comparison:
    """Compare two posteriors' effects; ``reference`` gives the unit."""
    gap = (approximate.mean - reference.mean) / reference.sd
    ratio = approximate.sd / reference.sd
    return Comparison(
        cate_gap=float(np.mean(np.abs(gap[:-1]))),
        cate_shift=float(np.mean(gap[:-1])),
        ate_gap=float(gap[-1]),
        sd_ratio=float(np.mean(ratio[:-1])),
        sd_ratio_range=(float(ratio[:-1].min()), float(ratio[:-1].max())),
        ate_sd_ratio=float(ratio[-1]),
    )

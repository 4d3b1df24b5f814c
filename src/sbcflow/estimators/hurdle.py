"""The default estimator: the hurdle model by Laplace, by NUTS, or by NUTS where Laplace is not enough."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sbcflow.basis import Basis, make_basis
from sbcflow.data import Covariates, Float32Array, FloatArray, Segment, TestPoints, Trial
from sbcflow.design import make_design
from sbcflow.errors import EstimationError
from sbcflow.estimators.effects import CateChunk, OutcomeDraws, cate_chunks
from sbcflow.inference import laplace, nuts
from sbcflow.inference.laplace import LaplaceFit, PartDraws
from sbcflow.likelihood import Conversions, Severities, severity_moments
from sbcflow.model import PartPrior, part_prior, starting_theta
from sbcflow.params import InferenceSettings, ModelSettings, PartPriors
from sbcflow.runtime import numerics
from sbcflow.streams import Purpose, rng_for

FEWEST_CONVERSIONS = 2
FEWEST_THETA_POINTS = 4.0
LARGEST_RHAT = 1.05
SMALLEST_ESS = 100.0
LARGEST_DIVERGENT_SHARE = 0.01


@dataclass(frozen=True)
class PartPosterior:
    """Draws of one part and how they were come by.

    ``khat`` is None where there is nothing to check: the severity part is Gaussian given theta, and
    NUTS approximates nothing. ``theta_points`` is the effective number of theta's points, of Laplace
    alone; ``rhat``, ``ess`` and ``n_divergent`` are of NUTS alone.
    """

    prior: PartPrior
    draws: PartDraws
    method: str
    converged: bool
    n_newton: int
    khat: float | None = None
    theta_points: float | None = None
    escalated: bool = False
    rhat: float | None = None
    ess: float | None = None
    n_divergent: int = 0


@dataclass(frozen=True)
class HurdlePosterior:
    """The posterior of both parts on a basis; draws of the parts pair up, being independent."""

    basis: Basis
    conversion: PartPosterior
    severity: PartPosterior

    def cate(self, points: TestPoints) -> Float32Array:
        """Return draws (n_points, n_draws) float32 of the CATE at covariates and treatment arm."""
        return np.concatenate([np.asarray(chunk.cate) for chunk in self._chunks(points)])

    def average_cate(self, covariates: Covariates, segments: tuple[Segment, ...]) -> FloatArray:
        """Return draws (n_segments, K-1, n_draws) float64 of the mean CATE over each segment's visitors."""
        member = np.stack([s.member for s in segments]).astype(np.float32)
        total = np.zeros((len(segments), self.n_arms - 1, self.n_draws))
        for treatment in range(1, self.n_arms):
            for chunk in self._chunks(_all_under(covariates, treatment)):
                total[:, treatment - 1] += member[:, chunk.start : chunk.stop] @ np.asarray(chunk.cate)
        return total / member.sum(axis=1)[:, None, None]

    def _chunks(self, points: TestPoints) -> Iterator[CateChunk]:
        with numerics():
            draws = OutcomeDraws.of(self.conversion.draws, self.severity.draws)
        return cate_chunks(self.basis, draws, points)

    @property
    def n_draws(self) -> int:
        return len(self.conversion.draws.coef)

    @property
    def n_arms(self) -> int:
        return self.conversion.prior.mean.shape[0]

    def hyperparameters(self) -> dict[str, FloatArray]:
        """Return draws (n_draws,) of every scale and of sigma, by part and name."""
        return {
            f"{part}.{name}": np.exp(posterior.draws.theta[:, j])
            for part, posterior in (("conversion", self.conversion), ("severity", self.severity))
            for j, name in enumerate(posterior.prior.theta_names)
        }

    def diagnostics(self) -> dict[str, float | int | bool | str | None]:
        """Return how the fit went, for the summary; None where a figure does not apply or is not finite."""
        conversion, severity = self.conversion, self.severity
        figures = {
            "converged": conversion.converged and severity.converged,
            "escalated": conversion.escalated or severity.escalated,
            "khat": conversion.khat,
            "n_newton": conversion.n_newton,
            **{
                f"{name}_{part}": getattr(posterior, name)
                for part, posterior in (("conversion", conversion), ("severity", severity))
                for name in ("method", "theta_points", "rhat", "ess", "n_divergent")
            },
        }
        return {
            name: None if isinstance(value, float) and not np.isfinite(value) else value
            for name, value in figures.items()
        }


@dataclass(frozen=True)
class HurdleEstimator:
    """Fits the hurdle model; the settings are those of params.yaml."""

    model: ModelSettings
    inference: InferenceSettings

    def fit(self, trial: Trial, seed: int) -> HurdlePosterior:
        """Fit a trial; the numbers depend on trial, settings and ``seed`` alone.

        Raises:
            EstimationError: fewer than FEWEST_CONVERSIONS visitors converted, or nobody failed to.
            DataError: the basis would be too wide.
        """
        _check_outcomes(trial)
        basis = make_basis(trial.covariates, self.model.basis)
        with numerics():
            conversions = see_conversions(trial, basis)
            severities = see_severities(trial, basis)
            conversion = self._fit_part(basis, trial, self.model.conversion, conversions, seed)
            severity = self._fit_part(basis, trial, self.model.severity, severities, seed)
        return HurdlePosterior(basis, conversion, severity)

    def _fit_part(
        self,
        basis: Basis,
        trial: Trial,
        priors: PartPriors,
        seen: Conversions | Severities,
        seed: int,
    ) -> PartPosterior:
        prior = part_prior(basis.structure, trial.n_arms, priors)
        start = starting_theta(priors, prior)
        if isinstance(seen, Conversions):
            purpose, fit = Purpose.CONVERSION_POSTERIOR, laplace.fit_conversion(seen, prior, start)
        else:
            purpose, fit = Purpose.SEVERITY_POSTERIOR, laplace.fit_severity(seen, prior, start)
        rng = rng_for(seed, purpose)
        if self.inference.method == "nuts":
            return self._by_nuts(fit, seen, rng)
        posterior = self._by_laplace(fit, seen, rng)
        if posterior.converged and (posterior.khat or 0.0) <= self.inference.khat_limit:
            return posterior
        return replace(self._by_nuts(fit, seen, rng), khat=posterior.khat, escalated=True)

    def _by_laplace(
        self, fit: LaplaceFit, seen: Conversions | Severities, rng: np.random.Generator
    ) -> PartPosterior:
        at = laplace.theta_points(fit, rng)
        draws = laplace.draw(fit, at, self.inference.n_draws, rng)
        converged = fit.converged and at.effective_number >= FEWEST_THETA_POINTS
        posterior = PartPosterior(
            fit.prior, draws, "laplace", converged, fit.n_steps, theta_points=at.effective_number
        )
        if isinstance(seen, Severities):
            return posterior
        return replace(posterior, khat=laplace.khat(fit, seen, self.inference.khat_draws, rng))

    def _by_nuts(
        self, fit: LaplaceFit, seen: Conversions | Severities, rng: np.random.Generator
    ) -> PartPosterior:
        settings = self.inference.nuts
        run = nuts.sample(fit, seen, settings, int(rng.integers(2**31)))
        n_kept = settings.n_chains * settings.n_samples
        chosen = np.linspace(0, n_kept - 1, self.inference.n_draws).round().astype(np.intp)
        converged = (
            run.rhat <= LARGEST_RHAT
            and run.ess >= SMALLEST_ESS
            and run.n_divergent <= LARGEST_DIVERGENT_SHARE * n_kept
        )
        return PartPosterior(
            prior=fit.prior,
            draws=run.draws.take(chosen),
            method="nuts",
            converged=converged,
            n_newton=fit.n_steps,
            rhat=run.rhat,
            ess=run.ess,
            n_divergent=run.n_divergent,
        )


def _all_under(covariates: Covariates, treatment: int) -> TestPoints:
    return TestPoints(covariates, np.full(len(covariates), treatment, dtype=np.int32))


def _check_outcomes(trial: Trial) -> None:
    n_converted = int(trial.converted.sum())
    if not FEWEST_CONVERSIONS <= n_converted < trial.n_visitors:
        raise EstimationError(
            f"{n_converted} of {trial.n_visitors} visitors converted; the hurdle model needs at least "
            f"{FEWEST_CONVERSIONS} who did and one who did not"
        )


def see_conversions(trial: Trial, basis: Basis) -> Conversions:
    """Lay out who converted."""
    return Conversions(
        make_design(
            trial.covariates.values,
            trial.converted.astype(np.float64),
            trial.arm,
            n_arms=trial.n_arms,
            basis=basis,
            bucket=False,
        )
    )


def see_severities(trial: Trial, basis: Basis) -> Severities:
    """Take the moments of converters' log revenues."""
    who = trial.converted
    design = make_design(
        trial.covariates.values[who],
        np.log(trial.revenue[who]),
        trial.arm[who],
        n_arms=trial.n_arms,
        basis=basis,
        bucket=True,
    )
    return severity_moments(design, trial.n_arms)

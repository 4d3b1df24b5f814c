"""Eight schools (Rubin 1981; Gelman et al., Bayesian Data Analysis, ch. 5): NumPyro by its log density.

Eight schools each tried a coaching programme for a test; school j's effect is theta_j ~ Normal(mu, tau). What
is known of it is the difference in mean scores y_j ~ Normal(theta_j, sigma_j), sigma_j known. params.yaml
names ``eight_schools:family``, which draws mu, tau and theta from their priors and students to match, and
``eight_schools:build``, which fits the same model. So the ranks of the truths among the draws are uniform.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpy.typing import NDArray
from numpyro.diagnostics import effective_sample_size, split_gelman_rubin
from numpyro.infer.hmc import hmc
from numpyro.infer.util import initialize_model

from sbcflow.data import Covariates, Feature, Simulation, TestPoints, Trial

SIGMA = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])
SCHOOL = Feature("school", "categorical", tuple("ABCDEFGH"))
MEAN_SCORE = 500.0

Array = NDArray[np.float64]


# 1. The model. Any NumPyro model may stand here; its data are its keyword arguments.
def model(y: jax.Array, sigma: jax.Array, mu_sd: float, tau_scale: float) -> None:
    """Non-centred, so that the sampler meets no funnel where tau is small."""
    mu = numpyro.sample("mu", dist.Normal(0.0, mu_sd))
    tau = numpyro.sample("tau", dist.HalfCauchy(tau_scale))
    z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand([len(SIGMA)]).to_event(1))
    theta = numpyro.deterministic("theta", mu + tau * z)
    numpyro.sample("y", dist.Normal(theta, sigma).to_event(1), obs=y)


# 2. From a model to draws. Nothing here knows of schools.
@dataclass(frozen=True)
class Draws:
    """Draws (n_draws, ...) of each site by name, nearly independent, and what the sampler says of them."""

    sites: Mapping[str, Array]
    rhat: float
    ess: float
    n_divergent: int


@dataclass(frozen=True)
class Sampling:
    """NUTS: chains, iterations of each, and the draws kept of all."""

    n_chains: int = 4
    n_warmup: int = 250
    n_samples: int = 250
    n_draws: int = 100
    target_accept: float = 0.9


def posterior_draws(
    model: Callable[..., None], data: Mapping[str, Any], seed: int, sampling: Sampling
) -> Draws:
    """Sample the posterior of a NumPyro model given its keyword arguments, and thin to ``n_draws``."""
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(seed), sampling.n_chains)
        arrays = {name: jnp.asarray(value) for name, value in data.items()}
        sites, diverging = jax.tree.map(np.asarray, _chains(model, arrays, keys, sampling))
    keep = slice(None, None, sampling.n_chains * sampling.n_samples // sampling.n_draws)
    return Draws(
        {name: np.concatenate(draws)[keep][: sampling.n_draws] for name, draws in sites.items()},
        rhat=max(float(np.max(split_gelman_rubin(draws))) for draws in sites.values()),
        ess=min(float(np.min(effective_sample_size(draws))) for draws in sites.values()),
        n_divergent=int(diverging.sum()),
    )


@partial(jax.jit, static_argnames=("model", "sampling"))
def _chains(model: Callable[..., None], data: Any, keys: jax.Array, sampling: Sampling) -> Any:
    """Run the chains side by side; the data are the program's arguments, so it is compiled once for all."""
    return jax.vmap(lambda key: _chain(model, data, key, sampling))(keys)


def _chain(model: Callable[..., None], data: Any, key: jax.Array, sampling: Sampling) -> Any:
    start_key, run_key = jax.random.split(key)
    # ``potential_fn`` is minus the log density over unconstrained parameters: all that a sampler needs.
    start = initialize_model(start_key, model, model_kwargs=data)
    init_kernel, sample_kernel = hmc(start.potential_fn, algo="NUTS")
    state = init_kernel(
        start.param_info,
        num_warmup=sampling.n_warmup,
        target_accept_prob=sampling.target_accept,
        rng_key=run_key,
    )

    def one(state: Any, _: None) -> Any:
        state = sample_kernel(state)
        return state, (start.postprocess_fn(state.z), state.diverging)

    _, chain = jax.lax.scan(one, state, length=sampling.n_warmup + sampling.n_samples)
    return jax.tree.map(lambda leaf: leaf[sampling.n_warmup :], chain)


# 3. What sbcflow asks of an estimator.
@dataclass(frozen=True)
class Posterior:
    """``draws.sites['theta']`` (n_draws, 8) holds the schools' effects."""

    draws: Draws

    def cate(self, points: TestPoints) -> Array:
        """Return draws (n_points, n_draws): of a point, the effect of its school."""
        return self.draws.sites["theta"].T[points.covariates.values[:, 0].astype(int)]

    def hyperparameters(self) -> dict[str, Array]:
        """Return the draws of those parameters whose truths the family tells, by the same names."""
        return {name: self.draws.sites[name] for name in ("mu", "tau")}

    def diagnostics(self) -> dict[str, float | int | bool]:
        """Return what becomes columns of the sweep's table; ``converged`` decides which fits count."""
        draws = self.draws
        converged = draws.rhat < 1.05 and draws.ess >= len(draws.sites["mu"])
        return {
            "converged": converged,
            "rhat": draws.rhat,
            "ess": draws.ess,
            "n_divergent": draws.n_divergent,
        }


@dataclass(frozen=True)
class Estimator:
    """The model's priors, and how it is sampled."""

    mu_sd: float
    tau_scale: float
    sampling: Sampling

    def fit(self, trial: Trial, seed: int) -> Posterior:
        """Fit the differences in mean scores, which are all that the model knows of the students."""
        data = {
            "y": differences(trial),
            "sigma": SIGMA,
            "mu_sd": self.mu_sd,
            "tau_scale": self.tau_scale,
        }
        return Posterior(posterior_draws(model, data, seed, self.sampling))


def differences(trial: Trial) -> Array:
    """Return the difference in mean scores, coached less not, (8,), of each school."""
    school = trial.covariates.values[:, 0].astype(int)
    means = [
        np.bincount(school[of_arm], trial.revenue[of_arm]) / np.bincount(school[of_arm])
        for of_arm in (trial.arm == 0, trial.arm == 1)
    ]
    return means[1] - means[0]


def build(settings: Mapping[str, Any]) -> Estimator:
    """Return the estimator: ``own.estimator`` of params.yaml holds priors and settings of the sampler."""
    rest = dict(settings)
    priors = {name: float(rest.pop(name, 5.0)) for name in ("mu_sd", "tau_scale")}
    return Estimator(**priors, sampling=Sampling(**rest))


# 4. What sbcflow asks of a generator family.
@dataclass(frozen=True)
class Schools:
    """Trials of students of the eight schools, half of each coached; the effects come from the prior."""

    mu_sd: float = 5.0
    tau_scale: float = 5.0

    def draw_knobs(self, seed: int, replicate: int) -> dict[str, float]:
        """Return a config's mu and tau, which become columns of the table."""
        rng = np.random.default_rng([seed, 0])
        return {
            "mu": self.mu_sd * float(rng.standard_normal()),
            "tau": self.tau_scale * abs(float(rng.standard_cauchy())),
        }

    def simulate(self, seed: int, knobs: Mapping[str, Any], n_visitors: int, n_test: int) -> Simulation:
        """Simulate scores whose differences in means are exactly the y_j drawn; test points: the schools."""
        rng = np.random.default_rng([seed, 1])
        theta = knobs["mu"] + knobs["tau"] * rng.standard_normal(len(SIGMA))
        y = rng.normal(theta, SIGMA)
        school, arm = _places(n_visitors)
        trial = Trial(
            _covariates(school),
            arm,
            np.ones(n_visitors, dtype=np.bool_),
            _scores(y, school, arm, rng),
            ("not coached", "coached"),
        )
        asked = np.arange(n_test) % len(SIGMA)
        return Simulation(
            trial,
            TestPoints(_covariates(asked), np.ones(n_test, dtype=np.int32)),
            test_cate=theta[asked],
            visitor_cate=theta[school][:, None],
            parameters={name: np.asarray(knobs[name]) for name in ("mu", "tau")},
        )


def _places(n_visitors: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Deal students out to schools and arms in turn: all cells are of one size, or differ by a student."""
    place = np.arange(n_visitors)
    return place // 2 % len(SIGMA), (place % 2).astype(np.int32)


def _covariates(school: NDArray[np.int64]) -> Covariates:
    return Covariates((SCHOOL,), school[:, None].astype(np.float32))


def _scores(y: Array, school: NDArray[np.int64], arm: NDArray[np.int32], rng: np.random.Generator) -> Array:
    """Return the students' scores (n,), all positive.

    The noise has mean 0 in each school and arm, so that a school's difference in means is y_j itself, and
    the spread at which sigma_j is the standard error of that difference. One level for all keeps scores
    positive; no difference depends on it.
    """
    cell, size = 2 * school + arm, np.bincount(2 * school + arm)
    noise = rng.standard_normal(len(cell))
    noise -= (np.bincount(cell, noise) / size)[cell]
    sd = SIGMA / np.sqrt(1 / size[::2] + 1 / size[1::2])
    scores = arm * y[school] + sd[school] * noise
    return scores + max(MEAN_SCORE, 1.0 - scores.min())


def family(settings: Mapping[str, Any]) -> Schools:
    """Return the family; ``own.family`` may hold its priors."""
    return Schools(**settings)

"""The Gaussian of the conversion part: at the mode, and with mean and curvature in expectation.

    python benchmarks/khat.py

prints, for eight configs of the pilot's size, the standard deviation of the log importance ratio and
PSIS k-hat of both, at the same scales' mode (docs/decisions/0003). Seeds are fixed.
"""

from __future__ import annotations

from unittest.mock import patch

from sbcflow import runtime

runtime.configure()

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from arviz_stats.base import array_stats  # noqa: E402

from sbcflow import params as run_values  # noqa: E402
from sbcflow.basis import make_basis  # noqa: E402
from sbcflow.estimators.hurdle import see_conversions  # noqa: E402
from sbcflow.generators import make_family  # noqa: E402
from sbcflow.inference import laplace  # noqa: E402
from sbcflow.likelihood import Conversions  # noqa: E402
from sbcflow.model import PartPrior, part_prior, starting_theta  # noqa: E402
from sbcflow.params import PartPriors  # noqa: E402

N_VISITORS, N_DRAWS, FIRST_SEED = 20_000, 2_000, 1000


def ratio_of(fit: laplace.LaplaceFit, seen: Conversions) -> tuple[float, float]:
    """Return the sd of the log ratio of posterior to Gaussian at theta's mode, and k-hat."""
    coefs = laplace._draw_given(fit, fit.theta, N_DRAWS, np.random.default_rng(0))
    delta = (coefs - np.asarray(fit.prior.mean)).reshape(N_DRAWS, -1)
    precision, linear = np.asarray(fit.centred.precision), np.asarray(fit.centred.linear)
    gaussian = delta @ linear - 0.5 * np.einsum("ij,ij->i", delta @ precision, delta)
    ratio = np.asarray(laplace._log_likelihoods(seen, jnp.asarray(coefs))) - gaussian
    return float(ratio.std()), float(array_stats.psislw(ratio)[1])


def at_the_mode(seen: Conversions, prior: PartPrior, priors: PartPriors) -> laplace.LaplaceFit:
    """Fit without the steps in expectation."""
    with patch.object(laplace, "_average_curvature", lambda *arguments: arguments[2]):
        return laplace.fit_conversion(seen, prior, starting_theta(priors, prior))


def main() -> None:
    params = run_values.load()
    family, priors = make_family("v2", params), params.model.conversion
    print("| template | conversions | mode: sd | mode: k-hat | expectation: sd | expectation: k-hat |")
    print("|---|---|---|---|---|---|")
    for replicate in range(len(params.generators.v2.templates)):
        seed = FIRST_SEED + replicate
        knobs = family.draw_knobs(seed, replicate)
        trial = family.simulate(seed, knobs, N_VISITORS, 10).trial
        basis = make_basis(trial.covariates, params.model.basis)
        with runtime.numerics():
            seen = see_conversions(trial, basis)
            prior = part_prior(basis.structure, trial.n_arms, priors)
            mode = ratio_of(at_the_mode(seen, prior, priors), seen)
            mean = ratio_of(laplace.fit_conversion(seen, prior, starting_theta(priors, prior)), seen)
        row = f"{knobs['template']} | {trial.converted.sum():,}"
        print(f"| {row} | {mode[0]:.2f} | {mode[1]:.2f} | {mean[0]:.2f} | {mean[1]:.2f} |", flush=True)


if __name__ == "__main__":
    main()

"""sbcflow's own fits, and stock NumPyro NUTS on the same model: ours.py METHOD TRIAL.npz DRAWS.npz

METHOD is laplace, nuts or numpyro. Laplace and nuts are timed the second time, when their programs are
compiled, as in a sweep; numpyro, which compiles for each new trial, whole.
"""

import sys
import time
from collections.abc import Callable

from sbcflow.runtime import configure, numerics

configure()

import jax  # noqa: E402
import numpy as np  # noqa: E402
import numpyro  # noqa: E402

from sbcflow.basis import make_basis  # noqa: E402
from sbcflow.data import Covariates, Float32Array, TestPoints, Trial  # noqa: E402
from sbcflow.estimators.hurdle import (  # noqa: E402
    HurdleEstimator,
    HurdlePosterior,
    PartPosterior,
    see_conversions,
    see_severities,
)
from sbcflow.generators.covariates import FEATURES  # noqa: E402
from sbcflow.inference.laplace import PartDraws  # noqa: E402
from sbcflow.likelihood import Conversions  # noqa: E402
from sbcflow.model import part_model, part_prior  # noqa: E402
from sbcflow.params import load  # noqa: E402

SEED = 1
PARAMS = load()


def read(path: str) -> tuple[Trial, TestPoints]:
    """Return the trial of a file, and its first visitors as test points."""
    found = np.load(path)
    covariates = Covariates(FEATURES, found["values"])
    trial = Trial(covariates, found["arm"], found["revenue"] > 0, found["revenue"], ("control", "treatment"))
    n_test = len(found["truth"])
    return trial, TestPoints(covariates.take(slice(n_test)), np.ones(n_test, dtype=np.int32))


def fit(method: str, trial: Trial, points: TestPoints) -> Float32Array:
    """Return the CATE draws of laplace or nuts; a Laplace fit stays one."""
    settings = PARAMS.inference.model_copy(update={"method": method, "khat_limit": 1e9})
    return HurdleEstimator(PARAMS.model, settings).fit(trial, SEED).cate(points)


def stock(trial: Trial, points: TestPoints) -> Float32Array:
    """Return the CATE draws of NumPyro's NUTS as its documentation runs it: 1,000 and 1,000 iterations."""
    basis = make_basis(trial.covariates, PARAMS.model.basis)
    with numerics():
        seen = Conversions(see_conversions(trial, basis).design.materialised()), see_severities(trial, basis)
        parts = [
            _sample(part_prior(basis.structure, 2, priors), part)
            for priors, part in zip((PARAMS.model.conversion, PARAMS.model.severity), seen, strict=True)
        ]
    return HurdlePosterior(basis, *parts).cate(points)


def _sample(prior: object, seen: object) -> PartPosterior:
    mcmc = numpyro.infer.MCMC(
        numpyro.infer.NUTS(part_model), num_warmup=1000, num_samples=1000, progress_bar=False
    )
    mcmc.run(jax.random.key(SEED), prior, seen)
    found = mcmc.get_samples()
    noise = np.asarray(found.get("noise", np.ones(1000)))
    draws = PartDraws(np.asarray(found["coef"]), noise, np.log(np.asarray(found["scales"])))
    return PartPosterior(prior, draws, "nuts", True, 0)


def timed(work: Callable[[], Float32Array]) -> tuple[Float32Array, float]:
    started = time.perf_counter()
    return work(), time.perf_counter() - started


def main() -> None:
    method, source, target = sys.argv[1:]
    trial, points = read(source)
    if method == "numpyro":
        draws, seconds = timed(lambda: stock(trial, points))
    else:
        fit(method, trial, points)
        draws, seconds = timed(lambda: fit(method, trial, points))
    np.savez(target, draws=draws, seconds=seconds)


if __name__ == "__main__":
    main()

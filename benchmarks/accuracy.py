"""What speed costs in accuracy: Laplace fits against the dense float64 reference, effect by effect.

    python benchmarks/accuracy.py

prints, for five configs of the pilot's train sweep, one a template, the largest gap over 500 CATEs between
posterior means, in the reference's sd, and the range of the ratio of their sds; then the largest differences
of scales at the mode and of theta's weights. Both fits draw at the reference's points of theta, with its
weights and the same normal numbers, so that no Monte Carlo error is among the differences. About 3 minutes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from sbcflow import runtime

runtime.configure()

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "statistical"))

import dense_laplace as dense  # noqa: E402
import numpy as np  # noqa: E402

from sbcflow.basis import Basis, make_basis  # noqa: E402
from sbcflow.data import FloatArray, Simulation, Trial  # noqa: E402
from sbcflow.estimators.hurdle import (  # noqa: E402
    HurdlePosterior,
    PartPosterior,
    see_conversions,
    see_severities,
)
from sbcflow.generators import make_family  # noqa: E402
from sbcflow.inference import laplace  # noqa: E402
from sbcflow.inference.evidence import log_evidence  # noqa: E402
from sbcflow.inference.integrate import ThetaPoints  # noqa: E402
from sbcflow.inference.laplace import LaplaceFit  # noqa: E402
from sbcflow.model import part_prior, starting_theta  # noqa: E402
from sbcflow.params import Params, load  # noqa: E402
from sbcflow.sweep.plan import plan_config  # noqa: E402

INDICES = (1, 2, 3, 4, 5)
N_DRAWS = 4000
Parts = tuple[LaplaceFit, LaplaceFit]


def main() -> None:
    params = load(ROOT / "params.yaml")
    print("| template | conversions | largest gap of means, sd | sd ratio | scales | weights |")
    print("|---|---|---|---|---|---|")
    for index in INDICES:
        planned = plan_config(params, "train", index)
        simulation = make_family("v2", params).simulate(planned.seed, planned.knobs, planned.n_visitors, 500)
        print(row(str(planned.template), simulation, params), flush=True)


def row(template: str, simulation: Simulation, params: Params) -> str:
    """Return the figures of one trial."""
    trial = simulation.trial
    basis = make_basis(trial.covariates, params.model.basis)
    with runtime.numerics():
        known, found = fits(trial, basis, params)
        points = [laplace.theta_points(fit, np.random.default_rng(1)) for fit in known]
        mean, sd = effects(known, points, basis, simulation)
        other_mean, other_sd = effects(found, points, basis, simulation)
    gap, ratio = np.abs(other_mean - mean) / sd, other_sd / sd
    scales = max(np.abs(a.theta - b.theta).max() for a, b in zip(found, known, strict=True))
    weights = max(weight_gap(*three) for three in zip(found, known, points, strict=True))
    cells = template, f"{trial.converted.sum():,}", f"{gap.max():.4f}"
    cells += f"{ratio.min():.4f} to {ratio.max():.4f}", f"{scales:.4f}", f"{weights:.4f}"
    return f"| {' | '.join(cells)} |"


def fits(trial: Trial, basis: Basis, params: Params) -> tuple[Parts, Parts]:
    """Return the reference's fits of both parts, and ours."""
    priors = params.model.conversion, params.model.severity
    laid = [part_prior(basis.structure, trial.n_arms, one) for one in priors]
    starts = [starting_theta(one, prior) for one, prior in zip(priors, laid, strict=True)]
    known = (
        dense.fit_conversion(trial, basis, laid[0], starts[0]),
        dense.fit_severity(trial, basis, laid[1], starts[1]),
    )
    found = (
        laplace.fit_conversion(see_conversions(trial, basis), laid[0], starts[0]),
        laplace.fit_severity(see_severities(trial, basis), laid[1], starts[1]),
    )
    return known, found


def effects(
    parts: Parts, points: list[ThetaPoints], basis: Basis, simulation: Simulation
) -> tuple[FloatArray, FloatArray]:
    """Return mean and sd of each test point's CATE, (n_test,) each."""
    rng = np.random.default_rng(2)
    drawn = [laplace.draw(fit, at, N_DRAWS, rng) for fit, at in zip(parts, points, strict=True)]
    posteriors = [PartPosterior(f.prior, d, "", True, 0) for f, d in zip(parts, drawn, strict=True)]
    cate = HurdlePosterior(basis, *posteriors).cate(simulation.test_points).astype(np.float64)
    return cate.mean(axis=1), cate.std(axis=1)


def weight_gap(found: LaplaceFit, known: LaplaceFit, at: ThetaPoints) -> float:
    """Return the largest change of a weight of theta's points, as a share of the largest weight."""
    change = [
        log_evidence(found.centred, found.prior, point) - log_evidence(known.centred, known.prior, point)
        for point in at.points
    ]
    weights = np.exp(at.log_weights)
    changed = weights * np.exp(np.array(change) - np.max(change))
    return float(np.abs(changed / changed.sum() - weights).max() / weights.max())


if __name__ == "__main__":
    main()

"""Whether the estimator and the generator family that params.yaml names keep to their contracts.

Each is tried on small simulated trials: answers of the right form, the same answer to the same question, and
draws that belong together.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sbcflow.data import Float32Array, Simulation, TestPoints, everybody
from sbcflow.doctor.finding import Finding, note, ok, problem
from sbcflow.errors import SbcflowError
from sbcflow.estimators import Estimator, Posterior, make_estimator
from sbcflow.generators import Family, make_family
from sbcflow.own.family import fingerprints
from sbcflow.params import Params, SweepKind
from sbcflow.scoring import SCORED_LEVEL, score_fit

REPLICATES = 3
FEW_POINTS = 7
# An average of draws is taken in float32 and in another order.
LARGEST_MEAN_GAP = 0.01
CONTRACT = "the contract: python -m pydoc sbcflow.own.estimator (or .family)"


def check_estimator(params: Params, kind: SweepKind = "train", n_visitors: int = 2000) -> Iterator[Finding]:
    """Yield what trials of ``n_visitors`` show of a sweep's family and of the estimator, as it is found.

    What breaks a contract is a problem, and ends the checks where nothing can come after it.
    """
    sweep = params.sweeps()[kind]
    try:
        family = make_family(sweep.generator_family, params)
        yield _knobs(sweep.generator_family, family, sweep.master_seed)
        one, other = (_simulate(family, params, sweep.master_seed + i, i, n_visitors) for i in range(2))
        yield _purity(family, params, sweep.master_seed, one, other)
        estimator = make_estimator(params)
        yield from _fit(params, estimator, one, other, sweep.master_seed)
    except SbcflowError as error:
        yield problem("contract", str(error), CONTRACT)


def _simulate(family: Family, params: Params, seed: int, replicate: int, n_visitors: int) -> Simulation:
    return family.simulate(seed, family.draw_knobs(seed, replicate), n_visitors, params.scoring.n_test)


def _knobs(name: str, family: Family, seed: int) -> Finding:
    drawn = [family.draw_knobs(seed + i, i) for i in range(REPLICATES)]
    names = [list(knobs) for knobs in drawn]
    if any(other != names[0] for other in names):
        detail = f"{name} draws settings of other names for other configs: {names}"
        return problem("settings", detail, "draw_knobs must give the same names each time; they are columns")
    return ok("settings", f"{name} draws {', '.join(names[0]) or 'none'}, the same for the same seed")


def _purity(family: Family, params: Params, seed: int, one: Simulation, other: Simulation) -> Finding:
    size = f"{one.trial.n_visitors:,} visitors, {one.trial.n_arms} arms, {len(one.test_points)} test points"
    again = _simulate(family, params, seed, 0, one.trial.n_visitors)
    if fingerprints(again) != fingerprints(one):
        return problem("simulation", "the same seed gave other data the third time", CONTRACT)
    if fingerprints(other)["trial.revenue"] == fingerprints(one)["trial.revenue"]:
        return problem("simulation", "another seed gave the same revenues", "draw from the seed")
    return ok("simulation", f"{size}; the same for the same seed, other data for another")


def _fit(
    params: Params, estimator: Estimator, one: Simulation, other: Simulation, seed: int
) -> Iterator[Finding]:
    started = time.perf_counter()
    posterior = estimator.fit(one.trial, seed)
    cate = posterior.cate(one.test_points)
    yield ok(
        "fit", f"{params.estimator}: draws {cate.shape} {cate.dtype} in {time.perf_counter() - started:.1f} s"
    )
    yield _widths(cate)
    yield _pairs(posterior, one, cate)
    yield _averages(posterior, one)
    yield _parameters(posterior, one)
    estimator.fit(other.trial, seed + 1)
    again = estimator.fit(one.trial, seed).cate(one.test_points)
    yield _repeats(cate, again)
    covered = score_fit(cate, one.test_cate)["coverage_90"]
    yield note(
        "coverage",
        f"{SCORED_LEVEL:.0%} intervals hold {covered:.0%} of the test points; one fit tells little",
    )


def _widths(cate: Float32Array) -> Finding:
    spread = cate.std(axis=1)
    if n_flat := int((np.ptp(cate, axis=1) == 0).sum()):
        detail = f"all draws are equal at {n_flat} of {len(cate)} test points"
        return problem("widths", detail, "cate must return draws of the posterior, not its mean")
    return ok("widths", f"posterior sd from {spread.min():.3g} to {spread.max():.3g}")


def _pairs(posterior: Posterior, simulation: Simulation, cate: Float32Array) -> Finding:
    points = simulation.test_points
    for words, chosen in _choices(points).items():
        again = posterior.cate(TestPoints(points.covariates.take(chosen), points.arm[chosen]))
        if again.shape[1] != cate.shape[1] or not np.allclose(again, cate[chosen], rtol=1e-4, atol=1e-6):
            detail = f"draws differ when {words} are asked for"
            remedy = "draw once in fit, and read cate off those draws and each point's own covariates"
            return problem("pairs", detail, remedy)
    return ok("pairs", "a point's draws do not depend on which others are asked for")


def _choices(points: TestPoints) -> dict[str, NDArray[np.intp]]:
    """Parts of the points; those at one end of a covariate show whether others' values come in."""
    order = np.argsort(points.covariates.values, axis=0, kind="stable")
    columns = zip(points.covariates.features, order.T, strict=True)
    few = max(1, len(points) // 10)
    return {
        f"{FEW_POINTS} points alone": np.arange(min(FEW_POINTS, len(points))),
        "a single point": np.array([len(points) // 2]),
        "all in reverse": np.arange(len(points))[::-1],
        **{f"only the points of the largest {one.name}": by[-few:] for one, by in columns},
    }


def _averages(posterior: Posterior, simulation: Simulation) -> Finding:
    some = simulation.trial.covariates.take(slice(len(simulation.test_points)))
    means = posterior.average_cate(some, (everybody(some),))[0]
    for k in range(1, simulation.trial.n_arms):
        expected = posterior.cate(TestPoints(some, np.full(len(some), k, dtype=np.int32))).mean(axis=0)
        gap, allowed = abs(means[k - 1].mean() - expected.mean()), LARGEST_MEAN_GAP * expected.std()
        if not np.isclose(gap, 0, rtol=0, atol=allowed + np.spacing(np.abs(expected).max())):
            detail = f"average_cate of treatment {k} lies {gap:.3g} off the average of cate"
            return problem("averages", detail, "average_cate must average cate over the segment's visitors")
    return ok("averages", "average_cate is the average of cate")


def _parameters(posterior: Posterior, simulation: Simulation) -> Finding:
    told, true = set(posterior.hyperparameters()), set(simulation.parameters)
    if unknown := true - told:
        detail = f"the family knows the truth of {', '.join(sorted(unknown))}, which hyperparameters() lacks"
        return note("parameters", detail, "they get no rank; the names must be the same")
    return ok("parameters", f"ranked: {', '.join(sorted(true)) or 'none'}")


def _repeats(cate: Float32Array, again: Float32Array) -> Finding:
    if not np.array_equal(cate, again):
        detail = "the same trial and seed gave other draws, after a fit of another trial"
        remedy = "take all randomness from seed, and keep nothing from one fit to the next"
        return problem("repeats", detail, remedy)
    return ok("repeats", "the same trial and seed give the same draws, whatever was fitted between")

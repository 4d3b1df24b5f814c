"""Proving a correction: every method's intervals on the fits of a test sweep, reduced fit by fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from sbcflow.calibration.conditional.averages import AverageEffects
from sbcflow.calibration.intervals import Ends, Reading
from sbcflow.data import Float32Array, FloatArray
from sbcflow.errors import ArtifactError, DataError
from sbcflow.levels import LEVELS
from sbcflow.scoring import checked_truth, covers, interval_score, order_draws

# The CRPS is an integral over central levels; the midpoint rule on 200 of them, 0.0025 to 0.9975, is
# within 1e-3 relative of the closed form for a Gaussian (tests/unit/test_calibration_evaluate.py).
CRPS_LEVELS: tuple[float, ...] = tuple((k + 0.5) / 200 for k in range(200))

# A method looks at a fit's draws (n_points, n_draws), ascending; what it returns gives the ends at a level.
Method = Callable[[FloatArray], Reading]


@dataclass(frozen=True)
class TestFit:
    """A fit of the test sweep: where it belongs, and its test points.

    ``draws`` (n_points, n_draws) float32 and ``truth`` (n_points,), in revenue per visitor;
    ``conversion_rate`` in 0..1; a fit that did not ``converge`` is left out. ``averages``
    where the sweep kept them.
    """

    __test__ = False

    config_id: str
    n_visitors: int
    template: str
    conversion_rate: float
    converged: bool
    draws: Float32Array
    truth: FloatArray
    averages: AverageEffects | None = None


@dataclass(frozen=True)
class FitScores:
    """What is kept of a test fit.

    ``coverage``, ``width`` and ``score`` (interval score) have shape (n_methods, n_levels) float64, in
    the order of the methods and of ``LEVELS``, averaged over test points; ``crps`` (n_methods,).
    """

    config_id: str
    n_visitors: int
    template: str
    conversion_rate: float
    coverage: FloatArray
    width: FloatArray
    score: FloatArray
    crps: FloatArray


@dataclass(frozen=True)
class TestScores:
    """The scores of all converged test fits, and how many did not converge."""

    __test__ = False

    fits: tuple[FitScores, ...]
    n_excluded: int


def score_test_fits(fits: Iterable[TestFit], methods: Mapping[str, Method]) -> TestScores:
    """Score each converged test fit under each method, holding one fit's draws at a time.

    Raises:
        ArtifactError: no fit, none converged, or one whose draws or truth cannot be scored, by name.
    """
    scored, n_excluded = [], 0
    for fit in fits:
        if fit.converged:
            scored.append(score_test_fit(fit, methods))
        else:
            n_excluded += 1
    if not scored:
        raise ArtifactError(
            f"the test sweep has no converged fit ({n_excluded} did not converge), nothing to evaluate"
        )
    return TestScores(tuple(scored), n_excluded)


@contextmanager
def naming(fit: TestFit) -> Iterator[None]:
    """Raise a DataError about a fit's draws or truth, in the block, as an ArtifactError with its config."""
    try:
        yield
    except DataError as error:
        raise ArtifactError(f"config {fit.config_id}: {error}") from None


def score_test_fit(fit: TestFit, methods: Mapping[str, Method]) -> FitScores:
    """Score one fit under each method.

    Raises:
        ArtifactError: draws or truth that cannot be scored, naming the config.
    """
    with naming(fit):
        ordered, truth = order_draws(fit.draws), checked_truth(fit.truth, len(fit.draws))
        seen = [method(ordered) for method in methods.values()]
    at_levels = np.array([[_scores(ends(a), truth, a) for a in LEVELS] for ends in seen])
    return FitScores(
        config_id=fit.config_id,
        n_visitors=fit.n_visitors,
        template=fit.template,
        conversion_rate=fit.conversion_rate,
        coverage=at_levels[:, :, 0],
        width=at_levels[:, :, 1],
        score=at_levels[:, :, 2],
        crps=np.array([crps_of(ends, truth) for ends in seen]),
    )


def crps_of(ends: Reading, truth: FloatArray) -> float:
    """Return the mean CRPS of the predictive distribution that a method's central intervals define.

    CRPS is 2 times the integral of the pinball loss over all quantiles (Gneiting & Ranjan 2011); the two
    quantiles that end the central interval at level a together lose (1-a)/2 times its interval score
    (Bracher et al. 2021), so CRPS is the integral over a of (1-a)/2 IS_a: the midpoint rule on
    ``CRPS_LEVELS``, the same for every method. In the truth's unit; smaller is better.
    """
    losses = [(1.0 - a) / 2.0 * _scores(ends(a), truth, a)[2] for a in CRPS_LEVELS]
    return float(np.mean(losses))


def _scores(ends: Ends, truth: FloatArray, level: float) -> tuple[float, float, float]:
    """Coverage, mean width and mean interval score of intervals, as intervals at ``level``."""
    lower, upper = ends
    return (
        float(np.mean(covers(lower, upper, truth))),
        float(np.mean(upper - lower)),
        float(np.mean(interval_score(lower, upper, truth, level))),
    )

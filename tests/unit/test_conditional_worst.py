"""The worst cell's interval holds although the cell was picked by its looks; a plain one does not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from sbcflow.calibration.bootstrap import interval_over_fits, resampled_means
from sbcflow.calibration.conditional.collect import SHOWN_LEVELS, Cell, Part
from sbcflow.calibration.conditional.worst import MIN_FITS_OF_CELL, worst_cell
from sbcflow.calibration.shares import simultaneous_shares

N_SIMULATIONS, N_FITS, LEVEL = 300, 160, 0.9
# Cells overlap as real ones do: 8 templates, 4 bands across them, and all visitors.
MEMBERS = np.concatenate(
    [
        np.arange(N_FITS)[:, None] % 8 == np.arange(8),
        np.arange(N_FITS)[:, None] * 4 // N_FITS == np.arange(4),
        np.ones((N_FITS, 1), dtype=bool),
    ],
    axis=1,
)


def simulate(rng: np.random.Generator, n_points: int, spread: float):
    """Covered points of fits whose own coverages scatter about 0.9, every cell's true coverage."""
    rates = rng.beta(LEVEL / spread, (1 - LEVEL) / spread, N_FITS)
    covered = rng.binomial(n_points, rates)
    return MEMBERS * float(n_points), MEMBERS * covered[:, None].astype(float)


def plus_and_minus(points: np.ndarray, covered: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Max-t intervals without Wilson's: coverage plus and minus c standard errors."""
    groups = [covered[at, i] / points[at, i] for i, at in enumerate(MEMBERS.T)]
    means, errors = (np.array([f(group) for group in groups]) for f in (np.mean, standard_error))
    errors[errors == 0] = np.inf
    resampled = np.stack([resampled_means(group, 200, i) for i, group in enumerate(groups)], axis=1)
    c = np.quantile(np.max(np.abs(resampled - means) / errors, axis=1), 0.95)
    return means - c * errors, means + c * errors


def standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def shares_held(n_points: int, spread: float) -> tuple[float, float, float]:
    """How often 0.9 is held by the interval of the worst cell: ours, plus and minus, and its plain one."""
    rng, held = np.random.default_rng(5), np.zeros(3)
    for _ in range(N_SIMULATIONS):
        points, covered = simulate(rng, n_points, spread)
        coverage = covered.sum(axis=0) / points.sum(axis=0)
        picked = int(np.argmax(np.abs(coverage - LEVEL)))
        ours, theirs = simultaneous_shares(points, covered, 200, 7), plus_and_minus(points, covered)
        plain = interval_over_fits(covered[MEMBERS[:, picked], picked] / n_points, 200, 7)
        ends = [(lower[picked], upper[picked]) for lower, upper in (ours, theirs)]
        held += [lower <= LEVEL <= upper for lower, upper in (*ends, plain)]
    return tuple(held / N_SIMULATIONS)


@pytest.mark.parametrize(("n_points", "spread"), [(50, 0.1), (50, 0.3), (1, 0.1)])
def test_the_worst_cells_interval_holds_at_its_rate_and_a_plain_one_does_not(n_points, spread):
    """Nominal 0.95; 300 simulations have a standard error of 0.0126, and 0.91 lies over 3 of them below."""
    ours, plus_and_minus, plain = shares_held(n_points, spread)
    assert ours > 0.91
    assert plain < 0.8
    if n_points > 1:
        assert plus_and_minus < 0.91


def test_where_all_are_covered_the_interval_still_holds_the_level():
    """Twelve of twelve are no proof against 0.9, and come by chance 0.28 of the time; spread says [1, 1]."""
    points = np.ones((12, 1))
    lower, upper = simultaneous_shares(points, points, 200, 1)
    assert lower[0] < LEVEL and upper[0] == pytest.approx(1)
    assert standard_error(points[:, 0]) == 0


def test_points_that_are_all_independent_have_wilsons_interval():
    """Many fits of one point: c is that of a single normal cell, and the interval Wilson's own."""
    covered = (np.arange(4000) % 10 > 0).astype(float)[:, None]
    lower, upper = simultaneous_shares(np.ones((4000, 1)), covered, 2000, 3)
    known = binomtest(3600, 4000).proportion_ci(method="wilson")
    assert (lower[0], upper[0]) == pytest.approx((known.low, known.high), abs=5e-4)


def part(fit: int, n_points: int, n_covered: int) -> Part:
    held = np.full((1, len(SHOWN_LEVELS)), float(n_covered))
    return Part(fit, n_points, 1.0, held, held, held, np.ones(1))


def test_the_worst_is_of_cells_with_fits_enough_that_a_user_can_tell():
    by = {"template": 1, "n_visitors": 2, "effect_size": 5}
    many = range(MIN_FITS_OF_CELL)
    parts = {
        Cell(0, by["template"], (0, "off")): [part(i, 10, 6) for i in many],
        Cell(0, by["template"], (0, "few")): [part(i, 10, 0) for i in many[1:]],
        Cell(0, by["n_visitors"], (0, "right")): [part(i, 10, 9) for i in many],
        Cell(0, by["effect_size"], (0, "true size")): [part(i, 10, 1) for i in many],
        Cell(0, 0, (0, "all")): [part(i, 10, 0) for i in many],
        Cell(1, by["template"], (0, "another target")): [part(i, 10, 0) for i in many],
    }
    found = worst_cell(parts, "visitor", 0, 200, 1)
    assert (found.dimension, found.cell, found.n_fits, found.n_points) == (
        "template",
        "off",
        MIN_FITS_OF_CELL,
        100,
    )
    assert (found.coverage, found.n_cells, found.n_off) == (0.6, 2, 1)
    assert worst_cell(parts, "segment", 0, 200, 1) is None

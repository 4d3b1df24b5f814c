"""Scores by cell against closed forms. Tolerances are 4.5 standard errors, 7e-6 false alarms a check."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from conditional_examples import GRID, METHODS, SETTINGS, card_of, make_averages, make_fit, row
from scipy.integrate import quad
from scipy.stats import norm

from sbcflow.calibration.conditional.averages import never_narrowed
from sbcflow.calibration.conditional.cells import COLUMNS, cells_table
from sbcflow.calibration.conditional.collect import SHOWN_LEVELS, Cell, Collector, Part
from sbcflow.calibration.conditional.dimensions import DIMENSIONS, SIZE_EDGES, TARGETS, Points, bands_of
from sbcflow.calibration.corrections import Corrections, methods_of
from sbcflow.calibration.coverage_curve import CoverageCurve
from sbcflow.calibration.layered import LayeredCorrection
from sbcflow.calibration.regime import Range, Regime
from sbcflow.calibration.scale_family import ScaleFamily, actual_of
from sbcflow.calibration.scorecard import evaluate
from sbcflow.errors import ArtifactError
from sbcflow.levels import LEVELS
from sbcflow.report.cells import cells_section
from sbcflow.scoring import central_interval

SURE = 4.5
ALL = Cell(0, 0, (0, "all"))


def planted(n_fits: int = 24, n_points: int = 200):
    """Half of the fits are of a template whose posterior is half as wide as its error."""
    rng = np.random.default_rng(11)
    fits = []
    for index in range(n_fits):
        template, width = ("narrow", 0.5) if index % 2 else ("right", 1.0)
        truth = rng.normal(size=n_points)
        fits.append(make_fit(np.zeros(n_points), width, truth, index, template))
    return fits


@pytest.fixture(scope="module")
def planted_card():
    return card_of(planted())


@pytest.mark.parametrize("level", SHOWN_LEVELS)
@pytest.mark.parametrize(("template", "width"), [("narrow", 0.5), ("right", 1.0)])
@pytest.mark.parametrize(("method", "factor"), [("raw", 1.0), ("doubled", 2.0), ("halved", 0.5)])
def test_a_planted_template_has_its_coverage(planted_card, level, template, width, method, factor):
    """Coverage of posteriors ``width`` times the error's sd is 2 Phi(width q) - 1, q that of the level."""
    found = row(planted_card, "template", template, method, level=level)
    known = 2 * norm.cdf(factor * width * norm.ppf((1 + level) / 2)) - 1
    error = np.sqrt(known * (1 - known) / found["n_points"])
    # 1e-3: a quantile of 1000 draws is not that of the normal.
    assert found["coverage"] == pytest.approx(known, abs=SURE * error + 1e-3)
    assert found["mean_width"] == pytest.approx(2 * factor * width * norm.ppf((1 + level) / 2), rel=0.01)
    assert found["width_to_raw"] == pytest.approx(factor)
    assert found["coverage_lower"] <= found["coverage"] <= found["coverage_upper"]


def test_a_planted_template_is_the_worst_cell(planted_card):
    worst = planted_card.summary["worst_cells"]["visitor"]
    assert (worst["raw"]["dimension"], worst["raw"]["cell"]) == ("template", "narrow")
    assert worst["raw"]["upper"] < 0.9 and worst["raw"]["n_off"] >= 1
    assert (worst["halved"]["dimension"], worst["halved"]["cell"]) == ("template", "narrow")
    assert worst["doubled"]["cell"] != "narrow"


def test_a_report_names_the_worst_cell(planted_card):
    told = cells_section(planted_card)
    worst = planted_card.summary["worst_cells"]["visitor"]["raw"]
    assert f"raw visitor by template, narrow (12 fits), {100 * worst['coverage']:.1f}% (" in told.sentence
    named, every = told.tables
    assert [row[1] for row in named.rows] == [*METHODS] and named.rows[0][3] == "narrow"
    assert len(every.rows) == len(planted_card.table.query("dimension != 'all'")) / len(SHOWN_LEVELS) / 3
    assert any(
        note.startswith("No average effect here: 24 of 24 test fits kept no draws") for note in told.notes
    )


def normal_normal(width: float = 1.0, n_fits: int = 20, n_points: int = 1500):
    """Truths N(0, 1), estimates N(truth, 1): the posterior is N(estimate / 2, 1/2), times ``width``."""
    rng = np.random.default_rng(3)
    fits = []
    for index in range(n_fits):
        truth = rng.normal(size=n_points)
        estimate = truth + rng.normal(size=n_points)
        fits.append(make_fit(estimate / 2, width * np.sqrt(0.5), truth, index))
    return card_of(fits, {"raw": METHODS["raw"]})


def bands():
    return [*zip((0.0, *SIZE_EDGES), (*SIZE_EDGES, np.inf), strict=True)]


def off_by(card, dimension, of_band) -> list[float]:
    """How many standard errors coverage is off what ``of_band`` says, band by band."""
    off = []
    for cell, band in zip(card.cells(dimension, "visitor")["cell"].unique(), bands(), strict=True):
        found, known = row(card, dimension, cell), of_band(*band)
        off.append((found["coverage"] - known) / np.sqrt(known * (1 - known) / found["n_points"]))
    return off


def by_true_size(low: float, high: float, level: float = 0.9) -> float:
    """The docstring's closed form with b = 1/2, over truths of ``low`` to ``high`` posterior sds."""
    b, sd, q = 0.5, np.sqrt(0.5), norm.ppf((1 + level) / 2)

    def covered(truth: float) -> float:
        shift = truth / sd * (1 - b) / np.sqrt(b)
        return norm.cdf(q / np.sqrt(b) + shift) - norm.cdf(-q / np.sqrt(b) + shift)

    top = min(high * sd, 9.0)
    mass = norm.cdf(top) - norm.cdf(low * sd)
    return quad(lambda truth: covered(truth) * norm.pdf(truth), low * sd, top)[0] / mass


def test_calibrated_draws_are_nominal_by_estimated_size():
    assert np.abs(off_by(normal_normal(), "estimated_size", lambda *_: 0.9)).max() < SURE


def test_calibrated_draws_are_off_by_true_size_as_the_closed_form_says():
    card = normal_normal()
    assert np.abs(off_by(card, "effect_size", by_true_size)).max() < SURE
    nominal = off_by(card, "effect_size", lambda *_: 0.9)
    # Small effects are covered too often, large ones too seldom: nobody may read this band as estimated.
    assert nominal[0] > 3 * SURE and nominal[-1] < -3 * SURE


def test_too_narrow_draws_are_found_by_estimated_size():
    assert max(off_by(normal_normal(0.8), "estimated_size", lambda *_: 0.9)) < -SURE


def part(fit: int, n_points: int, n_covered: float) -> Part:
    held = np.full((1, len(SHOWN_LEVELS)), float(n_covered))
    return Part(fit, n_points, 1.0, held, held + 1, held + 1, np.ones(1))


def test_a_cells_mean_is_over_its_points():
    table = cells_table({ALL: [part(0, 100, 50), part(1, 10, 10)]}, ["raw"], 100, 1)
    assert table["coverage"].tolist() == [pytest.approx(60 / 110)] * len(SHOWN_LEVELS)
    assert table.loc[0, "n_points"] == 110 and table.loc[0, "n_fits"] == 2


def test_the_interval_of_a_ratio_holds_it_and_that_of_a_mean_of_fits_does_not():
    """Fits of 100 points are covered at 0.7, of 10 at 0.95, half each: over points 79.5 / 110 = 0.723.

    300 simulations of 40 fits; a percentile interval at this size has 0.93 to 0.95, 3 se are 0.04.
    """
    rng, truth = np.random.default_rng(8), (100 * 0.7 + 10 * 0.95) / 110
    held = held_naively = 0
    for _ in range(300):
        large = rng.random(40) < 0.5
        sizes, rates = (
            np.where(large, 100, 10),
            np.clip(np.where(large, 0.7, 0.95) + rng.normal(0, 0.05, 40), 0, 1),
        )
        covered = rng.binomial(sizes, rates)
        parts = [part(i, int(n), int(c)) for i, (n, c) in enumerate(zip(sizes, covered, strict=True))]
        found = cells_table({ALL: parts}, ["raw"], 200, 5).iloc[0]
        held += found["coverage_lower"] <= truth <= found["coverage_upper"]
        naive = cells_table(
            {ALL: [part(p.fit, 1, p.coverage[0, 0] / p.n_points) for p in parts]}, ["raw"], 200, 5
        )
        mean, spread = naive.loc[0, "coverage"], 1.96 * np.std(covered / sizes) / np.sqrt(40)
        held_naively += abs(mean - truth) <= spread
    assert held / 300 > 0.89
    assert held_naively / 300 < 0.1


def test_an_interval_has_a_width_where_all_of_few_fits_are_covered():
    """Resamples of fits that are all right agree, and would say [1, 1]."""
    averages = make_averages(np.zeros((3, 1)), 1.0, np.zeros((3, 1)), [1.0, 0.5, 0.5])
    card = card_of([make_fit([0.0] * 50, 1.0, [0.0] * 50, i, averages=averages) for i in range(12)])
    for target in TARGETS:
        found = row(card, "all", "all", target=target)
        assert found["coverage"] == 1.0 and found["coverage_upper"] == pytest.approx(1.0)
        # Wilson's for 12 of 12 fits, however many points they have: 12 / (12 + 1.96^2).
        assert found["coverage_lower"] == pytest.approx(0.7575, abs=1e-4)


def test_a_single_fit_has_no_interval():
    table = card_of(planted(1)).table
    ends = [name for name in table if name.endswith(("_lower", "_upper"))]
    assert table[ends].isna().all(axis=None) and table["coverage"].notna().all()


def test_ratios_to_raw_and_cells_know_no_currency():
    """A fit in another currency changes absolute scores; neither its cells nor ratios to raw."""
    fits = planted()
    dear = [
        dataclasses.replace(fit, draws=fit.draws * scale, truth=fit.truth * scale)
        for fit, scale in zip(fits, 10.0 ** np.arange(-3, 3).repeat(4), strict=True)
    ]
    ours, theirs = (card_of(some).table for some in (fits, dear))
    free = [name for name in COLUMNS if not name.startswith(("mean_width", "interval_score", "crps"))]
    free += [name for name in COLUMNS if name.startswith("crps_to_raw")]
    assert ours[free].round(9).equals(theirs[free].round(9))
    assert not np.allclose(ours["interval_score"], theirs["interval_score"], rtol=0.5)


def layered() -> LayeredCorrection:
    actual = tuple(actual_of(0.6, level) for level in LEVELS)
    curve = CoverageCurve(LEVELS, actual, actual, actual, n_fits=30, n_bootstrap=100, seed=1)
    scale = ScaleFamily(0.6, LEVELS[-1], actual[-1], actual[-1], 360, 30, True, "")
    regime = Regime(Range(1, 1), Range(0.1, 0.1), Range(2, 2), Range(1, 1))
    return LayeredCorrection(curve, scale, regime, trained_on="train", n_excluded=0)


def test_all_visitors_have_the_scorecards_scores():
    """Where every fit has as many points, the cell of all is the scorecard's row of all, the CRPS too."""
    fits, corrections = planted(6, 50), Corrections(layered())
    card = evaluate(fits, corrections, SETTINGS)
    cells = card_of(fits, methods_of(corrections)).cells("all", "visitor")
    overall = card.table.query("group_kind == 'all'").merge(
        cells, on=["level", "method"], suffixes=("", "_cell")
    )
    assert len(overall) == len(SHOWN_LEVELS) * 3
    for name in ("coverage", "mean_width", "interval_score"):
        np.testing.assert_allclose(overall[name], overall[f"{name}_cell"], rtol=1e-12)
    for method, of in cells.groupby("method"):
        assert of["crps"].nunique() == 1
        assert of["crps"].iloc[0] == pytest.approx(card.summary["crps"][method]["value"], rel=1e-12)


def test_averages_are_scored_as_they_are_applied():
    """Halving would miss the ATE and the second segment; never narrowed, it leaves the raw interval."""
    averages = make_averages([[0.0], [0.0], [0.0]], 1.0, [[1.5], [0.1], [1.5]], [1.0, 0.3, 0.7])
    card = card_of([make_fit([0.0], 1.0, [1.5], i, averages=averages) for i in range(2)])
    assert row(card, "all", "all", "halved")["coverage"] == 0
    assert row(card, "all", "all", "halved", "ate")["coverage"] == 1
    widths = [row(card, "all", "all", m, "segment")["width_to_raw"] for m in METHODS]
    assert widths == pytest.approx([1, 2, 1])
    assert [(c, n) for c, n in _cells(card, "segment_size", "segment")] == [
        ("25% to 50%", 2),
        ("50% and over", 2),
    ]


def _cells(card, dimension, target):
    rows = card.cells(dimension, target).drop_duplicates("cell")
    return zip(rows["cell"], rows["n_points"], strict=True)


def test_each_end_alone_is_kept_from_narrowing():
    ordered = GRID[None, :]
    moved = never_narrowed({"moved": lambda _: lambda __: (np.array([-9.0]), np.array([0.0]))})["moved"](
        ordered
    )
    assert moved(0.9) == (-9.0, central_interval(ordered, 0.9)[1])


def test_fits_without_averages_leave_their_targets_out():
    averages = make_averages([[0.0]], 1.0, [[0.0]], [1.0])
    fits = [make_fit([0.0], 1.0, [0.0], 0), make_fit([0.0], 1.0, [0.0], 1, averages=averages)]
    card = card_of(fits)
    assert set(card.table["target"]) == {"visitor"} and list(card.summary["worst_cells"]) == ["visitor"]
    with pytest.raises(ArtifactError, match=r"target ate: 1 of 2 test fits kept no draws of their averages"):
        card.cells("template", "ate")
    with pytest.raises(
        ArtifactError, match=r"has no cells by segment_size; must be one of template, n_visitors"
    ):
        card.cells("segment_size", "visitor")
    with pytest.raises(ArtifactError, match="target segment: no fit has a segment"):
        card_of(fits[1:]).cells("template", "segment")


def test_fits_that_did_not_converge_are_passed_on_unseen():
    fits = [dataclasses.replace(fit, converged=i > 0) for i, fit in enumerate(planted(4))]
    assert card_of(fits).table["n_fits"].max() == 3


def test_a_fit_that_cannot_be_scored_is_named():
    averages = make_averages([[np.nan]], 1.0, [[0.0]], [1.0])
    with pytest.raises(ArtifactError, match="config 0000-abcdef01: draws: must all be finite"):
        card_of([make_fit([0.0], 1.0, [0.0], averages=averages)])


def test_methods_of_visitors_and_averages_must_be_the_same():
    with pytest.raises(ValueError, match="methods of visitors and averages differ"):
        Collector(METHODS, {"raw": METHODS["raw"]})


def test_a_band_holds_its_lower_edge():
    truth = np.array([0.0, -0.5, 1.0, 2.9, 3.0]) * GRID.std()
    fit = make_fit(np.zeros(5), 1.0, truth)
    points = Points("visitor", fit, fit.draws, fit.truth)
    assert [order for order, _ in bands_of(points, "effect_size")] == [0, 1, 2, 3, 4]
    assert [order for order, _ in bands_of(points, "estimated_size")] == [0] * 5
    still = Points("visitor", fit, np.ones((5, 9)), fit.truth)
    assert {name for _, name in bands_of(still, "estimated_size")} == {"3 sd and over"}
    assert bands_of(points, "segment_size") == []
    shares = dataclasses.replace(points, target="segment", share=np.array([0.05, 0.1, 0.25, 0.5, 1.0]))
    assert [order for order, _ in bands_of(shares, "segment_size")] == [0, 1, 2, 3, 3]
    assert [*DIMENSIONS] == [d for d in DIMENSIONS if bands_of(shares, d)]

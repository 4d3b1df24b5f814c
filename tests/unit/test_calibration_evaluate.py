import dataclasses
import json
import weakref

import numpy as np
import pytest
from analysis_examples import write_correction, write_regime_correction
from scipy.stats import norm

from sbcflow.calibration.comparison import (
    BETTER,
    COVERAGE_ERROR,
    NO_BETTER,
    WORSE,
    Comparison,
    Estimate,
    coverage_error,
    judge,
)
from sbcflow.calibration.corrections import Corrections, methods_of
from sbcflow.calibration.coverage_curve import CoverageCurve
from sbcflow.calibration.evaluate import TestFit, crps_of, score_test_fits
from sbcflow.calibration.groups import rate_band
from sbcflow.calibration.layered import METHODS, LayeredCorrection
from sbcflow.calibration.regime import Range, Regime
from sbcflow.calibration.scale_family import ScaleFamily, actual_of
from sbcflow.calibration.scorecard import TABLE_COLUMNS, Scorecard, evaluate, render, worst_template
from sbcflow.errors import ArtifactError
from sbcflow.levels import LEVELS
from sbcflow.params import EvaluationSettings
from sbcflow.scoring import score_fit

SETTINGS = EvaluationSettings(id="evaluation", n_bootstrap=200, seed=2)
TEMPLATES = ("constant", "reversal", "clustered")


def correction(c: float = 1.0, reason: str = "") -> LayeredCorrection:
    """What an endless train sweep of posteriors ``c`` times too wide would give."""
    actual = tuple(actual_of(c, level) for level in LEVELS)
    curve = CoverageCurve(LEVELS, actual, actual, actual, n_fits=30, n_bootstrap=100, seed=1)
    scale = ScaleFamily(c, LEVELS[-1], 1.0 if reason else actual[-1], actual[-1], 360, 30, not reason, reason)
    regime = Regime(Range(1, 1), Range(0.1, 0.1), Range(2, 2), Range(1, 1))
    return LayeredCorrection(curve, scale, regime, trained_on="train", n_excluded=0)


def sweep_of(c: float = 0.6, n_fits: int = 9, n_points: int = 60, n_draws: int = 300) -> list[TestFit]:
    rng = np.random.default_rng(6)
    fits = []
    for index in range(n_fits):
        draws = rng.normal(size=(n_points, 1)) + c * rng.normal(size=(n_points, n_draws))
        fits.append(
            TestFit(
                config_id=f"{index:03d}",
                n_visitors=20000 if index % 2 else 5000,
                template=TEMPLATES[index % len(TEMPLATES)],
                conversion_rate=0.01 * (index + 0.5),
                converged=True,
                draws=draws.astype(np.float32),
                truth=np.zeros(n_points),
            )
        )
    return fits


@pytest.fixture(scope="module")
def card():
    return evaluate(sweep_of(), Corrections(correction(0.6)), SETTINGS)


@pytest.mark.parametrize("truth", [-2.5, 0.0, 0.7, 4.0])
def test_crps_of_raw_gaussian_intervals_is_the_closed_form(truth):
    """Within 1e-3: the grid's midpoint rule and 20,000 draws."""
    closed = truth * (2 * norm.cdf(truth) - 1) + 2 * norm.pdf(truth) - 1 / np.sqrt(np.pi)
    grid = norm.ppf((np.arange(20_000) + 0.5) / 20_000)[None, :]
    found = crps_of(methods_of(Corrections(correction()))["raw"](grid), np.array([truth]))
    assert found == pytest.approx(closed, rel=1e-3)


def test_raw_scores_are_those_of_the_fit():
    fit = sweep_of(n_fits=1)[0]
    scored = score_test_fits([fit], methods_of(Corrections(correction(0.6)))).fits[0]
    own = score_fit(fit.draws, fit.truth)
    for a, level in enumerate(LEVELS):
        assert scored.coverage[0, a] == own[f"coverage_{100 * level:.6g}".replace(".", "")]
    at_90 = LEVELS.index(0.9)
    assert scored.width[0, at_90] == pytest.approx(own["mean_width_90"])
    assert scored.score[0, at_90] == pytest.approx(own["interval_score_90"])
    # The grid's midpoint rule against the fair estimator: they differ by the order of 1 / n_draws.
    assert scored.crps[0] == pytest.approx(own["crps"], rel=5e-3)


def test_fits_are_taken_one_at_a_time_and_not_kept():
    """At most the fit being made and the one just scored are alive; nothing after the last."""
    made, alive = [], []

    def stream():
        for _ in range(4):
            yield _tracked(made)
            alive.append(sum(draws() is not None for draws in made))

    kept = score_test_fits(stream(), methods_of(Corrections(correction()))).fits
    assert len(kept) == len(made) == 4
    assert max(alive) <= 2
    assert not any(draws() is not None for draws in made)


def _tracked(made: list) -> TestFit:
    fit = sweep_of(n_fits=1)[0]
    made.append(weakref.ref(fit.draws))
    return fit


def test_unconverged_fits_are_left_out_and_counted(card):
    wrong = dataclasses.replace(sweep_of(n_fits=1)[0], converged=False, truth=np.full(60, 1e6))
    found = evaluate([*sweep_of(), wrong], Corrections(correction(0.6)), SETTINGS)
    assert found.table.equals(card.table)
    assert (found.summary["n_fits"], found.summary["n_excluded"]) == (9, 1)


def test_nothing_to_evaluate_is_refused():
    unconverged = [dataclasses.replace(fit, converged=False) for fit in sweep_of(n_fits=2)]
    for fits in ([], unconverged):
        with pytest.raises(ArtifactError, match="no converged fit"):
            evaluate(fits, Corrections(correction()), SETTINGS)


def test_a_fit_that_cannot_be_scored_is_named():
    broken = dataclasses.replace(sweep_of(n_fits=1)[0], truth=np.zeros(3))
    with pytest.raises(ArtifactError, match="config 000: truth"):
        evaluate([broken], Corrections(correction()), SETTINGS)


def test_table_has_every_level_method_and_group(card):
    table = card.table
    assert tuple(table.columns) == TABLE_COLUMNS
    groups = table.groupby("group_kind", sort=False)["group"].unique()
    assert list(groups["template"]) == sorted(TEMPLATES)
    assert list(groups["n_visitors"]) == ["5000", "20000"]
    assert list(groups["conversion_rate"]) == ["under 1%", "1% to 2%", "2% to 5%", "5% to 10%"]
    n_groups = 1 + 3 + 2 + 4
    assert len(table) == n_groups * len(LEVELS) * len(METHODS)
    assert not table.duplicated(["group_kind", "group", "level", "method"]).any()


def test_group_means_average_to_the_whole(card):
    rows = card.table[(card.table["level"] == 0.9) & (card.table["method"] == "layered")]
    whole = rows.loc[rows["group_kind"] == "all", "coverage"].iloc[0]
    for kind in ("template", "n_visitors", "conversion_rate"):
        group = rows[rows["group_kind"] == kind]
        assert np.average(group["coverage"], weights=group["n_fits"]) == pytest.approx(whole)


def test_coverage_lies_in_its_interval_and_single_fits_have_none(card):
    alone = card.table["n_fits"] == 1
    assert alone.any()
    assert card.table.loc[alone, ["coverage_lower", "coverage_upper"]].isna().all(axis=None)
    rest = card.table[~alone]
    assert (rest["coverage_lower"] <= rest["coverage"]).all()
    assert (rest["coverage"] <= rest["coverage_upper"]).all()


def test_summary_agrees_with_the_table(card):
    overall = card.table[card.table["group_kind"] == "all"]
    for method in METHODS:
        rows = overall[overall["method"] == method]
        error = (rows["coverage"] - rows["level"]).abs().mean()
        estimate = card.summary[COVERAGE_ERROR][method]
        assert estimate["value"] == pytest.approx(error)
        assert estimate["lower"] < estimate["upper"]
    values = card.summary[COVERAGE_ERROR]
    difference = card.summary["differences_from_raw"]["layered"][COVERAGE_ERROR]["value"]
    assert difference == pytest.approx(values["layered"]["value"] - values["raw"]["value"])


def test_plot_data_has_a_curve_a_method(card):
    assert list(card.curves.columns) == ["nominal", "method", "coverage"]
    assert len(card.curves) == len(LEVELS) * len(METHODS)


def test_equal_inputs_give_equal_bytes(card):
    again = evaluate(iter(sweep_of()), Corrections(correction(0.6)), SETTINGS)
    assert json.dumps(again.summary, allow_nan=False) == json.dumps(card.summary, allow_nan=False)
    assert again.table.to_csv() == card.table.to_csv()
    assert again.curves.to_csv() == card.curves.to_csv()


def test_a_planted_error_is_corrected_and_called_better(card):
    assert card.summary["verdict"]["code"] == BETTER
    assert "better than raw" in card.summary["verdict"]["sentence"]


def test_a_correction_that_changes_nothing_is_no_better():
    summary = evaluate(sweep_of(1.0), Corrections(correction(1.0)), SETTINGS).summary
    assert summary["verdict"]["code"] == NO_BETTER
    assert "no better than raw" in summary["verdict"]["sentence"]


def test_a_correction_the_wrong_way_is_worse():
    assert evaluate(sweep_of(1.0), Corrections(correction(0.4)), SETTINGS).summary["verdict"]["code"] == WORSE


@pytest.mark.parametrize("n_fits", [1, 5])
def test_few_fits_cannot_tell(n_fits):
    found = evaluate(sweep_of(n_fits=n_fits), Corrections(correction(0.6)), SETTINGS)
    assert found.summary["verdict"]["code"] == NO_BETTER
    assert "too few" in found.summary["verdict"]["sentence"]
    json.dumps(found.summary, allow_nan=False)
    render(found)


@pytest.mark.parametrize(
    ("lower", "upper", "code"), [(-0.2, -0.1, BETTER), (-0.1, 0.1, NO_BETTER), (0.1, 0.2, WORSE)]
)
def test_the_verdict_is_the_paired_intervals(lower, upper, code):
    means = {COVERAGE_ERROR: {m: Estimate(0.1, 0.0, 0.2) for m in METHODS}}
    difference = {"layered": {COVERAGE_ERROR: Estimate((lower + upper) / 2, lower, upper)}}
    assert judge(Comparison(means, difference), n_fits=10, method="layered").code == code


def test_coverage_error_by_hand():
    shifted = np.asarray(LEVELS) + np.where(np.arange(12) % 2, 0.02, -0.04)
    assert coverage_error(shifted) == pytest.approx(0.03)


def test_the_unusable_anchor_is_in_summary_and_print():
    found = evaluate(sweep_of(), Corrections(correction(0.6, reason="planted reason")), SETTINGS)
    assert found.summary["anchor"]["usable"] is False
    assert found.summary["anchor"]["reason"] == "planted reason"
    assert "planted reason" in found.summary["layered_regimes"]["0.9"]
    assert "R(p) alone: planted reason" in render(found)
    layered, by_curve = (found.table[found.table["method"] == m]["coverage"] for m in ("layered", "r_of_p"))
    np.testing.assert_array_equal(layered, by_curve)


def test_print_shows_each_level_the_error_the_worst_template_and_the_verdict(card):
    printed = render(card)
    lines = printed.splitlines()
    assert [line.split()[0] for line in lines[2:14]] == [str(level) for level in LEVELS]
    assert lines[1].split() == ["nominal", *METHODS]
    assert f"{card.summary[COVERAGE_ERROR]['layered']['value']:.4f}" in printed
    assert card.summary["worst_template"]["template"] in printed
    assert printed.endswith(card.summary["verdict"]["sentence"] + "\n")


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """A scorecard with the method regime, and its corrections."""
    folder = write_correction(tmp_path_factory.mktemp("correction"))
    write_regime_correction(folder)
    corrections = Corrections.load(folder)
    return evaluate(sweep_of(), corrections, SETTINGS), corrections


def test_the_correction_by_regime_is_scored_judged_and_the_default(four):
    found, corrections = four
    assert found.methods == (*METHODS, "regime")
    assert found.default_method == corrections.default_method == "regime"
    fit = sweep_of()[0]
    ends = corrections.by_regime.intervals(fit.draws, 0.9)
    scored = score_test_fits([fit], methods_of(corrections)).fits[0]
    assert scored.coverage[-1, LEVELS.index(0.9)] == np.mean(
        (ends.lower <= fit.truth) & (fit.truth <= ends.upper)
    )
    assert found.summary["verdict"]["sentence"].startswith("The regime correction is")
    assert set(found.summary["differences_from_raw"]) == {"r_of_p", "layered", "regime"}
    rows = found.table[(found.table["group_kind"] == "template") & (found.table["method"] == "regime")]
    errors = (rows["coverage"] - rows["level"]).abs().groupby(rows["group"]).mean()
    assert found.summary["worst_template"]["template"] == errors.idxmax()
    assert render(found).splitlines()[1].split() == ["nominal", *METHODS, "regime"]


def test_a_scorecard_is_read_back_with_its_methods(four, tmp_path):
    found, _ = four
    found.table.to_csv(tmp_path / "scorecard.csv", index=False)
    (tmp_path / "scorecard.json").write_text(json.dumps(found.summary, sort_keys=True))
    again = Scorecard.load(tmp_path)
    assert again.methods == found.methods and render(again) == render(found)
    found.table[found.table["method"] != "layered"].to_csv(tmp_path / "scorecard.csv", index=False)
    with pytest.raises(ArtifactError, match="has no rows of the methods layered"):
        Scorecard.load(tmp_path)


def test_worst_template_has_the_largest_layered_error(card):
    worst = worst_template(card.table, "layered")
    rows = card.table[(card.table["group_kind"] == "template") & (card.table["method"] == "layered")]
    errors = (rows["coverage"] - rows["level"]).abs().groupby(rows["group"]).mean()
    assert worst["template"] == errors.idxmax()
    assert worst[COVERAGE_ERROR]["layered"] == pytest.approx(errors.max())


@pytest.mark.parametrize(
    ("rate", "name"), [(0.0, "under 1%"), (0.01, "1% to 2%"), (0.05, "5% to 10%"), (0.4, "10% and over")]
)
def test_bands_hold_their_lower_edge(rate, name):
    assert rate_band(rate)[1] == name

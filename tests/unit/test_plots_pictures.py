"""What each picture draws: the figures of its table, whatever else it looks like."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from analysis_examples import write_correction

from sbcflow import plots
from sbcflow.calibration.layered import METHODS, LayeredCorrection
from sbcflow.calibration.regime import Observed
from sbcflow.levels import LEVELS
from sbcflow.plots.effects import MOST_ROWS, ranked
from sbcflow.plots.labels import row_labels
from sbcflow.plots.style import METHOD_LABELS

GROUPS = (("all", "all", 6), ("template", "constant", 5), ("template", "sparse_benefit", 1))
OFF = {"raw": -0.1, "r_of_p": 0.01, "layered": 0.02}


@pytest.fixture
def card() -> pd.DataFrame:
    """A scorecard.csv whose coverage is off by a method's own amount; a single fit has no interval."""
    rows = [
        {
            "group_kind": kind,
            "group": group,
            "n_fits": n_fits,
            "level": level,
            "method": method,
            "coverage": level + OFF[method],
            "coverage_lower": level + OFF[method] - 0.01 if n_fits > 1 else np.nan,
            "coverage_upper": level + OFF[method] + 0.01 if n_fits > 1 else np.nan,
        }
        for kind, group, n_fits in GROUPS
        for level in LEVELS
        for method in METHODS
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def correction(tmp_path_factory: pytest.TempPathFactory) -> LayeredCorrection:
    return LayeredCorrection.load(write_correction(tmp_path_factory.mktemp("correction")))


def line_called(axes: object, label: str) -> object:
    (line,) = [one for one in axes.lines if one.get_label() == label]
    return line


@pytest.mark.parametrize("method", METHODS)
def test_coverage_is_drawn_against_level(card: pd.DataFrame, method: str) -> None:
    line = line_called(plots.plot_coverage(card).axes[0], METHOD_LABELS[method])
    assert line.get_xdata() == pytest.approx(LEVELS)
    assert line.get_ydata() == pytest.approx([level + OFF[method] for level in LEVELS])


def test_coverage_errors_are_in_points(card: pd.DataFrame) -> None:
    axes = plots.plot_coverage_error(card).axes[0]
    assert line_called(axes, "raw").get_ydata() == pytest.approx([-10.0] * len(LEVELS))
    assert [label.get_text() for label in axes.get_xticklabels()][-1] == "99.95"


def test_without_intervals_there_is_no_band(card: pd.DataFrame) -> None:
    assert len(plots.plot_coverage(card).axes[0].collections) == 2
    single = card.assign(coverage_lower=np.nan, coverage_upper=np.nan)
    assert len(plots.plot_coverage(single).axes[0].collections) == 0


def test_groups_are_named_with_their_fits(card: pd.DataFrame) -> None:
    axes = plots.plot_groups(card, 0.9).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["constant (5)", "sparse benefit (1)"]
    assert line_called(axes, "layered").get_xdata() == pytest.approx([0.92, 0.92])
    with pytest.raises(ValueError, match="no group of the kind 'n_visitors'"):
        plots.plot_groups(card, 0.9, "n_visitors")


def test_cells_are_those_of_one_target_and_dimension() -> None:
    cells = (
        ("visitor", "estimated_size", "under 0.5 sd", 12),
        ("visitor", "estimated_size", "3 sd and over", 2),
    )
    others = (("segment", "estimated_size", "under 0.5 sd", 9), ("visitor", "template", "constant", 7))
    table = pd.DataFrame(
        [
            {
                "target": target,
                "dimension": dimension,
                "cell": cell,
                "n_fits": n_fits,
                "level": level,
                "method": method,
                "coverage": level - n_fits / 100 + OFF[method] / 100,
                "coverage_lower": level - 0.2,
                "coverage_upper": level,
            }
            for target, dimension, cell, n_fits in (*others, *cells)
            for level in (0.5, 0.9)
            for method in METHODS
        ]
    )
    axes = plots.plot_cells(table).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "under 0.5 sd (12)",
        "3 sd and over (2)",
    ]
    assert line_called(axes, "raw").get_xdata() == pytest.approx([0.779, 0.879])
    assert line_called(plots.plot_cells(table, level=0.5).axes[0], "raw").get_xdata()[0] == pytest.approx(
        0.379
    )
    with pytest.raises(ValueError, match="no cells of 'ate' by 'template'"):
        plots.plot_cells(table, "template", "ate")


def test_r_of_p_is_drawn_with_its_reading(correction: LayeredCorrection) -> None:
    axes = plots.plot_correction(correction).axes[0]
    assert line_called(axes, "R(p)").get_ydata() == pytest.approx(correction.curve.y_values)
    (words,) = [text.get_text() for text in axes.texts]
    assert words == f"for 90% ask for {correction.curve.invert(0.9):.1%}"


def aggregate() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "n_visitors": [800, 800, 1600],
            "template": ["b", "a", "b"],
            "metrics.rmse": [0.5, 1.0, 2.0],
            "diagnostics.conversion_rate": [0.01, 0.02, 0.03],
            "diagnostics.converged": [True, True, False],
            "diagnostics.escalated": [False, True, False],
        }
    )


def test_fits_are_drawn_against_a_number_or_a_template() -> None:
    axes = plots.plot_against(aggregate(), "conversion_rate", "rmse").axes[0]
    assert line_called(axes, "fit").get_xdata() == pytest.approx([0.01, 0.03])
    assert line_called(axes, "went to NUTS").get_ydata() == pytest.approx([1.0])
    assert line_called(axes, "not converged").get_ydata() == pytest.approx([2.0])
    by_template = plots.plot_against(aggregate(), "template", "rmse").axes[0]
    assert [label.get_text() for label in by_template.get_yticklabels()] == ["a", "b"]
    assert line_called(by_template, "fit").get_ydata() == pytest.approx([1, 1])


def test_scores_are_in_percent_of_raw() -> None:
    quantities = ("mean_absolute_coverage_error", "interval_score_90", "crps")
    difference = {"value": -0.5, "lower": None, "upper": None}
    summary = {q: {"raw": {"value": 2.0}} for q in quantities} | {
        "differences_from_raw": {m: dict.fromkeys(quantities, difference) for m in ("r_of_p", "layered")}
    }
    axes = plots.plot_scores(summary).axes[0]
    assert line_called(axes, "layered").get_xdata() == pytest.approx([-25.0] * 3)


def effects(n_segments: int, arms: tuple[str, ...] = ("banner",)) -> pd.DataFrame:
    names = ["all", *(f"city={k}" for k in range(n_segments))]
    rows = [
        {"arm": arm, "segment": name, "ate": float(k), "diff_in_means": float(k)}
        | {f"{kind}_{end}_90": k + sign for kind in ("raw", "calibrated") for end, sign in ENDS}
        for arm in arms
        for k, name in enumerate(names)
    ]
    return pd.DataFrame(rows)


ENDS = (("lower", -1.0), ("upper", 1.0))


def test_segments_are_ranked_under_everybody() -> None:
    axes = plots.plot_effects(effects(3)).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["everybody", "city: 2", "city: 1", "city: 0"]


def test_of_many_segments_both_ends_are_drawn() -> None:
    rows = ranked(effects(3 * MOST_ROWS), "banner")
    assert len(rows) == 1 + MOST_ROWS
    assert {rows["ate"].iloc[1], rows["ate"].iloc[-1]} == {3.0 * MOST_ROWS, 1.0}


def test_names_from_data_are_drawn_as_they_are() -> None:
    table = effects(1).assign(segment=["all", "price=$5_{ to $10^"])
    svg = plots.svg_bytes(plots.plot_effects(table)).decode()
    assert ">price: $5_{ to $10^</text>" in svg


LONG = "days_since_the_visitor_signed_up_for_the_letter"


def test_labels_of_different_segments_differ() -> None:
    thirds = [f"days_since_signup=third {k} of 3" for k in (1, 2, 3)]
    table = effects(5).assign(segment=["all", *thirds, f"{LONG}=first", f"{LONG}={'x' * 99}"])
    axes = plots.plot_effects(table).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels[-1] == "days_since_signup:\nthird 1 of 3"
    assert labels[1] == "days_since_th…_the_letter:\nxxxxxxxxxxxxx…xxxxxxxxxxxx"
    assert len(set(labels)) == 6
    assert ">third 3 of 3</text>" in plots.svg_bytes(plots.plot_effects(table)).decode()


def test_names_that_a_cut_makes_alike_are_numbered() -> None:
    one, other = (f"city={'x' * 30}{middle}{'y' * 30}" for middle in "ab")
    assert len(set(row_labels([one, other]))) == 2
    assert row_labels([one]) == row_labels([other])
    assert row_labels(["city: York", "city: Ely"]) == ["city: York", "city: Ely"]


def test_a_large_sweep_makes_no_large_picture() -> None:
    many = pd.concat([aggregate()] * 7000, ignore_index=True)
    assert len(plots.svg_bytes(plots.plot_against(many, "conversion_rate", "rmse"))) < 200_000
    few = plots.svg_bytes(plots.plot_against(aggregate(), "conversion_rate", "rmse"))
    assert b"<image" not in few


def test_an_arm_must_be_named_where_there_are_several() -> None:
    table = effects(2, ("mens", "womens"))
    with pytest.raises(ValueError, match="name an arm: one of mens, womens"):
        plots.plot_effects(table)
    with pytest.raises(ValueError, match="no arm 'kids'; the table has mens, womens"):
        plots.plot_effects(table, "kids")
    assert plots.plot_effects(table, "womens")


def test_without_a_correction_raw_intervals_stand_alone() -> None:
    raw = effects(2).assign(calibrated_lower_90=np.nan, calibrated_upper_90=np.nan)
    (legend,) = plots.plot_effects(raw).legends
    assert [text.get_text() for text in legend.get_texts()] == ["raw", "plain difference"]


def test_what_lies_outside_the_regime_is_marked(correction: LayeredCorrection) -> None:
    observed = Observed(n_visitors=100_000, conversion_rate=0.05, n_arms=2, severity_sd=0.9)
    axes = plots.plot_regime(correction.regime, observed).axes[0]
    words = [text.get_text() for text in axes.texts]
    assert words[0] == "visitors 100,000, trained on 20,000 - outside"
    assert not any("outside" in one for one in words[1:])
    assert [line.get_marker() for line in axes.lines] == ["X", "o", "o", "o"]

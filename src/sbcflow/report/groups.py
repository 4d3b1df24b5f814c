"""What a report says of groups of fits, and of scores."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd

from sbcflow import plots
from sbcflow.calibration.scorecard import Scorecard, methods_in
from sbcflow.plots.style import METHOD_LABELS
from sbcflow.report.coverage import SHOWN_LEVEL
from sbcflow.report.runs import Lineage
from sbcflow.report.value import Column, Picture, Section, Table, number, percent

KINDS = {"template": "template", "conversion_rate": "conversion rate", "n_visitors": "visitors"}
SCORES = {"rmse": "RMSE of the posterior mean", "width": "width of raw 90% intervals"}
QUANTITIES = {
    "mean_absolute_coverage_error": "mean |coverage error|",
    "interval_score_90": "interval score at 90%",
    "crps": "CRPS",
}


def groups_section(lineage: Lineage) -> Section:
    """Return the section on templates, conversion rates and visitors."""
    table = lineage.scorecard.table
    at = table[(table["level"] == SHOWN_LEVEL) & (table["group_kind"] != "all")]
    worst, method = lineage.scorecard.summary["worst_template"], lineage.scorecard.default_method
    errors = worst["mean_absolute_coverage_error"]
    sentence = (
        f"An average can hide a group. The worst template is {_words(worst['template'])} ({worst['n_fits']} "
        f"fits): its coverage is off by {number(100 * errors['raw'])} points raw and "
        f"{number(100 * errors[method])} {METHOD_LABELS[method]}."
    )
    shown = [kind for kind in KINDS if at.loc[at["group_kind"] == kind, "group"].nunique() > 1]
    pictures = [_coverage_picture(table, kind) for kind in shown]
    pictures += [_score_picture(lineage, kind, score) for score in SCORES for kind in shown]
    alone = [KINDS[kind] for kind in KINDS if kind not in shown]
    notes = tuple(
        f"All test fits are of one group by {name}, so there is no picture by {name}." for name in alone
    )
    return Section("groups", "Who it holds for", sentence, tuple(pictures), (_group_table(at),), notes=notes)


def _words(name: str) -> str:
    return name.replace("_", " ")


def coverage_words(rows: pd.DataFrame, column: str) -> str:
    """Return in words what a picture of coverage shows: each name in a column, and each method's coverage."""
    return "; ".join(
        f"{_words(str(name))} "
        + ", ".join(
            f"{METHOD_LABELS[str(method)]} {percent(coverage)}"
            for method, coverage in zip(of["method"], of["coverage"], strict=True)
            if method != "r_of_p"
        )
        for name, of in rows.groupby(column, sort=False)
    )


def _coverage_picture(table: pd.DataFrame, kind: str) -> Picture:
    rows = table[(table["group_kind"] == kind) & (table["level"] == SHOWN_LEVEL)]
    return Picture(
        f"coverage-by-{kind.replace('_', '-')}",
        f"Coverage by {KINDS[kind]}",
        f"Dots of the coverage of 90% intervals by {KINDS[kind]}: {coverage_words(rows, 'group')}.",
        "In brackets the number of test fits. Lines: 95% intervals over fits; none where there is one fit.",
        partial(plots.plot_groups, table, SHOWN_LEVEL, kind),
    )


def _score_picture(lineage: Lineage, kind: str, score: str) -> Picture:
    fits = lineage.test.fits
    values = fits[{"rmse": "metrics.rmse", "width": "metrics.mean_width_90"}[score]]
    name = f"{'RMSE' if score == 'rmse' else 'Width'} by {KINDS[kind]}"
    return Picture(
        f"{score}-by-{kind.replace('_', '-')}",
        name,
        f"A point a test fit: {SCORES[score]} by {KINDS[kind]}, from {number(values.min())} to "
        f"{number(values.max())} in revenue per visitor, median {number(values.median())}.",
        f"{SCORES[score].capitalize().replace('Rmse', 'RMSE')} over a fit's test points, in revenue per "
        "visitor.",
        partial(plots.plot_against, fits, kind, score),
    )


def _group_table(at: pd.DataFrame) -> Table:
    wide = at.pivot(
        index=["group_kind", "group", "n_fits"],
        columns="method",
        values=["coverage", "coverage_lower", "coverage_upper", "mean_width"],
    )
    order = at[["group_kind", "group", "n_fits"]].drop_duplicates()
    frame = order.reset_index(drop=True)
    columns = [
        Column("group_kind", "by", "text"),
        Column("group", "group", "text"),
        Column("n_fits", "fits", "count"),
    ]
    wanted = [
        ("coverage", "", "percent"),
        ("coverage_lower", " from", "percent"),
        ("coverage_upper", " to", "percent"),
    ]
    for method in (name for name in methods_in(at) if name != "r_of_p"):
        for value, label, kind in (*wanted, ("mean_width", " width", "number")):
            key = f"{value}_{method}"
            frame[key] = wide[value, method].loc[pd.MultiIndex.from_frame(order)].to_numpy()
            columns.append(Column(key, f"{METHOD_LABELS[method]}{label}", kind))  # type: ignore[arg-type]
    return Table.of("groups", "90% intervals by group of test fits", tuple(columns), frame)


def scores_section(lineage: Lineage) -> Section:
    """Return the section on interval score and CRPS, before and after."""
    card, method = lineage.scorecard, lineage.scorecard.default_method
    summary = card.summary
    score, crps = summary["interval_score_90"], summary["crps"]
    sentence = (
        f"Scores weigh width against misses, and smaller is better: the interval score at 90% goes from "
        f"{number(score['raw']['value'])} to {number(score[method]['value'])}, the CRPS from "
        f"{number(crps['raw']['value'])} to {number(crps[method]['value'])}, in revenue per visitor."
    )
    picture = Picture(
        "score-changes",
        "What the corrections change",
        "Dots of the change from raw in percent, with intervals: "
        + "; ".join(
            f"{QUANTITIES[q]} {METHOD_LABELS[method]} {_change(summary, method, q)}" for q in QUANTITIES
        )
        + ".",
        "Paired by fit, in percent of raw, with 95% intervals over fits. An interval that holds 0 leaves "
        "it open whether there is a change.",
        partial(plots.plot_scores, summary),
    )
    return Section(
        "scores", "Scores before and after", sentence, (picture,), (_score_table(card), _levels(card))
    )


def _change(summary: dict[str, Any], method: str, quantity: str) -> str:
    difference = summary["differences_from_raw"][method][quantity]["value"]
    return f"{100 * difference / summary[quantity]['raw']['value']:+.1f}%"


def _score_table(card: Scorecard) -> Table:
    summary = card.summary
    columns = (
        Column("quantity", "score", "text"),
        Column("method", "method", "text"),
        Column("value", "value"),
        Column("lower", "value from"),
        Column("upper", "value to"),
        Column("difference", "less raw", "signed"),
        Column("difference_lower", "less raw, from", "signed"),
        Column("difference_upper", "less raw, to", "signed"),
    )
    ends = ("value", "lower", "upper")
    rows = tuple(
        (
            QUANTITIES[quantity],
            METHOD_LABELS[method],
            *(summary[quantity][method][end] for end in ends),
            *(summary["differences_from_raw"].get(method, {}).get(quantity, {}).get(end) for end in ends),
        )
        for quantity in QUANTITIES
        for method in card.methods
    )
    return Table("scores", "Scores over all test fits, and paired differences from raw", columns, rows)


def _levels(card: Scorecard) -> Table:
    overall = card.table.query("group_kind == 'all'")
    wide = overall.pivot(index="level", columns="method", values=["interval_score", "mean_width"])
    frame, columns = pd.DataFrame({"level": wide.index}), [Column("level", "level", "percent")]
    for value, label in (("interval_score", "score"), ("mean_width", "width")):
        for method in card.methods:
            frame[f"{value}_{method}"] = wide[value, method].to_numpy()
            columns.append(Column(f"{value}_{method}", f"{label} {METHOD_LABELS[method]}"))
    return Table.of("interval-scores", "Interval score and mean width at each level", tuple(columns), frame)

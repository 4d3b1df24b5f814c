"""What a report says of coverage, of R(p), and of ranks."""

from __future__ import annotations

from functools import partial

import pandas as pd

from sbcflow import plots
from sbcflow.calibration.corrections import Corrections
from sbcflow.calibration.layered import LayeredCorrection
from sbcflow.calibration.scorecard import Scorecard
from sbcflow.data import FloatArray
from sbcflow.levels import LEVELS
from sbcflow.plots.style import METHOD_LABELS
from sbcflow.plots.uniformity import MIN_VALUES, Uniformity, pit_of_ranks, uniformity
from sbcflow.report.runs import Lineage
from sbcflow.report.value import Column, Picture, Section, Table, number, percent

SHOWN_LEVEL = 0.9
INTERVALS = {
    "raw": "with raw intervals",
    "r_of_p": "with R(p)",
    "layered": "with the layered correction",
    "regime": "with the one by regime",
}
MOST_PANELS = 6


def coverage_section(lineage: Lineage) -> Section:
    """Return the section on coverage over all test fits, level by level."""
    card = lineage.scorecard
    errors = card.summary["mean_absolute_coverage_error"]
    raw, *corrected = (f"{number(100 * errors[m]['value'])} {INTERVALS[m]}" for m in card.methods)
    sentence = (
        f"Averaged over the levels, coverage is off by {raw.replace(' ', ' points ', 1)}, "
        f"{', '.join(corrected[:-1])} and {corrected[-1]}."
    )
    return Section("coverage", "Coverage", sentence, _coverage_pictures(card), (_coverage_table(lineage),))


def coverage_at(table: pd.DataFrame, method: str, level: float = SHOWN_LEVEL) -> pd.Series:
    """Return the row of scorecard.csv over all fits of a method at a level."""
    rows = table[(table["group_kind"] == "all") & (table["method"] == method) & (table["level"] == level)]
    return rows.iloc[0]


def _coverage_pictures(card: Scorecard) -> tuple[Picture, ...]:
    table = card.table
    told = "; ".join(
        f"{METHOD_LABELS[m]} {percent(coverage_at(table, m)['coverage'])} at 90%, "
        f"{percent(coverage_at(table, m, 0.5)['coverage'])} at 50%"
        for m in card.methods
    )
    return (
        Picture(
            "coverage-curve",
            "Coverage at each nominal level",
            f"Lines of coverage against nominal level, beside the diagonal of exact coverage: {told}.",
            "On the dotted line a 90% interval holds the truth nine times out of ten. Bands: where 95% of "
            "the resamples of whole fits lie, level by level.",
            partial(plots.plot_coverage, table),
        ),
        Picture(
            "coverage-error",
            "How far off, level by level",
            f"Lines of coverage less nominal level, in percentage points, one mark a level: {told}.",
            "The same, with the nominal level taken away and the tail given room. Above 0 intervals are "
            "wider than they need be, below 0 too narrow.",
            partial(plots.plot_coverage_error, table),
        ),
    )


def _coverage_table(lineage: Lineage) -> Table:
    overall = lineage.scorecard.table.query("group_kind == 'all'")
    wide = overall.pivot(
        index="level", columns="method", values=["coverage", "coverage_lower", "coverage_upper"]
    )
    frame = pd.DataFrame({"level": list(LEVELS)})
    columns = [Column("level", "nominal", "percent")]
    for method in lineage.scorecard.methods:
        for value, label in (("coverage", ""), ("coverage_lower", " from"), ("coverage_upper", " to")):
            key = f"{value}_{method}"
            frame[key] = wide[value, method].loc[list(LEVELS)].to_numpy()
            columns.append(Column(key, f"{METHOD_LABELS[method]}{label}", "percent"))
    caption = "Coverage over all test fits, with 95% intervals over fits"
    return Table.of("coverage", caption, tuple(columns), frame)


def correction_section(lineage: Lineage) -> Section:
    """Return the section on R(p) and on what the layered rule makes of it."""
    correction = lineage.corrections.layered
    curve = correction.curve
    nominal = curve.invert(SHOWN_LEVEL)
    sentence = (
        f"Over the {curve.n_fits} train fits a nominal {SHOWN_LEVEL:.0%} interval held the truth in "
        f"{percent(curve.actual(SHOWN_LEVEL))} of the points; to hold it in {SHOWN_LEVEL:.0%}, the "
        f"correction asks for the nominal {percent(nominal)} interval."
    )
    picture = Picture(
        "correction-curve",
        "R(p), from nominal to actual coverage",
        f"A rising curve of actual against nominal coverage over the train fits. It reads {percent(nominal)} "
        f"nominal for {SHOWN_LEVEL:.0%} actual coverage.",
        "Monotone by construction. Read it backwards: from the coverage that you want, left to the curve, "
        "down to the nominal level to ask for. Band: 95% of the resamples of whole train fits, point by "
        "point.",
        partial(plots.plot_correction, correction),
    )
    return Section(
        "correction",
        "The correction",
        sentence,
        (picture,),
        (_rule_table(correction),),
        notes=(*_tail_notes(correction), *_regime_notes(lineage.corrections)),
    )


def _tail_notes(correction: LayeredCorrection) -> tuple[str, ...]:
    scale = correction.scale
    if scale.anchor_usable:
        return (
            f"Above {percent(scale.max_recorded_actual)}, the actual coverage at nominal "
            f"{scale.max_recorded_nominal:.2%}, the layered rule stretches the interval there by a Gaussian "
            "scale family; up to it, it is R(p).",
        )
    return (f"The layered rule uses R(p) alone, in the tail too: {scale.anchor_reason}.",)


def _regime_notes(corrections: Corrections) -> tuple[str, ...]:
    found = corrections.by_regime
    if found is None:
        return ()
    return (
        "The correction by regime moves and scales each interval by what the posterior shows. It was learnt "
        f"on {found.n_learnt} of the train fits; the other {found.cutoffs.n_fits} guarantee its average "
        f"coverage over experiments like them, up to {percent(found.cutoffs.guaranteed_level)}. Averages are "
        "left to the layered rule.",
    )


def _rule_table(correction: LayeredCorrection) -> Table:
    curve = correction.curve
    rules = [correction.rule(level) for level in LEVELS]
    frame = pd.DataFrame(
        {
            "wanted": list(LEVELS),
            "nominal": [rule.nominal for rule in rules],
            "stretch": [rule.stretch for rule in rules],
            "rule": [rule.regime.partition(";")[0] for rule in rules],
            "actual_of_raw": [curve.actual(level) for level in LEVELS],
            "band_lower": curve.band_lower if len(curve.band_lower) == len(LEVELS) else None,
            "band_upper": curve.band_upper if len(curve.band_upper) == len(LEVELS) else None,
        }
    )
    columns = (
        Column("wanted", "wanted coverage", "percent"),
        Column("nominal", "nominal interval", "percent"),
        Column("stretch", "stretched by"),
        Column("rule", "rule", "code"),
        Column("actual_of_raw", "R(p) there", "percent"),
        Column("band_lower", "band from", "percent"),
        Column("band_upper", "band to", "percent"),
    )
    return Table.of("correction", "What the layered rule does at each level", columns, frame)


def ranks_section(lineage: Lineage) -> Section:
    """Return the section on ranks: one independent value a fit, train and test fits together."""
    fits = pd.concat([lineage.train.converged, lineage.test.converged])
    found = {name: _pit(fits, name, lineage.n_draws) for name in _ranked(fits)}
    judged = {name: uniformity(pit) for name, pit in found.items() if len(pit) >= MIN_VALUES}
    if not judged:
        few = f"{len(fits)} converged fits are too few for a picture of ranks."
        return Section("ranks", "Ranks", few)
    astray = [name for name, one in judged.items() if not one.inside]
    pictures = tuple(_rank_picture(name, found[name], judged[name]) for name in list(judged)[:MOST_PANELS])
    return Section("ranks", "Ranks", _rank_sentence(judged, astray), pictures, (_rank_table(found, judged),))


def _ranked(fits: pd.DataFrame) -> list[str]:
    """The ranks to look at: average effects, one point's effect, and parameters where their truth is known.

    The points of a fit are alike, and its other points share their data: one is enough.
    """
    names = [str(name) for name in fits.columns if str(name).startswith("ranks.")]
    return [name for name in names if not name.startswith("ranks.cate_") or name == "ranks.cate_0"]


def _pit(fits: pd.DataFrame, name: str, n_draws: int) -> FloatArray:
    return pit_of_ranks(fits[name].dropna().to_numpy(), n_draws)


def rank_label(name: str) -> str:
    """Return what the rank of a column of aggregate.csv is of, in words."""
    short = name.removeprefix("ranks.")
    if short.startswith("ate_"):
        return f"average effect, arm {short.removeprefix('ate_')}"
    return "effect at one point" if short == "cate_0" else short.replace("_", " ")


def _rank_sentence(judged: dict[str, Uniformity], astray: list[str]) -> str:
    if not astray:
        return (
            "Where posteriors are exact, the truth is equally likely to have any rank among the draws; "
            f"nothing in these {'ranks' if len(judged) > 1 else 'fits'} speaks against it."
        )
    names = ", ".join(rank_label(name) for name in astray)
    return (
        f"The ranks of the truth among the draws are not uniform: {names}. The model's posteriors are off "
        "there, before any correction."
    )


def _rank_picture(name: str, pit: FloatArray, found: Uniformity) -> Picture:
    label = rank_label(name)
    inside = "stays inside" if found.inside else "leaves"
    return Picture(
        f"ranks-{name.removeprefix('ranks.').replace('_', '-').replace('.', '-')}",
        f"Ranks: {label}",
        f"The ECDF of the scaled ranks of the {label}, less the uniform one, {inside} the simultaneous 95% "
        f"band; its largest deviation is {number(found.largest)}.",
        "One value a fit, since the points of a fit share its data; raw draws of train and test fits. "
        "Uniform ranks stay inside the whole band 95 times in 100. A hump means too many small ranks: "
        "effects overestimated.",
        partial(plots.plot_pit, pit, label=f"scaled rank (PIT): {label}"),
    )


def _rank_table(found: dict[str, FloatArray], judged: dict[str, Uniformity]) -> Table:
    rows = [(rank_label(name), len(found[name]), one.largest, one.inside) for name, one in judged.items()]
    columns = (
        Column("rank", "rank of", "text"),
        Column("n_fits", "fits", "count"),
        Column("largest_deviation", "largest deviation", "signed"),
        Column("inside_band", "inside the 95% band", "flag"),
    )
    return Table("ranks", "Ranks against the uniform, each with a band of its own", columns, tuple(rows))

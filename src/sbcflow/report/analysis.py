"""The report of an analysis: effects with raw and calibrated intervals, segments ranked, the regime."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd

from sbcflow import plots
from sbcflow.analysis.changes import INTERVAL_LEVELS, SHOWN_LEVEL, Widths, kept_raw, on_averages, on_visitors
from sbcflow.calibration.corrections import LAYERED
from sbcflow.calibration.regime import LABELS, TOLERANCES, Observed, Regime
from sbcflow.data import EVERYBODY
from sbcflow.errors import ArtifactError
from sbcflow.levels import level_suffix
from sbcflow.manifest import check_files
from sbcflow.plots.effects import ranked
from sbcflow.report.fits import commit_of
from sbcflow.report.runs import Run
from sbcflow.report.value import Column, Picture, Report, Section, Step, Table, Tile, number, signed

EFFECTS = "effects.csv"
# Names from data, to be read as they are: an arm may be called n/a, or 01.
NAMES = ("arm", "segment", "segment_range")
MOST_NAMED = 3
INTERVAL_COLUMNS = tuple(
    f"{kind}_{end}_{level_suffix(level)}"
    for level in INTERVAL_LEVELS
    for kind in ("raw", "calibrated")
    for end in ("lower", "upper")
)
COLUMNS = (
    Column("segment", "segment", "text"),
    Column("segment_range", "range", "text"),
    Column("visitors", "visitors", "count"),
    Column("ate", "effect", "signed"),
    Column("sd", "sd"),
    Column("raw_lower_90", "raw 90% from", "signed"),
    Column("raw_upper_90", "raw 90% to", "signed"),
    Column("calibrated_lower_90", "calibrated 90% from", "signed"),
    Column("calibrated_upper_90", "calibrated 90% to", "signed"),
    Column("diff_in_means", "plain difference", "signed"),
    Column("diff_in_means_se", "standard error"),
)


def analysis_report(run: Run) -> Report:
    """Return the report of an analysis from its folder alone.

    Raises:
        ArtifactError: effects.csv is missing, altered, or not what an analysis writes.
    """
    check_files(run.folder, EFFECTS)
    path, text = run.folder / EFFECTS, dict.fromkeys(NAMES, str)
    effects = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])
    needed = [column.key for column in COLUMNS if column.key != "visitors"] + list(INTERVAL_COLUMNS)
    missing = [name for name in dict.fromkeys(needed) if name not in effects]
    if missing:
        raise ArtifactError(f"{run.folder / EFFECTS}: is missing the columns {', '.join(missing)}")
    effects = effects.assign(visitors=effects["n_control"] + effects["n_treatment"])
    overall = effects[effects["segment"] == EVERYBODY]
    is_calibrated = bool(overall["calibrated_lower_90"].notna().all())
    return Report(
        kind="Analysis of an experiment",
        run=run.name,
        tone="plain",
        verdict=_verdict(overall),
        reason=_certainty(overall, is_calibrated),
        meaning=_meaning(run, effects, is_calibrated),
        limits=_limits(),
        tiles=_tiles(run, overall),
        sections=(*_effect_sections(effects, is_calibrated), _regime_section(run), _origin_section(run)),
        warnings=_warnings(run),
        footer=f"{run.id}, commit {commit_of(run.manifest)}, sbcflow "
        f"{run.manifest['env'].get('sbcflow', '')}",
    )


def _span(row: pd.Series, is_calibrated: bool) -> tuple[float, float]:
    kind = "calibrated" if is_calibrated else "raw"
    return float(row[f"{kind}_lower_90"]), float(row[f"{kind}_upper_90"])


def _verdict(overall: pd.DataFrame) -> str:
    largest = overall.sort_values("ate", ascending=False, kind="stable").head(MOST_NAMED)
    told = ", ".join(f"{row['arm']} {signed(row['ate'])}" for _, row in largest.iterrows())
    more = f", and {len(overall) - MOST_NAMED} more treatments" if len(overall) > MOST_NAMED else ""
    return f"Effect on revenue per visitor: {told}{more}."


def _certainty(overall: pd.DataFrame, is_calibrated: bool) -> str:
    spans = {str(row["arm"]): _span(row, is_calibrated) for _, row in overall.iterrows()}
    told = "; ".join(f"{arm} {signed(low)} to {signed(high)}" for arm, (low, high) in spans.items())
    return f"90% intervals, {_kind(overall, is_calibrated)}: {told}. {_signs(spans)}"


def _kind(overall: pd.DataFrame, is_calibrated: bool) -> str:
    """Which intervals are told: calibrated, or raw, for want of a correction or as it would narrow them."""
    kept = overall["arm"][kept_raw(overall, SHOWN_LEVEL)].tolist()
    if not is_calibrated:
        return "raw"
    if len(kept) == len(overall):
        return "raw, as the correction would narrow them"
    return (
        f"calibrated (raw for {', '.join(kept)}, as the correction would narrow it)" if kept else "calibrated"
    )


def _signs(spans: dict[str, tuple[float, float]]) -> str:
    """Whether the intervals leave the sign of an effect open."""
    open_ones = [arm for arm, (low, high) in spans.items() if low <= 0 <= high]
    if not open_ones:
        return "None of them holds 0." if len(spans) > 1 else "It does not hold 0."
    if len(open_ones) == len(spans):
        return "All hold 0: every sign is open." if len(spans) > 1 else "It holds 0: the sign is open."
    return f"Those of {', '.join(open_ones)} hold 0: there the sign is open."


def _meaning(run: Run, effects: pd.DataFrame, is_calibrated: bool) -> tuple[str, ...]:
    if not is_calibrated:
        return (
            "No correction was given, so intervals are the model's own and may hold the truth less often "
            "than 90%.",
        )
    widths = run.about.get("mean_width_90")
    return (
        "Raw intervals are the model's own. Calibrated ones are as wide as simulated experiments showed "
        "that they must be to hold the truth as often as they say; on averages they are never narrower than "
        "raw ones.",
        on_averages(effects),
        *([on_visitors(Widths(**widths), _method_of(run))] if widths else ()),
    )


def _method_of(run: Run) -> str:
    """How intervals of single visitors were corrected; layered in analyses from before there was a choice."""
    method: str = run.manifest["params"]["arguments"].get("method", LAYERED)
    return method


def _limits() -> tuple[str, ...]:
    return (
        "Segments are looked at one by one. Among twenty 90% intervals two miss on average, and the "
        "largest effect of many is likely to be overestimated.",
        "An effect that differs between segments need not be caused by what tells them apart.",
        "If the effect is far from the plain difference in means, more than a standard error or two, ask "
        "why.",
    )


def _tiles(run: Run, overall: pd.DataFrame) -> tuple[Tile, ...]:
    observed = run.about.get("observed", {})
    arms = run.about.get("arms", [])
    bought = overall[["converted_control", "converted_treatment"]]
    converters = (
        f"{int(bought['converted_control'].iloc[0] + bought['converted_treatment'].sum()):,} converted"
    )
    tiles = [Tile("Visitors", f"{observed.get('n_visitors', 0):,}", ", ".join(map(str, arms)))]
    tiles.append(Tile("Conversion rate", f"{100 * observed.get('conversion_rate', 0):.2f}%", converters))
    for _, row in overall.head(MOST_NAMED).iterrows():
        error = f"plain difference {signed(row['diff_in_means'])}, se {number(row['diff_in_means_se'])}"
        tiles.append(Tile(str(row["arm"]), signed(row["ate"]), error))
    return tuple(tiles)


def _effect_sections(effects: pd.DataFrame, is_calibrated: bool) -> tuple[Section, ...]:
    arms = list(dict.fromkeys(effects["arm"]))
    return tuple(_effect_section(effects, arm, k, is_calibrated) for k, arm in enumerate(arms, start=1))


def _effect_section(effects: pd.DataFrame, arm: str, k: int, is_calibrated: bool) -> Section:
    rows = effects[effects["arm"] == arm]
    everybody, segments = (rows[(rows["segment"] == EVERYBODY) == whole] for whole in (True, False))
    lower, upper = _span(everybody.iloc[0], is_calibrated)
    own = f"{signed(everybody['ate'].iloc[0])} per visitor, {signed(lower)} to {signed(upper)}"
    order = segments.sort_values("ate", ascending=False, kind="stable")
    sentence = f"On everybody {own}."
    if len(order):
        first, last = order.iloc[0], order.iloc[-1]
        sentence += (
            f" Of {len(order)} segments the largest effect is on {first['segment']} "
            f"({signed(first['ate'])}), the smallest on {last['segment']} ({signed(last['ate'])})."
        )
    picture = Picture(
        f"effects-{k}",
        "Everybody, then segments by effect",
        f"Intervals of the effect of {arm} in revenue per visitor, on everybody and on each segment, "
        f"largest first. {sentence}",
        "Dots: posterior means; ticks: plain differences in means, no model.",
        partial(plots.plot_effects, effects, arm),
    )
    ordered = ranked(effects, arm, most=len(effects))
    table = Table.of(f"effects-{k}", f"Effects of {arm} in revenue per visitor", COLUMNS, ordered)
    return Section(f"arm-{k}", f"Effect of {arm}", sentence, (picture,), (table,))


def _regime_section(run: Run) -> Section:
    regime, observed = run.about.get("regime", {}), run.about.get("observed", {})
    title = "Is the correction for experiments like this?"
    if regime.get("ok") is None:
        return Section("regime", title, "No correction was given, so there is nothing to compare with.")
    sentence = (
        "Yes: the experiment lies inside the regime that the correction was fitted on."
        if regime["ok"]
        else f"No: {'; '.join(regime['messages'])}."
    )
    advice = (f"To be sure, {regime['advice']}.",) if regime.get("advice") else ()
    notes = (*advice, *((f"{regime['next_step']}.",) if regime.get("next_step") else ()))
    if "trained" not in regime:
        return Section(
            "regime", title, sentence, notes=(*notes, "Analyse again for a picture: this one is older.")
        )
    trained, seen = Regime.from_json({"regime": regime["trained"]}), Observed(**observed)
    picture = Picture(
        "regime",
        "This experiment against those of the correction",
        f"Four quantities of the experiment against their ranges over the train sweep. {sentence}",
        "Each row in factors from the middle of its own range. Dark: trained on; light: tolerated beyond "
        "it. A cross lies outside both.",
        partial(plots.plot_regime, trained, seen),
    )
    return Section("regime", title, sentence, (picture,), (_regime_table(trained, seen),), notes=notes)


def _regime_table(regime: Regime, observed: Observed) -> Table:
    outside = regime.outside(observed)
    rows = tuple(
        (
            LABELS[name],
            float(getattr(observed, name)),
            getattr(regime, name).low,
            getattr(regime, name).high,
            tolerance,
            name not in outside,
        )
        for name, tolerance in TOLERANCES.items()
    )
    columns = (
        Column("quantity", "quantity", "text"),
        Column("observed", "here"),
        Column("trained_low", "trained from"),
        Column("trained_high", "trained to"),
        Column("tolerated_factor", "tolerated factor beyond"),
        Column("inside", "inside", "flag"),
    )
    return Table("regime", "The experiment and the correction's regime", columns, rows)


def _origin_section(run: Run) -> Section:
    hashes = run.manifest["data_provenance"].get("hashes", {})
    (name, digest) = next(iter(hashes.items()), ("", ""))
    arguments = run.manifest["params"].get("arguments", {})
    links = run.about.get("links", {})
    data = (("file", name), ("sha256", digest), ("features", ", ".join(arguments.get("features", []))))
    roles = tuple(
        (key, str(arguments[key])) for key in ("arm", "control", "converted", "revenue") if key in arguments
    )
    files = links.get("correction", {}).items()
    correction = (
        ("trained on", links.get("trained_on", "none")),
        *((_short(name), sha) for name, sha in files),
    )
    fit = (("estimator", str(run.manifest["params"].get("estimator"))), ("seed", str(arguments.get("seed"))))
    steps = (
        Step("Data", (*data, *roles)),
        Step("Correction", tuple((key, str(value)) for key, value in correction)),
        Step(
            "Analysis",
            (
                ("id", run.id),
                ("commit", commit_of(run.manifest)),
                *fit,
                ("made", run.manifest["timestamp_utc"]),
            ),
        ),
    )
    return Section(
        "origin",
        "Where it comes from",
        "Data, correction and analysis, by their checksums and ids.",
        tables=(_diagnostics(run.about.get("diagnostics", {})),),
        steps=steps,
    )


def _short(file: str) -> str:
    return file.removesuffix("_correction.json").replace("_", " ")


def _diagnostics(found: dict[str, Any]) -> Table:
    columns = (Column("name", "diagnostic", "code"), Column("value", "value", "text"))
    rows = tuple((name, "" if value is None else str(value)) for name, value in found.items())
    return Table("diagnostics", "How the fit went", columns, rows)


def _warnings(run: Run) -> tuple[str, ...]:
    regime = run.about.get("regime", {})
    found = []
    if not run.about.get("diagnostics", {}).get("converged", True):
        found.append("The fit did not converge. Do not rely on these effects.")
    if regime.get("ok") is False:
        found.append(
            "The experiment is unlike those that the correction was fitted on, so its calibrated intervals "
            "are not backed by any test: see below what is unlike, and which sweep to run."
        )
    found += [f"Beyond the train sweep: {message}." for message in regime.get("beyond", [])]
    return tuple(found)

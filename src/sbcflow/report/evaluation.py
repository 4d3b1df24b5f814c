"""The report of an evaluation: whether the correction helps, for whom, and how that is known."""

from __future__ import annotations

from typing import Any, Literal

from sbcflow.calibration.comparison import BETTER, NO_BETTER, WORSE
from sbcflow.calibration.regime import LABELS, TOLERANCES, shown
from sbcflow.plots.style import METHOD_LABELS
from sbcflow.report.cells import cells_section
from sbcflow.report.coverage import (
    SHOWN_LEVEL,
    correction_section,
    coverage_at,
    coverage_section,
    ranks_section,
)
from sbcflow.report.fits import commit_of, fits_section, lineage_section
from sbcflow.report.groups import groups_section, scores_section
from sbcflow.report.runs import Lineage, Run, read_lineage
from sbcflow.report.value import Report, Tile, number, percent

TONES: dict[str, Literal["good", "plain", "bad"]] = {BETTER: "good", NO_BETTER: "plain", WORSE: "bad"}
MEANING = {
    BETTER: "On experiments that the correction had not seen, its intervals hold the truth more nearly as "
    "often as they say than raw ones do. Use calibrated intervals for experiments like these.",
    NO_BETTER: "These test fits do not show that the correction helps, and do not show that it does not. "
    "Report raw and calibrated intervals side by side; more test fits (test_sweep.n_configs) "
    "narrow the answer.",
    WORSE: "On experiments that the correction had not seen, its intervals are further from what they say "
    "than raw ones. Do not use it; look below at who it fails for, and whether train and test "
    "experiments are alike.",
}


def evaluation_report(run: Run) -> Report:
    """Return the report of an evaluation, whose sweeps and corrections lie beside it.

    Raises:
        ArtifactError: a run or a file is missing, or is not what its manifest lists.
    """
    lineage = read_lineage(run)
    verdict = lineage.scorecard.summary["verdict"]
    headline, _, reason = verdict["sentence"].partition(": ")
    return Report(
        kind="Calibration report",
        run=run.name,
        tone=TONES.get(verdict["code"], "plain"),
        verdict=f"{headline.rstrip('.')}.",
        reason=reason[:1].upper() + reason[1:],
        meaning=(MEANING.get(verdict["code"], ""), _at_ninety(lineage)),
        limits=_limits(lineage),
        tiles=_tiles(lineage),
        sections=(
            coverage_section(lineage),
            correction_section(lineage),
            groups_section(lineage),
            *([cells_section(lineage.conditional)] if lineage.conditional else []),
            scores_section(lineage),
            ranks_section(lineage),
            fits_section(lineage),
            lineage_section(lineage),
        ),
        footer=f"{run.id}, commit {commit_of(run.manifest)}, sbcflow "
        f"{run.manifest['env'].get('sbcflow', '')}",
    )


def _at_ninety(lineage: Lineage) -> str:
    card, told = lineage.scorecard, []
    for method in ("raw", card.default_method):
        row = coverage_at(card.table, method)
        span = (
            f" (95% interval over fits {percent(row['coverage_lower'])} to {percent(row['coverage_upper'])})"
        )
        told.append(
            f"{METHOD_LABELS[method]} ones in {percent(row['coverage'])}{span if row['n_fits'] > 1 else ''}"
        )
    return f"{SHOWN_LEVEL:.0%} intervals held the truth: {', '.join(told)} of the test points."


def _limits(lineage: Lineage) -> tuple[str, ...]:
    summary, regime = lineage.scorecard.summary, lineage.corrections.layered.regime
    spans = []
    for name in TOLERANCES:
        ends = dict.fromkeys(
            shown(name, end) for end in (getattr(regime, name).low, getattr(regime, name).high)
        )
        spans.append(f"{LABELS[name]} {' to '.join(ends)}")
    return (
        "Coverage is a share of test points over many simulated experiments. It is no promise for a single "
        "experiment, nor for every kind of one: see who it holds for.",
        f"It holds for experiments like those that were simulated: {'; '.join(spans)}.",
        "The correction is learned from effects on single points. Averages over many visitors err less, so "
        "for those sbcflow analyze only ever widens an interval.",
        f"Intervals are over {summary['n_fits']} test fits. They say how much other simulated experiments "
        "would change the figures, not how far real customers are from simulated ones.",
    )


def _tiles(lineage: Lineage) -> tuple[Tile, ...]:
    card = lineage.scorecard
    summary, method = card.summary, card.default_method
    raw, covered = (percent(coverage_at(card.table, m)["coverage"]) for m in ("raw", method))
    return (
        Tile("90% intervals hold the truth", covered, f"{METHOD_LABELS[method]}; raw {raw}"),
        _tile("Mean coverage error", summary["mean_absolute_coverage_error"], method, points=True),
        _tile("CRPS", summary["crps"], method, points=False),
        Tile(
            "Test fits", f"{summary['n_fits']}", f"{summary['n_train_fits']} train fits; {_excluded(summary)}"
        ),
    )


def _tile(label: str, by_method: dict[str, Any], method: str, *, points: bool) -> Tile:
    scale, unit = (100, " points") if points else (1, "")
    raw, ours = (number(scale * by_method[m]["value"]) for m in ("raw", method))
    return Tile(label, f"{ours}{unit}", f"{METHOD_LABELS[method]}; raw {raw}{unit}")


def _excluded(summary: dict[str, Any]) -> str:
    left = summary["n_excluded"] + summary["n_train_excluded"]
    return f"{left} unconverged, left out" if left else "all converged"

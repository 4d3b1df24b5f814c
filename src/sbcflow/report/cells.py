"""What a report says of cells: where intervals hold, for visitors, average effects and segments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from sbcflow import plots
from sbcflow.calibration.conditional.card import ConditionalCard, worst_cells_of
from sbcflow.calibration.conditional.dimensions import SEGMENT, TARGETS, VISITOR
from sbcflow.calibration.conditional.render import LABELS, READ_AS, worst_words
from sbcflow.plots.style import METHOD_LABELS
from sbcflow.report.coverage import SHOWN_LEVEL
from sbcflow.report.groups import coverage_words
from sbcflow.report.value import Column, Kind, Picture, Section, Table, percent

TARGET_LABELS = dict(zip(TARGETS, ("single visitors", "average effect", "segments"), strict=True))

# What only cells tell: templates, rates and visitors have pictures of whole fits.
PICTURES = ((VISITOR, "estimated_size"), (SEGMENT, "segment_size"))

_SHOWN: tuple[tuple[str, str, Kind], ...] = (
    ("coverage", "", "percent"),
    ("coverage_lower", " from", "percent"),
    ("coverage_upper", " to", "percent"),
    ("width_to_raw", " width to raw", "number"),
    ("score_to_raw", " score to raw", "number"),
)


def cells_section(card: ConditionalCard) -> Section:
    """Return the section on cells: the worst of each method named, and the table of all."""
    return Section(
        "cells",
        "Where it holds",
        _sentence(card.summary),
        tuple(_pictures(card)),
        tables=(*_worst_tables(card.summary), _cells_table(card)),
        notes=(*READ_AS.values(), *_left_out(card.summary)),
    )


def _pictures(card: ConditionalCard) -> Iterator[Picture]:
    for target, dimension in PICTURES:
        if target not in card.summary["left_out"]:
            cells = card.cells(dimension, target)
            if cells["cell"].nunique() > 1:
                yield _picture(cells[cells["level"] == SHOWN_LEVEL], target, dimension)


def _picture(rows: pd.DataFrame, target: str, dimension: str) -> Picture:
    name = f"{TARGET_LABELS[target]} by {LABELS[dimension]}"
    return Picture(
        f"cells-{target}-by-{dimension.replace('_', '-')}",
        f"Coverage of {name}",
        f"Dots of the coverage of {SHOWN_LEVEL:.0%} intervals of {name}: {coverage_words(rows, 'cell')}.",
        "In brackets the number of test fits that have such effects. Lines: 95% intervals over fits.",
        partial(plots.plot_cells, rows, dimension, target, SHOWN_LEVEL),
    )


def _sentence(summary: dict[str, Any]) -> str:
    worst = summary["worst_cells"].get("visitor", {})
    told = [_named(method, worst[method]) for method in summary["methods"] if worst.get(method)]
    if not told:
        return f"No cell has {summary['worst_cells_are']['min_fits']} fits, so none is named the worst."
    return f"{SHOWN_LEVEL:.0%} intervals of single visitors are furthest off in: {'; '.join(told)}."


def _named(method: str, worst: Mapping[str, Any]) -> str:
    ends = f"{percent(worst['lower'])} to {percent(worst['upper'])}"
    return f"{METHOD_LABELS.get(method, method)} {worst_words(worst)}, {percent(worst['coverage'])} ({ends})"


def _left_out(summary: dict[str, Any]) -> list[str]:
    return [f"No {TARGET_LABELS[target]} here: {why}." for target, why in summary["left_out"].items()]


def _worst_tables(summary: dict[str, Any]) -> list[Table]:
    frame = worst_cells_of(summary)
    if frame.empty:
        return []
    columns = (
        Column("target", "effects", "text"),
        Column("method", "method", "text"),
        Column("dimension", "by", "text"),
        Column("cell", "cell", "text"),
        Column("n_fits", "fits", "count"),
        Column("coverage", "coverage", "percent"),
        Column("lower", "from", "percent"),
        Column("upper", "to", "percent"),
        Column("n_off", "cells off", "count"),
        Column("n_cells", "of", "count"),
    )
    caption = (
        f"The worst cell of each: coverage of its {SHOWN_LEVEL:.0%} intervals, with an interval over all "
        "cells at once; and how many cells that interval shows to be off"
    )
    return [Table.of("worst-cells", caption, columns, frame)]


def _cells_table(card: ConditionalCard) -> Table:
    at = card.table[(card.table["level"] == SHOWN_LEVEL) & (card.table["dimension"] != "all")]
    keys = ["target", "dimension", "cell", "n_fits", "n_points"]
    frame = at[keys].drop_duplicates().reset_index(drop=True)
    columns = [
        Column("target", "effects", "text"),
        Column("dimension", "by", "text"),
        Column("cell", "cell", "text"),
        Column("n_fits", "fits", "count"),
        Column("n_points", "effects in it", "count"),
    ]
    for method in card.summary["methods"]:
        rows = frame.merge(at[at["method"] == method], on=keys, how="left")
        for key, label, kind in _SHOWN:
            if method == card.summary["methods"][0] and key.endswith("_to_raw"):
                continue
            frame[f"{key}_{method}"] = rows[key].to_numpy(dtype=np.float64)
            columns.append(Column(f"{key}_{method}", f"{METHOD_LABELS.get(method, method)}{label}", kind))
    frame["dimension"] = frame["dimension"].map(LABELS)
    frame["target"] = frame["target"].map(TARGET_LABELS)
    return Table.of("cells", f"{SHOWN_LEVEL:.0%} intervals cell by cell", tuple(columns), frame)

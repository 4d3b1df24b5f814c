"""The conditional scorecard as files hold it: its table, its summary, and both read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd

from sbcflow.calibration.bootstrap import CONFIDENCE
from sbcflow.calibration.conditional.cells import COLUMNS, cells_table
from sbcflow.calibration.conditional.collect import SHOWN_LEVELS, Collector
from sbcflow.calibration.conditional.dimensions import ATE, JUDGED, SEGMENT, TARGETS
from sbcflow.calibration.conditional.worst import MIN_FITS_OF_CELL, WorstCell, worst_cell
from sbcflow.errors import ArtifactError
from sbcflow.files import read_json
from sbcflow.params import EvaluationSettings
from sbcflow.scoring import SCORED_LEVEL

TABLE_FILE = "conditional.csv"
SUMMARY_FILE = "conditional.json"
SCHEMA_VERSION = 1
SUMMARY_KEYS = (
    "schema_version",
    "methods",
    "levels",
    "left_out",
    "worst_cells",
    "worst_cells_are",
    "bootstrap",
)


@dataclass(frozen=True)
class ConditionalCard:
    """``table`` is conditional.csv (columns ``cells.COLUMNS``), ``summary`` conditional.json."""

    table: pd.DataFrame
    summary: dict[str, Any]

    @classmethod
    def load(cls, directory: Path | str) -> ConditionalCard:
        """Read a conditional scorecard from the folder of an evaluation.

        Raises:
            ArtifactError: a file is missing, damaged, or lacks what it must have; one line that names it.
        """
        folder = Path(directory)
        table, summary = _read_table(folder / TABLE_FILE), read_json(folder / SUMMARY_FILE)
        missing = [key for key in SUMMARY_KEYS if not isinstance(summary, dict) or key not in summary]
        if missing:
            raise ArtifactError(f"{folder / SUMMARY_FILE}: is missing {', '.join(missing)}")
        if summary["schema_version"] != SCHEMA_VERSION:
            raise ArtifactError(
                f"{folder / SUMMARY_FILE}: schema_version must be {SCHEMA_VERSION}, "
                f"got {summary['schema_version']}"
            )
        return cls(table, summary)

    @staticmethod
    def is_in(directory: Path | str) -> bool:
        """Return whether the folder of an evaluation has one; those of an older sbcflow have none."""
        return any((Path(directory) / name).exists() for name in (TABLE_FILE, SUMMARY_FILE))

    def cells(self, dimension: str, target: str) -> pd.DataFrame:
        """Return the rows of a target by a dimension.

        Raises:
            ArtifactError: there is none; the line says why and what there is.
        """
        of_target = self.table[self.table["target"] == target]
        if of_target.empty:
            raise ArtifactError(f"target {target}: {self.summary['left_out'].get(target, 'no such effects')}")
        found = of_target[of_target["dimension"] == dimension]
        if found.empty:
            there = ", ".join(name for name in of_target["dimension"].unique() if name != "all")
            raise ArtifactError(f"target {target}: has no cells by {dimension}; must be one of {there}")
        return found


def conditional_card(collected: Collector, settings: EvaluationSettings) -> ConditionalCard:
    """Return the conditional scorecard of what was collected; equal inputs give equal cards."""
    n_bootstrap, seed = settings.n_bootstrap, settings.seed
    left_out = _left_out(collected)
    parts = {cell: of for cell, of in collected.parts.items() if cell.target not in left_out}
    worst = {
        target: {
            method: found.to_json() if (found := worst_cell(parts, target, m, n_bootstrap, seed)) else None
            for m, method in enumerate(collected.methods)
        }
        for target in TARGETS
        if target not in left_out
    }
    summary = {
        "schema_version": SCHEMA_VERSION,
        "methods": list(collected.methods),
        "levels": list(SHOWN_LEVELS),
        "left_out": left_out,
        "worst_cells": worst,
        "worst_cells_are": {"level": SCORED_LEVEL, "dimensions": list(JUDGED), "min_fits": MIN_FITS_OF_CELL},
        "bootstrap": {"n_bootstrap": n_bootstrap, "seed": seed, "confidence": CONFIDENCE},
    }
    return ConditionalCard(cells_table(parts, collected.methods, n_bootstrap, seed), summary)


def worst_cells_of(summary: Mapping[str, Any]) -> pd.DataFrame:
    """Return the worst cells of conditional.json as a frame: a row a target and method that has one."""
    found = [
        {"method": method, **summary["worst_cells"][target][method]}
        for target in TARGETS
        for method in summary["methods"]
        if summary["worst_cells"].get(target, {}).get(method) is not None
    ]
    return pd.DataFrame(found, columns=["method", *(field.name for field in fields(WorstCell))])


def _left_out(collected: Collector) -> dict[str, str]:
    """Why targets are left out, by target; some fits alone would be another set than the scorecard's."""
    without = collected.n_without_averages
    if without:
        why = (
            f"{without} of {collected.n_fits} test fits kept no draws of their averages, being of an older "
            "sbcflow: remove their folders and run the test sweep again"
        )
        return dict.fromkeys((ATE, SEGMENT), why)
    if any(cell.target == SEGMENT for cell in collected.parts):
        return {}
    return {SEGMENT: "no fit has a segment"}


def _read_table(path: Path) -> pd.DataFrame:
    try:
        # Names of cells are text, also where they are numbers.
        table = pd.read_csv(path, dtype={"cell": str})
    except FileNotFoundError:
        raise ArtifactError(
            f"{path}: no such file; evaluations of an older sbcflow have none, run evaluate_layered again"
        ) from None
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be read as a table: {' '.join(str(error).split())}") from None
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise ArtifactError(f"{path}: is missing the columns {', '.join(missing)}")
    return table

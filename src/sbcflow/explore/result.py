"""What came of each combination, as values and as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

SHOWN_METRICS = ("coverage_90", "crps")
HEADING = ("experiment", "values", "state", *SHOWN_METRICS)


class Outcome(StrEnum):
    """Whether the sweep of a combination ran now and was saved, was there already, or failed."""

    SAVED = "saved"
    KEPT = "kept"
    FAILED = "failed"


@dataclass(frozen=True)
class Explored:
    """One combination after the exploration.

    Attributes:
        name, sha: the experiment, and the commit that holds it.
        values: those that were set, by dotted key.
        outcome: what came of it; failed: why it failed, or None.
        metrics: of the sweep, by name; none where it failed.
        run_dir: the sweep's folder. log: what Snakemake and its jobs said.
        n_fits, n_shared: the fits of the sweep, and how many of them were taken over from other sweeps now.
        seconds: how long it took now.
    """

    name: str
    sha: str
    values: Mapping[str, Any]
    outcome: Outcome
    failed: str | None
    metrics: Mapping[str, float]
    run_dir: Path
    log: Path
    n_fits: int
    n_shared: int
    seconds: float

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        words = {"outcome": str(self.outcome), "run_dir": str(self.run_dir), "log": str(self.log)}
        return {**content, **words, "values": dict(self.values), "metrics": dict(self.metrics)}


def render(results: Sequence[Explored]) -> str:
    """Return a table of the combinations, and why those that failed did."""
    lines = _aligned([HEADING, *(_row(result) for result in results)])
    for result in results:
        if result.failed is not None:
            lines.append(f"{result.name} failed: {result.failed} (log: {result.log})")
    return "\n".join(lines) + "\n"


def _row(result: Explored) -> tuple[str, ...]:
    values = ", ".join(f"{key}={value}" for key, value in result.values.items())
    return (result.name, values, str(result.outcome), *(_shown(result, name) for name in SHOWN_METRICS))


def _shown(result: Explored, metric: str) -> str:
    return f"{result.metrics[metric]:.4g}" if metric in result.metrics else "-"


def _aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    table = list(rows)
    widths = [max(len(row[i]) for row in table) for i in range(len(HEADING))]
    return ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in table]

"""How far a sweep is, from its files alone: a line for each finished fit."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from sbcflow.sweep.layout import summary_path
from sbcflow.sweep.plan import PlannedConfig

WINDOW = 12
BAR_WIDTH = 20
# A gap this many times a fit's own seconds, and start-up on top, was a pause between two runs.
PAUSE_FACTOR = 3.0
START_UP_SECONDS = 30.0


def progress_line(
    run_id: str, plan: Sequence[PlannedConfig], config_id: str, *, among: str = "", bar: bool = False
) -> str:
    """Return one line on a fit that has just ended, on how many of ``plan`` are done, and on the time left.

    ``among`` says which fits those are, where not all of a sweep. With ``bar``, for a terminal, the share
    that is done is drawn too.
    """
    summary = _read(summary_path(run_id, config_id))
    planned = [summary_path(run_id, config.config_id) for config in plan]
    finished = sorted(path.stat().st_mtime for path in planned if path.exists())
    seconds = _number(summary, "timings", "wall_seconds")
    left = seconds_left(finished, len(planned) - len(finished), seconds)
    drawn = _bar(len(finished), len(planned)) if bar else ""
    return (
        f"{run_id} {config_id}: {seconds:.1f} s{_khat(summary)}, "
        f"90% covers {_number(summary, 'metrics', 'coverage_90'):.3f}; "
        f"{drawn}{len(finished)} of {len(planned)} fits done{among}{_left(left)}"
    )


def seconds_left(finished: Sequence[float], n_left: int, fit_seconds: float) -> float | None:
    """Return the seconds that ``n_left`` fits will take, or None where too few have ended to tell.

    ``finished`` holds the times, in order, at which fits ended; the mean gap between the last of them
    already accounts for the number of workers. Pauses between two runs are left out.
    """
    recent = finished[-WINDOW:]
    longest = PAUSE_FACTOR * fit_seconds + START_UP_SECONDS
    gaps = [later - sooner for sooner, later in itertools.pairwise(recent)]
    usual = [gap for gap in gaps if gap <= longest]
    return n_left * sum(usual) / len(usual) if usual else None


def _bar(done: int, total: int) -> str:
    filled = BAR_WIDTH * done // total
    return f"{'█' * filled}{'░' * (BAR_WIDTH - filled)} "


def _khat(summary: Mapping[str, Any]) -> str:
    """The k-hat of a fit, where there is one: NUTS has none, nor need an estimator of the user's own."""
    khat = _number(summary, "diagnostics", "khat")
    return "" if math.isnan(khat) else f", k-hat {khat:.2f}"


def _left(seconds: float | None) -> str:
    return "" if not seconds else f", about {timedelta(seconds=round(seconds))} left"


def _read(path: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


def _number(summary: Mapping[str, Any], section: str, name: str) -> float:
    """A figure of a summary; nan where the estimator has none."""
    value = summary.get(section, {}).get(name)
    return float("nan") if value is None else float(value)

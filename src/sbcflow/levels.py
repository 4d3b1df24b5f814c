"""The nominal coverage levels of a sweep, and the column names made from them (contract: DESIGN, Words)."""

from __future__ import annotations

LEVELS: tuple[float, ...] = (
    0.05,
    0.1,
    0.2,
    0.5,
    0.8,
    0.9,
    0.95,
    0.975,
    0.99,
    0.995,
    0.999,
    0.9995,
)


def level_suffix(level: float) -> str:
    """Return the column suffix of a level: the percentage, dot dropped (0.9 -> 90, 0.975 -> 975)."""
    return f"{100 * level:.6g}".replace(".", "")


def coverage_metric(level: float) -> str:
    """Return the name of the coverage metric at ``level``, as it stands in summaries and dvclive."""
    return f"coverage_{level_suffix(level)}"


def coverage_column(level: float) -> str:
    """Return the name of the coverage column at ``level`` in aggregate.csv."""
    return f"metrics.{coverage_metric(level)}"

"""How an experiment looks in a notebook: a small table, without scripts or styles of its own."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape


def card(
    name: str, state: str, failed: str | None, params: Mapping[str, object], metrics: Mapping[str, float]
) -> str:
    """Return the HTML of an experiment: name and state, what was set, the last value of each metric."""
    note = "" if failed is None else f", failed: {escape(failed)}"
    return (
        f"<table><caption>Experiment <b>{escape(name)}</b>: {escape(state)}{note}</caption>"
        f"{_rows('params', params)}{_rows('metrics', metrics)}</table>"
    )


def _rows(group: str, values: Mapping[str, object]) -> str:
    return "".join(
        f"<tr><th>{group}.{escape(key)}</th><td>{escape(_text(value))}</td></tr>"
        for key, value in values.items()
    )


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)

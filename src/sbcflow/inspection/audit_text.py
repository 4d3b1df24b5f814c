"""An audit as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def render_audit(found: Mapping[str, Any]) -> str:
    """Return the lines on an audit, given as its JSON values."""
    lines = [
        f"{found['run_id']}: {found['n_fits']} fits by laplace and again by nuts, 95% intervals over fits",
        f"mean absolute coverage error by laplace: {_words(found['approximate'])}",
        f"mean absolute coverage error by nuts:    {_words(found['reference'])}",
        f"share of it that is the approximation's: {_words(found['share'])}",
    ]
    if found["unconverged"]:
        lines.append(f"note: {found['unconverged']} more did not converge by both, and are left out")
    return "\n".join(lines) + "\n"


def _words(estimate: Mapping[str, float | None]) -> str:
    value, lower, upper = (estimate[name] for name in ("value", "lower", "upper"))
    if value is None:
        return "unknown"
    return f"{value:.4f}" if lower is None or upper is None else f"{value:.4f} ({lower:.4f} to {upper:.4f})"

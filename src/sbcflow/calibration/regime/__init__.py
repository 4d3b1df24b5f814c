"""Corrections by regime: what an experiment shows of itself, and the intervals that follow from it."""

from sbcflow.calibration.regime.hull import (
    COLUMNS,
    LABELS,
    TOLERANCES,
    Observed,
    Range,
    Regime,
    regime_of,
    shown,
)

__all__ = ["COLUMNS", "LABELS", "TOLERANCES", "Observed", "Range", "Regime", "regime_of", "shown"]

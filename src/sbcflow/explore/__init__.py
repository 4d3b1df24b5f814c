"""Sweeps over combinations of run values, each saved as an experiment.

from sbcflow.explore import explore

explore({"model.severity.shift_scale": [0.25, 0.5]})
"""

from __future__ import annotations

from sbcflow.explore.result import Explored, Outcome, render
from sbcflow.explore.run import explore

__all__ = ["Explored", "Outcome", "explore", "render"]

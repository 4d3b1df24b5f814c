"""Pictures of calibration: each function takes plain tables or values and returns a matplotlib figure.

``from sbcflow import plots`` and then ``plots.plot_coverage(table)``: in a notebook the figure shows
itself. Nothing is drawn through pyplot, so nothing global changes; equal inputs give equal SVG bytes.
"""

from __future__ import annotations

from sbcflow.plots.cells import plot_cells
from sbcflow.plots.correction import plot_correction
from sbcflow.plots.coverage import plot_coverage, plot_coverage_error
from sbcflow.plots.effects import plot_effects
from sbcflow.plots.fits import plot_times
from sbcflow.plots.groups import plot_against, plot_groups
from sbcflow.plots.regime import plot_regime
from sbcflow.plots.scores import plot_scores
from sbcflow.plots.style import png_bytes, svg_bytes
from sbcflow.plots.uniformity import plot_pit, plot_ranks

__all__ = [
    "plot_against",
    "plot_cells",
    "plot_correction",
    "plot_coverage",
    "plot_coverage_error",
    "plot_effects",
    "plot_groups",
    "plot_pit",
    "plot_ranks",
    "plot_regime",
    "plot_scores",
    "plot_times",
    "png_bytes",
    "svg_bytes",
]

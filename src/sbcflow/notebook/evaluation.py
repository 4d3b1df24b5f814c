"""An evaluation in a notebook: the scorecard of a correction, its verdict, and pictures of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from sbcflow.calibration.conditional.card import SUMMARY_FILE as CONDITIONAL_SUMMARY
from sbcflow.calibration.conditional.card import TABLE_FILE as CONDITIONAL_TABLE
from sbcflow.calibration.conditional.card import ConditionalCard, worst_cells_of
from sbcflow.calibration.scorecard import SUMMARY_FILE, TABLE_FILE, Scorecard, render
from sbcflow.notebook.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Run):
    """A run that proved a correction: ``scorecard`` is what came out."""

    scorecard: Scorecard

    @classmethod
    def of(cls, run: Run) -> Evaluation:
        """Read the scorecard of an evaluation.

        Raises:
            ArtifactError: one of its files is missing, damaged or altered.
        """
        run.file(TABLE_FILE, SUMMARY_FILE)
        return cls(run.path, run.manifest, Scorecard.load(run.path))

    @property
    def table(self) -> pd.DataFrame:
        """scorecard.csv: a row for each group of fits, level and method."""
        return self.scorecard.table

    @property
    def conditional(self) -> pd.DataFrame:
        """conditional.csv: a row for each cell of visitors, average effects and segments, level and method.

        Raises:
            ArtifactError: the evaluation is of an older sbcflow and has none, or it is damaged or altered.
        """
        return self._conditional().table

    @property
    def worst_cells(self) -> pd.DataFrame:
        """The worst cell of each target and method with its interval, over all cells of the target at once.

        Raises:
            ArtifactError: as :attr:`conditional`.
        """
        return worst_cells_of(self._conditional().summary)

    def _conditional(self) -> ConditionalCard:
        card = ConditionalCard.load(self.path)
        self.file(CONDITIONAL_TABLE, CONDITIONAL_SUMMARY)
        return card

    @property
    def verdict(self) -> str:
        """Whether the layered correction helped, in a sentence."""
        sentence: str = self.scorecard.summary["verdict"]["sentence"]
        return sentence

    def __str__(self) -> str:
        return render(self.scorecard)

    def plot_coverage(self, axes: Axes | None = None) -> Figure:
        """Draw coverage against nominal level, raw and corrected."""
        from sbcflow import plots

        return plots.plot_coverage(self.table, axes)

    def plot_coverage_error(self, axes: Axes | None = None) -> Figure:
        """Draw coverage less nominal level, level by level."""
        from sbcflow import plots

        return plots.plot_coverage_error(self.table, axes)

    def plot_groups(self, level: float = 0.9, kind: str = "template", axes: Axes | None = None) -> Figure:
        """Draw the coverage of each group of fits: by template, n_visitors or conversion_rate."""
        from sbcflow import plots

        return plots.plot_groups(self.table, level, kind, axes)

    def plot_cells(
        self,
        dimension: str = "estimated_size",
        target: str = "visitor",
        level: float = 0.9,
        axes: Axes | None = None,
    ) -> Figure:
        """Draw the coverage of each cell of a target, visitor, ate or segment, by a dimension.

        Raises:
            ArtifactError: as :attr:`conditional`.
            ValueError: there are no such cells.
        """
        from sbcflow import plots

        return plots.plot_cells(self.conditional, dimension, target, level, axes)

    def plot_scores(self, axes: Axes | None = None) -> Figure:
        """Draw how each score changed from raw."""
        from sbcflow import plots

        return plots.plot_scores(self.scorecard.summary, axes)

    def facts(self) -> Mapping[str, object]:
        return {"test fits": self.scorecard.summary["n_fits"], "verdict": self.verdict}

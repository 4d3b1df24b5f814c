"""The analysis of a real experiment in a notebook: its effects, on everybody, on segments, on visitors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from sbcflow.analysis.write import EFFECTS_FILE, VISITORS_FILE
from sbcflow.errors import ArtifactError
from sbcflow.notebook.run import Run
from sbcflow.notebook.tables import read_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEXT = ("arm", "segment", "segment_range", "regime_messages")
RULES = ("calibration_rule_50", "calibration_rule_80", "calibration_rule_90", "calibration_rule_95")
FLAGS = ("regime_ok", "converged")


@dataclass(frozen=True, eq=False, repr=False)
class Analysis(Run):
    """The analysis of a real experiment: ``effects`` is its effects.csv."""

    effects: pd.DataFrame

    @classmethod
    def of(cls, run: Run) -> Analysis:
        """Read the effects of an analysis.

        Raises:
            ArtifactError: the file is missing, damaged or altered.
        """
        table = read_table(run.file(EFFECTS_FILE), (*TEXT, *RULES), FLAGS)
        return cls(run.path, run.manifest, table)

    @property
    def arms(self) -> tuple[str, ...]:
        """The names of the arms, control first."""
        return tuple(self.about("sbcflow")["arms"])

    def visitors(self) -> pd.DataFrame:
        """Read cate.parquet: the effects on each visitor, a row a visitor in the order of the data.

        Raises:
            ArtifactError: the file is missing, damaged or altered.
        """
        path = self.file(VISITORS_FILE)
        try:
            return pd.read_parquet(path)
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{path}: not a sound parquet file: {' '.join(str(error).split())}") from None

    def plot_effects(self, arm: str | None = None, level: float = 0.9, axes: Axes | None = None) -> Figure:
        """Draw a treatment's effect on everybody and on each segment, raw and calibrated.

        ``arm`` may be left out where there is one treatment.
        """
        from sbcflow import plots

        return plots.plot_effects(self.effects, arm, level, axes)

    def facts(self) -> Mapping[str, object]:
        about = self.about("sbcflow")
        regime = {None: "no correction", True: "inside the correction's", False: "outside the correction's"}
        return {
            "data": ", ".join(self.manifest["data_provenance"]["hashes"]),
            "visitors": f"{about['observed']['n_visitors']:,}",
            "arms": ", ".join(self.arms),
            "regime": regime[about["regime"]["ok"]],
        }

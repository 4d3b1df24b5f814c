"""A correction in a notebook: what it was fitted on, its curve, and the intervals that it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sbcflow.calibration.layered import COVERAGE_FILE, SCALE_FAMILY_FILE, LayeredCorrection
from sbcflow.notebook.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sbcflow.calibration.regime import Observed


@dataclass(frozen=True, eq=False, repr=False)
class Correction(Run):
    """A run that fitted a correction: ``correction`` is what it fitted."""

    correction: LayeredCorrection

    @classmethod
    def of(cls, run: Run) -> Correction:
        """Read both files of a correction.

        Raises:
            ArtifactError: one is missing, damaged or altered.
        """
        run.file(COVERAGE_FILE, SCALE_FAMILY_FILE)
        return cls(run.path, run.manifest, LayeredCorrection.load(run.path))

    def apply(
        self,
        draws: Any,  # noqa: ANN401
        level: float = 0.9,
        method: str = "layered",
        var_names: str | Sequence[str] | None = None,
    ) -> Any:  # noqa: ANN401
        """Return calibrated intervals of draws, in the form that they have: ``LayeredCorrection.apply``."""
        return self.correction.apply(draws, level, method, var_names)

    def plot(self, axes: Axes | None = None) -> Figure:
        """Draw R(p), with its band over fits, and how a 90% interval is read off it."""
        from sbcflow import plots

        return plots.plot_correction(self.correction, axes)

    def plot_regime(self, observed: Observed, axes: Axes | None = None) -> Figure:
        """Draw whether an experiment lies inside what the correction was fitted on."""
        from sbcflow import plots

        return plots.plot_regime(self.correction.regime, observed, axes)

    def facts(self) -> Mapping[str, object]:
        curve, scale = self.correction.curve, self.correction.scale
        return {
            "fits": f"{curve.n_fits} of {self.correction.trained_on}",
            "for 90% ask for": f"{curve.invert(0.9):.1%}",
            "tail": "scale family" if scale.anchor_usable else f"R(p) alone: {scale.anchor_reason}",
        }

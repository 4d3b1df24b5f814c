"""A correction in a notebook: what it was fitted on, its curve, and the intervals that it gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sbcflow.calibration.corrections import Corrections, choose, files_of
from sbcflow.calibration.layered import LayeredCorrection
from sbcflow.calibration.regime.correction import REGIME, RegimeCorrection
from sbcflow.notebook.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sbcflow.calibration.regime import Observed


@dataclass(frozen=True, eq=False, repr=False)
class Correction(Run):
    """A run that fitted corrections: ``corrections`` are all of them."""

    corrections: Corrections

    @classmethod
    def of(cls, run: Run) -> Correction:
        """Read the files of a correction.

        Raises:
            ArtifactError: one is missing, damaged or altered.
        """
        run.file(*files_of(run.path))
        return cls(run.path, run.manifest, Corrections.load(run.path))

    @property
    def correction(self) -> LayeredCorrection:
        """The layered correction."""
        return self.corrections.layered

    @property
    def by_regime(self) -> RegimeCorrection | None:
        """The correction by regime, None where the train sweep could not carry it."""
        return self.corrections.by_regime

    def apply(
        self,
        draws: Any,  # noqa: ANN401
        level: float = 0.9,
        method: str = "layered",
        var_names: str | Sequence[str] | None = None,
    ) -> Any:  # noqa: ANN401
        """Return calibrated intervals of draws, in the form that they have: ``LayeredCorrection.apply``.

        ``method``: layered, r_of_p or raw; or regime, for draws of points of one fit.

        Raises:
            ArtifactError: the method is regime, and this run has no such correction.
        """
        if method != REGIME:
            return self.correction.apply(draws, level, method, var_names)
        found = choose(self.corrections, method, self.path)
        assert isinstance(found, RegimeCorrection)
        return found.apply(draws, level, var_names)

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
            "by regime": "yes" if self.by_regime else "no",
        }

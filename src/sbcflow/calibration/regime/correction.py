"""The correction by regime: intervals moved and scaled by what a posterior shows, then by depth of truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sbcflow.calibration.artifact import parsed
from sbcflow.calibration.fields import mapping, text, whole_number
from sbcflow.calibration.intervals import Ends, Intervals, Reading, check_level, outer_ends, row_blocks
from sbcflow.calibration.regime.conformal import Cutoffs
from sbcflow.calibration.regime.hull import Observed, Regime
from sbcflow.calibration.regime.location_scale import LocationScale
from sbcflow.calibration.regime.observables import OBSERVABLES, heterogeneity_of, moments, observe
from sbcflow.calibration.regime.shape import Shape
from sbcflow.data import FloatArray
from sbcflow.errors import ArtifactError
from sbcflow.scoring import Draws, central_interval, order_draws

REGIME = "regime"
REGIME_FILE = "regime_correction.json"
SCHEMA_VERSION = 1
# The sample of a fit's points that its heterogeneity is taken from: as many as a sweep tests.
N_SAMPLE = 500


@dataclass(frozen=True)
class RegimeCorrection:
    """A correction by regime, fitted on a train sweep.

    ``regression``, ``shape`` and ``cutoffs`` make the intervals; ``hull`` are the ranges that they hold for.
    ``trained_on`` is the experiment_id of the train sweep, ``n_learnt`` how many of its fits regression
    and shape were learnt on, ``n_excluded`` how many did not converge; ``fitted_by`` the estimator's name and
    settings, None where the file does not tell.
    """

    regression: LocationScale
    shape: Shape
    cutoffs: Cutoffs
    hull: Regime
    trained_on: str
    n_learnt: int
    n_excluded: int
    fitted_by: Mapping[str, Any] | None = None

    @property
    def n_fits(self) -> int:
        """How many train fits it was fitted on, those that calibrate among them."""
        return self.n_learnt + self.cutoffs.n_fits

    def see(
        self, ordered: FloatArray, heterogeneity: float | None = None, *, no_narrower: bool = False
    ) -> Reading:
        """Return what gives the ends (n_points,) of the points' intervals at a level.

        ``ordered`` (n_points, n_draws) float64, each point's draws ascending; ``heterogeneity`` that of the
        fit they belong to, that of these points where None. Intervals are nested in the level and follow the
        unit of the draws. ``no_narrower``: no end is nearer than the raw one.

        Raises:
            DataError: the draws of a point do not spread.
        """
        of_fit = heterogeneity_of(ordered) if heterogeneity is None else heterogeneity
        mean, sd = moments(ordered)
        location, scale = self.regression.predict(observe(ordered, of_fit))

        def ends(level: float) -> Ends:
            check_level(level)
            tail = self.cutoffs.cutoff(level) / 2
            lower, upper = (location + scale * self.shape.quantile(p) for p in (tail, 1 - tail))
            found = mean + sd * lower, mean + sd * upper
            return outer_ends(found, central_interval(ordered, level)) if no_narrower else found

        return ends

    def beyond(self, ordered: FloatArray) -> dict[str, float]:
        """Return the share of points beyond what the train sweep's posteriors showed, by observable.

        ``ordered`` (n_points, n_draws) float64, ascending: a sample of one fit's points. Beyond is outside
        the outer knots of an observable's spline, where 4% of the points that were learnt on lie too; an
        observable counts as its knot there.

        Raises:
            DataError: the draws of a point do not spread.
        """
        shares = {}
        observables = observe(ordered, heterogeneity_of(ordered))
        for name, values in zip(OBSERVABLES, observables.T, strict=True):
            knots = self.regression.splines[name].knots
            shares[name] = float(np.mean((values < knots[0]) | (values > knots[-1])))
        return shares

    def intervals(self, draws: Draws, level: float, observed: Observed | None = None) -> Intervals:
        """Return the intervals whose actual coverage is to be ``level``.

        ``draws`` (n_points, n_draws) floating: points of one fit, whose heterogeneity is taken from up to
        ``N_SAMPLE`` of them, evenly spaced. ``observed`` is what the experiment shows: outside the hull
        an end that the correction would move inwards stays where the raw interval has it, and the
        rule says so; None leaves that unasked.

        Raises:
            ParamsError: the level is outside (0, 1).
            DataError: draws of another shape, fewer than 2 a point, not finite, or without spread.
        """
        check_level(level)
        step = max(1, len(draws) // N_SAMPLE) if draws.ndim == 2 else 1
        heterogeneity = heterogeneity_of(order_draws(draws[::step]))
        outside = self.hull.outside(observed) if observed is not None else ()
        ends = []
        for block in row_blocks(draws):
            ends.append(self.see(order_draws(block), heterogeneity, no_narrower=bool(outside))(level))
        lower, upper = (np.concatenate(end) for end in zip(*ends, strict=True))
        return Intervals(lower, upper, self.rule(level, outside))

    def apply(
        self,
        draws: Any,  # noqa: ANN401
        level: float = 0.9,
        var_names: str | Sequence[str] | None = None,
    ) -> Any:  # noqa: ANN401
        """Return the intervals whose actual coverage is to be ``level``, in the form that the draws have.

        Forms and errors are those of ``LayeredCorrection.apply``; each variable must hold points of one fit.
        """
        from sbcflow.calibration.apply import apply

        check_level(level)
        return apply(lambda rows: self.intervals(rows, level), draws, level, var_names)

    def rule(self, level: float, outside: tuple[str, ...] = ()) -> str:
        """Return what was done, in words, for intervals at ``level``."""
        done = REGIME
        if level > self.cutoffs.guaranteed_level:
            done += f", past the {self.cutoffs.guaranteed_level:g} that {self.cutoffs.n_fits} fits guarantee"
        if outside:
            done += f", nowhere narrower than raw: outside the regime in {', '.join(outside)}"
        return done

    def to_files(self) -> dict[str, dict[str, Any]]:
        """Return the JSON object of the correction by file name, for whoever writes the run's folder."""
        told = {} if self.fitted_by is None else {"fitted_by": dict(self.fitted_by)}
        content = {
            "schema_version": SCHEMA_VERSION,
            "method": REGIME,
            "regression": self.regression.to_json(),
            "shape": self.shape.to_json(),
            "cutoffs": self.cutoffs.to_json(),
            "regime": self.hull.to_json(),
            "trained_on": self.trained_on,
            "n_learnt": self.n_learnt,
            "n_excluded": self.n_excluded,
        }
        return {REGIME_FILE: content | told}

    @classmethod
    def load(cls, directory: Path | str) -> RegimeCorrection:
        """Read a correction from a folder that holds its file.

        Raises:
            ArtifactError: the file is missing, is not JSON, or lacks a key; one line that names it.
        """
        return parsed(Path(directory) / REGIME_FILE, cls._from_json)

    @classmethod
    def _from_json(cls, values: Mapping[str, Any]) -> RegimeCorrection:
        version = whole_number(values, "schema_version")
        if version != SCHEMA_VERSION:
            raise ArtifactError(f"schema_version must be {SCHEMA_VERSION}, got {version}")
        return cls(
            regression=LocationScale.from_json(mapping(values, "regression")),
            shape=Shape.from_json(mapping(values, "shape")),
            cutoffs=Cutoffs.from_json(mapping(values, "cutoffs")),
            hull=Regime.from_json(values),
            trained_on=text(values, "trained_on"),
            n_learnt=whole_number(values, "n_learnt"),
            n_excluded=whole_number(values, "n_excluded"),
            fitted_by=mapping(values, "fitted_by") if "fitted_by" in values else None,
        )

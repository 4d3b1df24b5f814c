"""The layered correction: R(p) up to the anchor, the anchor's own half-widths stretched above it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from sbcflow.calibration.artifact import parsed
from sbcflow.calibration.coverage_curve import CoverageCurve
from sbcflow.calibration.fields import mapping, text, whole_number
from sbcflow.calibration.intervals import Intervals, check_level, row_blocks
from sbcflow.calibration.regime import Regime
from sbcflow.calibration.scale_family import ScaleFamily
from sbcflow.data import FloatArray
from sbcflow.errors import ArtifactError, ParamsError
from sbcflow.scoring import Draws, central_interval, order_draws

COVERAGE_FILE = "coverage_correction.json"
SCALE_FAMILY_FILE = "scale_family_correction.json"


@dataclass(frozen=True)
class Rule:
    """How to read an interval off draws: the central one at ``nominal``, its two half-widths about the
    posterior mean times ``stretch``; ``regime`` says where the rule came from."""

    nominal: float
    stretch: float
    regime: str

    def read(self, ordered: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper ends (n_points,) from ``ordered`` draws (n_points, n_draws), ascending."""
        lower, upper = central_interval(ordered, self.nominal)
        if self.stretch == 1.0:
            return lower, upper
        mean = ordered.mean(axis=1)
        return mean - self.stretch * (mean - lower), mean + self.stretch * (upper - mean)


@dataclass(frozen=True)
class LayeredCorrection:
    """A correction fitted on a train sweep: R(p), the scale family, and the regime they hold for.

    ``trained_on`` is the experiment_id of the train sweep; ``n_excluded`` its unconverged fits, left out;
    ``fitted_by`` the estimator's name and settings, None where the files do not tell.
    """

    curve: CoverageCurve
    scale: ScaleFamily
    regime: Regime
    trained_on: str
    n_excluded: int
    fitted_by: Mapping[str, Any] | None = None

    def rule(self, level: float, method: str = "layered") -> Rule:
        """Return the rule for the wanted coverage ``level``, by a method of ``METHODS``.

        Raises:
            ParamsError: the level is outside (0, 1), or the method is unknown.
        """
        check_level(level)
        if method not in RULES:
            raise ParamsError(f"method: must be one of {', '.join(METHODS)}, got {method!r}")
        return RULES[method](self, float(level))

    def intervals(self, draws: Draws, level: float, method: str = "layered") -> Intervals:
        """Return the intervals whose actual coverage is to be ``level``.

        ``draws`` (n_points, n_draws) floating, computed with in float64. At or under the anchor's actual
        coverage: R(p) inverted, and that nominal interval. Above: the anchor's half-widths about the
        posterior mean times Phi^-1((1+level)/2) / Phi^-1((1+anchor actual)/2). Where the anchor is not
        usable: R(p) alone, and ``regime`` says so and why. Contract: pytyche 0.2.1's
        apply_layered_calibration.

        Raises:
            ParamsError: the level is outside (0, 1), or the method is unknown.
            DataError: draws of another shape, fewer than 2 a point, or not finite.
        """
        rule = self.rule(level, method)
        ends = [rule.read(order_draws(block)) for block in row_blocks(draws)]
        lower, upper = (np.concatenate(end) for end in zip(*ends, strict=True))
        return Intervals(lower, upper, rule.regime)

    def apply(
        self,
        draws: Any,  # noqa: ANN401
        level: float = 0.9,
        method: str = "layered",
        var_names: str | Sequence[str] | None = None,
    ) -> Any:  # noqa: ANN401
        """Return the intervals whose actual coverage is to be ``level``, in the form that the draws have.

        - An array (..., n_draws) of numpy, JAX or their like, **the draws in its last axis**:
          ``Intervals`` with ends of shape (...). A transposed array cannot be told from a right one.
        - An xarray DataArray or Dataset whose variables have the dim ``draw``, with ``chain`` or
          without, or the dim ``sample``: the same without those dims, with the other dims and their
          coordinates, and a last dim ``bound`` (lower, upper); ``level`` and ``rule`` are in its attrs.
        - A DataTree or ArviZ's InferenceData: the Dataset of its group ``posterior``. A tree of such
          trees, as ``Sweep.datatree`` gives: a tree with a Dataset for each.
        - A NumPyro ``MCMC`` that was run: a Dataset of its sites, dims beyond the draws ``<site>_dim_0``, ...

        Chains are pooled. ``var_names`` chooses variables, where there are any to choose from.

        Raises:
            ParamsError: the level is outside (0, 1), or the method is unknown.
            DataError: naming the variable: no dim of draws, fewer than 2 draws, not floating point, not
                finite; or a dict, which does not say where its draws are.
        """
        from sbcflow.calibration.apply import apply

        self.rule(level, method)
        return apply(lambda rows: self.intervals(rows, level, method), draws, level, var_names)

    def to_files(self) -> dict[str, dict[str, Any]]:
        """Return the JSON objects of the correction by file name, for whoever writes the run's folder."""
        origin = {"trained_on": self.trained_on, "n_excluded": self.n_excluded}
        told = {} if self.fitted_by is None else {"fitted_by": dict(self.fitted_by)}
        return {
            COVERAGE_FILE: {**self.curve.to_json(), **origin, "regime": self.regime.to_json(), **told},
            SCALE_FAMILY_FILE: {**self.scale.to_json(), **origin},
        }

    @classmethod
    def load(cls, directory: Path | str) -> LayeredCorrection:
        """Read a correction from a folder that holds both its files.

        Raises:
            ArtifactError: a file is missing, is not JSON, lacks a key, is not monotone, or the two files
                come from different sweeps; one line that names the file.
        """
        folder = Path(directory)
        parts = parsed(folder / COVERAGE_FILE, _coverage_part)
        scale, trained_on = parsed(folder / SCALE_FAMILY_FILE, _scale_part)
        if trained_on != parts["trained_on"]:
            raise ArtifactError(
                f"{folder / SCALE_FAMILY_FILE}: trained_on is {trained_on}, but {COVERAGE_FILE} says "
                f"{parts['trained_on']}; both must come from one train sweep"
            )
        return cls(scale=scale, **parts)


def _raw_rule(_: LayeredCorrection, level: float) -> Rule:
    return Rule(level, 1.0, "raw")


def _curve_rule(correction: LayeredCorrection, level: float) -> Rule:
    curve = correction.curve
    regime = "r_of_p"
    if level > curve.ceiling:
        regime += f" at its ceiling: the train sweep reached an actual coverage of {curve.ceiling:.4g}"
    return Rule(curve.invert(level), 1.0, regime)


def _layered_rule(correction: LayeredCorrection, level: float) -> Rule:
    scale, by_curve = correction.scale, _curve_rule(correction, level)
    if not scale.anchor_usable:
        return Rule(by_curve.nominal, 1.0, f"{by_curve.regime}; R(p) alone: {scale.anchor_reason}")
    if level <= scale.max_recorded_actual:
        return by_curve
    return Rule(scale.max_recorded_nominal, scale.stretch(level), "scale_family")


RULES: Mapping[str, Callable[[LayeredCorrection, float], Rule]] = MappingProxyType(
    {"raw": _raw_rule, "r_of_p": _curve_rule, "layered": _layered_rule}
)
METHODS: tuple[str, ...] = tuple(RULES)


def _coverage_part(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "curve": CoverageCurve.from_json(values),
        "regime": Regime.from_json(values),
        "trained_on": text(values, "trained_on"),
        "n_excluded": whole_number(values, "n_excluded"),
        "fitted_by": mapping(values, "fitted_by") if "fitted_by" in values else None,
    }


def _scale_part(values: Mapping[str, Any]) -> tuple[ScaleFamily, str]:
    return ScaleFamily.from_json(values), text(values, "trained_on")

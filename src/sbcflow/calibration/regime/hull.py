"""The training regime: what the experiments of a train sweep were like, and whether another one is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from sbcflow.calibration.fields import increasing, mapping, number_list
from sbcflow.errors import ArtifactError
from sbcflow.params import RATE_LIMITS, SPREAD_LIMITS

# The quantities of a regime: their column in aggregate.csv, and how far beyond the range of the train
# fits, as a factor either way, an experiment may lie. Posterior sd goes as 1/sqrt(n * conversion rate):
# a factor of 1.5 moves it by 22%, less than the spread of the scales within a sweep. A severity spread
# acts on the sd directly, so it gets the same 22%. Arms share the visitors and the hierarchical scales:
# no tolerance.
COLUMNS: Mapping[str, str] = {
    "n_visitors": "n_visitors",
    "conversion_rate": "diagnostics.conversion_rate",
    "n_arms": "diagnostics.n_arms",
    "severity_sd": "diagnostics.severity_sd",
}
TOLERANCES: Mapping[str, float] = {
    "n_visitors": 1.5,
    "conversion_rate": 1.5,
    "n_arms": 1.0,
    "severity_sd": 1.22,
}
LABELS: Mapping[str, str] = {
    "n_visitors": "visitors",
    "conversion_rate": "conversion rate",
    "n_arms": "arms",
    "severity_sd": "severity spread (sd of log revenue)",
}
RANGES: Mapping[str, tuple[str, tuple[float, float]]] = {
    "conversion_rate": ("base_rate", RATE_LIMITS),
    "severity_sd": ("severity_sigma", SPREAD_LIMITS),
}
SPAN = 1.5


@dataclass(frozen=True)
class Observed:
    """An experiment's own quantities, in the meaning of the sweep's diagnostics.

    ``n_visitors``; ``conversion_rate`` in 0..1 over all visitors; ``n_arms``, control included;
    ``severity_sd``, sd of the log revenue of converters.
    """

    n_visitors: int
    conversion_rate: float
    n_arms: int
    severity_sd: float


@dataclass(frozen=True)
class Range:
    """Smallest and largest value over the train fits."""

    low: float
    high: float

    def holds(self, value: float, tolerance: float) -> bool:
        """Return whether ``value`` lies in [low / tolerance, high * tolerance]."""
        return self.low / tolerance <= value <= self.high * tolerance


@dataclass(frozen=True)
class Regime:
    """Ranges of the quantities of :class:`Observed` over the train fits."""

    n_visitors: Range
    conversion_rate: Range
    n_arms: Range
    severity_sd: Range

    def outside(self, observed: Observed) -> tuple[str, ...]:
        """Return the names of the quantities outside the regime, tolerances allowed for.

        A value is inside where it lies in [low / t, high * t], with t of ``TOLERANCES``; NaN is outside.
        """
        return tuple(
            name for name, t in TOLERANCES.items() if not self._range(name).holds(getattr(observed, name), t)
        )

    def check(self, observed: Observed) -> list[str]:
        """Return one plain sentence for each quantity outside the regime; empty where all are inside."""
        return [self._sentence(name, getattr(observed, name)) for name in self.outside(observed)]

    def sweep_to_run(self, observed: Observed) -> str:
        """Return which sweep would cover the experiment, by keys of params.yaml; "" where none is needed."""
        settings = self.settings(observed)
        if not settings:
            return ""
        told = ", ".join(f"{key}: {value}" for key, value in settings.items())
        return f"fit a correction for it: run train and test sweeps with {told}"

    def settings(self, observed: Observed) -> dict[str, Any]:
        """Return what :meth:`sweep_to_run` names, by dotted key; ``scales`` is that of both sweeps."""
        return _settings_for(self.outside(observed), observed)

    def to_json(self) -> dict[str, list[float]]:
        """Return {quantity: [low, high]}."""
        return {name: [self._range(name).low, self._range(name).high] for name in COLUMNS}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Regime:
        """Rebuild a regime from :meth:`to_json`'s values.

        Raises:
            ArtifactError: a quantity is missing, or is no pair of ascending numbers.
        """
        regime = mapping(values, "regime")
        return cls(**{name: _range_from(regime, name) for name in COLUMNS})

    def _range(self, name: str) -> Range:
        found: Range = getattr(self, name)
        return found

    def _sentence(self, name: str, value: float) -> str:
        trained = self._range(name)
        span = f"{shown(name, trained.low)} to {shown(name, trained.high)}"
        if trained.low == trained.high:
            span = shown(name, trained.low)
        allowed = TOLERANCES[name]
        within = f", or a factor of {allowed:g} beyond" if allowed > 1 else ""
        return (
            f"{LABELS[name]}: {shown(name, value)} lies outside what the correction was fitted on "
            f"({span}{within})"
        )


def regime_of(fits: pd.DataFrame) -> Regime:
    """Return the ranges over the rows of an aggregate.csv.

    Raises:
        ArtifactError: a column of ``COLUMNS`` is missing or holds no finite number in some row.
    """
    return Regime(**{name: _range_over(fits, column) for name, column in COLUMNS.items()})


def _range_over(fits: pd.DataFrame, column: str) -> Range:
    if column not in fits:
        raise ArtifactError(f"aggregate.csv: column {column} is missing")
    values = pd.to_numeric(fits[column], errors="coerce")
    if values.isna().any():
        raise ArtifactError(f"aggregate.csv: column {column} must hold numbers in every converged row")
    return Range(float(values.min()), float(values.max()))


def _range_from(values: Mapping[str, Any], name: str) -> Range:
    pair = number_list(values, name)
    if len(pair) != 2 or not increasing(pair):
        raise ArtifactError(f"regime.{name} must be [low, high], got {list(pair)}")
    return Range(*pair)


def _settings_for(outside: tuple[str, ...], observed: Observed) -> dict[str, Any]:
    """The keys of params.yaml to set for a sweep of family v2 about the observed experiment."""
    if not outside:
        return {}
    settings: dict[str, Any] = {
        "scales": [observed.n_visitors],
        "generators.v2.n_arms": observed.n_arms,
    }
    for name, (key, limits) in RANGES.items():
        value = getattr(observed, name)
        if name in outside and value > 0:
            settings[f"generators.v2.{key}"] = [_within(end, limits) for end in (value / SPAN, value * SPAN)]
    return settings


def _within(value: float, limits: tuple[float, float]) -> float | int:
    """A value to two digits, inside the limits of its setting; 3 rather than 3.0."""
    found = float(f"{min(max(value, limits[0]), limits[1]):.2g}")
    return int(found) if found.is_integer() else found


def shown(name: str, value: float) -> str:
    """Return a quantity's value as people write it: a rate in percent, a count with commas."""
    if name == "conversion_rate":
        return f"{100 * value:.3g}%"
    return f"{value:,.0f}" if name in {"n_visitors", "n_arms"} else f"{value:.3g}"

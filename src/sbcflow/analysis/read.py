"""A data file as a checked trial."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sbcflow.analysis.balance import unbalanced
from sbcflow.analysis.columns import Column, read_arms, read_feature, read_outcomes
from sbcflow.analysis.faults import find_fault, identifies, leave_out
from sbcflow.analysis.table import column_names, read_columns, require_columns
from sbcflow.data import Covariates, Feature, Float32Array, Trial
from sbcflow.errors import DataError


@dataclass(frozen=True)
class Roles:
    """Which column is what: the arm and its ``control`` value, conversion, revenue and features.

    ``features`` None takes every other column but those in ``exclude``.
    """

    arm: str
    control: str
    converted: str
    revenue: str
    features: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()

    @property
    def outcomes_and_arm(self) -> tuple[str, str, str]:
        return self.arm, self.converted, self.revenue


@dataclass(frozen=True)
class ReadTrial:
    """A trial, and what the user should know of how it was read."""

    trial: Trial
    notes: tuple[str, ...]


def read_trial(path: Path, roles: Roles) -> ReadTrial:
    """Read a .csv, .csv.gz or .parquet file, a row a visitor, into a trial.

    Features that are the same for everybody are left out. One that differs between arms looks like
    an outcome, and whole numbers that are all distinct like an identifier: these are refused where
    the features were not named, and noted where they were. All faulty features are named at once.

    Raises:
        DataError: naming the file, the columns and what is allowed, for whatever cannot be analysed.
    """
    names = _feature_names(path, roles, column_names(path))
    taken = roles.outcomes_and_arm
    table = read_columns(path, (*taken, *names), text=roles.arm, complete=taken)
    arm, arm_names = read_arms(Column(path, table[roles.arm]), roles.control)
    converted, revenue = read_outcomes(
        Column(path, table[roles.converted]), Column(path, table[roles.revenue])
    )
    columns, named = [Column(path, table[name]) for name in names], roles.features is not None
    faults = {column.name: fault for column in columns if (fault := find_fault(column, named=named))}
    sound = [column for column in columns if column.name not in faults]
    covariates, notes = _covariates([read_feature(column) for column in sound])
    trial = Trial(covariates, arm, converted, revenue, arm_names) if covariates else None
    suspects = _suspects(trial) if trial else {}
    if not named:
        faults |= {name: _refusal(name, finding) for name, finding in suspects.items()}
    _refuse_faults(path, {name: faults[name] for name in names if name in faults})
    if trial is None:
        raise DataError(
            f"{path}: no feature varies; must have at least one column that does, beside the outcomes"
        )
    notes += [
        f"{name} {found}; effects adjusted for an outcome are biased" for name, found in suspects.items()
    ]
    notes += [f"{column.name} looks like an identifier" for column in sound if identifies(column.values)]
    return ReadTrial(trial, tuple(notes))


def _feature_names(path: Path, roles: Roles, available: tuple[str, ...]) -> tuple[str, ...]:
    taken = roles.outcomes_and_arm
    if len(set(taken)) < len(taken):
        raise DataError(f"{path}: arm, converted and revenue must be three columns, got {', '.join(taken)}")
    require_columns(path, (*taken, *roles.exclude), available)
    _check_excluded(path, roles)
    if roles.features is None:
        return tuple(name for name in available if name not in (*taken, *roles.exclude))
    require_columns(path, roles.features, available)
    for name, count in Counter(roles.features).items():
        if count > 1:
            raise DataError(f"{path}: column {name}: named {count} times as a feature; must be named once")
        if name in taken:
            raise DataError(f"{path}: column {name}: is arm, converted or revenue; must not be a feature too")
    return roles.features


def _check_excluded(path: Path, roles: Roles) -> None:
    for name in roles.exclude:
        if name in roles.outcomes_and_arm:
            raise DataError(f"{path}: column {name}: is arm, converted or revenue; must not be excluded")
        if name in (roles.features or ()):
            raise DataError(f"{path}: column {name}: is both a feature and excluded; must be one of them")


def _covariates(found: list[tuple[Feature, Float32Array]]) -> tuple[Covariates | None, list[str]]:
    """Put together the features that vary, None where none does, and note the others."""
    varying = [(feature, values) for feature, values in found if (values != values[0]).any()]
    if not varying:
        return None, []
    kept = {feature.name for feature, _ in varying}
    notes = [
        f"{feature.name} is the same for everybody and was left out"
        for feature, _ in found
        if feature.name not in kept
    ]
    features, values = zip(*varying, strict=True)
    return Covariates(features, np.stack(values, axis=1)), notes


def _suspects(trial: Trial) -> dict[str, str]:
    """The features that look like outcomes, and what was found of each."""
    return {
        name: f"differs between the arms (p = {p:.1g}), as an outcome measured after assignment does"
        for name, p in unbalanced(trial).items()
    }


def _refusal(name: str, finding: str) -> str:
    return f"{finding}; {leave_out(name)}, or name the columns to use with --features"


def _refuse_faults(path: Path, faults: dict[str, str]) -> None:
    """Raise one error, of one line, that names every faulty column."""
    if faults:
        raise DataError(f"{path}: " + "; ".join(f"column {name}: {fault}" for name, fault in faults.items()))

"""A data file as a checked trial."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sbcflow.analysis.balance import unbalanced
from sbcflow.analysis.columns import Column, read_arms, read_feature, read_outcomes
from sbcflow.analysis.table import column_names, read_columns, require_columns
from sbcflow.data import Covariates, Feature, Float32Array, Trial
from sbcflow.errors import DataError


@dataclass(frozen=True)
class Roles:
    """Which column is what: the arm and its ``control`` value, conversion, revenue and features.

    ``features`` None takes every other column.
    """

    arm: str
    control: str
    converted: str
    revenue: str
    features: tuple[str, ...] | None = None

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
    an outcome: it is refused where the features were not named, and noted where they were.

    Raises:
        DataError: naming the file, the column and what is allowed, for whatever cannot be analysed.
    """
    available = column_names(path)
    names = _feature_names(path, roles, available)
    table = read_columns(path, (*roles.outcomes_and_arm, *names), text=roles.arm)
    arm, arm_names = read_arms(Column(path, table[roles.arm]), roles.control)
    converted, revenue = read_outcomes(
        Column(path, table[roles.converted]), Column(path, table[roles.revenue])
    )
    covariates, notes = _covariates(path, [read_feature(Column(path, table[name])) for name in names])
    trial = Trial(covariates, arm, converted, revenue, arm_names)
    notes += _balance_notes(path, trial, named=roles.features is not None)
    return ReadTrial(trial, tuple(notes))


def _feature_names(path: Path, roles: Roles, available: tuple[str, ...]) -> tuple[str, ...]:
    taken = roles.outcomes_and_arm
    if len(set(taken)) < len(taken):
        raise DataError(f"{path}: arm, converted and revenue must be three columns, got {', '.join(taken)}")
    require_columns(path, taken, available)
    if roles.features is None:
        return tuple(name for name in available if name not in taken)
    require_columns(path, roles.features, available)
    for name, count in Counter(roles.features).items():
        if count > 1:
            raise DataError(f"{path}: column {name}: named {count} times as a feature; must be named once")
        if name in taken:
            raise DataError(f"{path}: column {name}: is arm, converted or revenue; must not be a feature too")
    return roles.features


def _covariates(path: Path, found: list[tuple[Feature, Float32Array]]) -> tuple[Covariates, list[str]]:
    """Put together the features that vary, and note the others."""
    varying = [(feature, values) for feature, values in found if (values != values[0]).any()]
    if not varying:
        raise DataError(
            f"{path}: no feature varies; must have at least one column that does, beside the outcomes"
        )
    kept = {feature.name for feature, _ in varying}
    notes = [
        f"{feature.name} is the same for everybody and was left out"
        for feature, _ in found
        if feature.name not in kept
    ]
    features, values = zip(*varying, strict=True)
    return Covariates(features, np.stack(values, axis=1)), notes


def _balance_notes(path: Path, trial: Trial, *, named: bool) -> list[str]:
    notes = []
    for name, p in unbalanced(trial).items():
        finding = f"differs between the arms (p = {p:.1g}), as an outcome measured after assignment does"
        if not named:
            raise DataError(f"{path}: column {name}: {finding}; name the columns to use with --features")
        notes.append(f"{name} {finding}; effects adjusted for an outcome are biased")
    return notes

"""A generator family of the user's own behind the contract: each answer checked, and made twice.

The contract (docs/howto/own-model.md): ``family(settings)`` returns an object with ``draw_knobs(seed,
replicate)``, a mapping of plain scalars, and ``simulate(seed, knobs, n_visitors, n_test)``, a
``data.Simulation``. Both are pure: what is simulated twice from one seed has to be the same, or no result
under a key would mean anything.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from sbcflow.data import Simulation
from sbcflow.errors import OwnCodeError
from sbcflow.own.reference import Reference, load, naming

Knob = float | int | str
KNOBS = "draw_knobs(seed, replicate)"
SIMULATE = "simulate(seed, knobs, n_visitors, n_test)"


@dataclass(frozen=True)
class OwnFamily:
    """The family that ``reference`` gives; its answers are those of ``generators.Family``."""

    reference: Reference
    inner: Any

    @classmethod
    def build(cls, reference: Reference, settings: Mapping[str, Any]) -> OwnFamily:
        """Load the user's function and call it with its settings.

        Raises:
            OwnCodeError: it cannot be loaded or raises, or what it returns lacks a method.
        """
        function = load(reference)
        with naming(reference, f"{reference.name}(settings)"):
            inner = function(settings)
        for method in ("draw_knobs", "simulate"):
            if not callable(getattr(inner, method, None)):
                raise OwnCodeError(
                    f"{reference}: {reference.name}(settings) must return an object with {KNOBS} and "
                    f"{SIMULATE}; a {type(inner).__name__} has no {method}"
                )
        return cls(reference, inner)

    def draw_knobs(self, seed: int, replicate: int) -> dict[str, Knob]:
        """Return the drawn settings of a config: plain scalars by name.

        Raises:
            OwnCodeError: the user's method raises, gives something else, or something else the second time.
        """
        knobs, again = (self._knobs(seed, replicate) for _ in range(2))
        if knobs != again:
            name = next(name for name in {**knobs, **again} if knobs.get(name) != again.get(name))
            self._not_pure(KNOBS, name)
        return knobs

    def simulate(self, seed: int, knobs: Mapping[str, Knob], n_visitors: int, n_test: int) -> Simulation:
        """Simulate a config's trial, twice, and return it.

        Raises:
            OwnCodeError: the user's method raises, or its answer is no sound ``Simulation`` of this size, or
                is another the second time.
        """
        once = fingerprints(self._simulate(seed, knobs, n_visitors, n_test))
        simulation = self._simulate(seed, knobs, n_visitors, n_test)
        for name, digest in fingerprints(simulation).items():
            if once.get(name) != digest:
                self._not_pure(SIMULATE, name)
        return simulation

    def _simulate(self, seed: int, knobs: Mapping[str, Knob], n_visitors: int, n_test: int) -> Simulation:
        with naming(self.reference, SIMULATE):
            simulation = self.inner.simulate(seed, knobs, n_visitors, n_test)
        if not isinstance(simulation, Simulation):
            kind = type(simulation).__name__
            raise OwnCodeError(
                f"{self.reference}: {SIMULATE} must return a sbcflow.data.Simulation, got a {kind}"
            )
        for problem in _problems(simulation, n_visitors, n_test):
            raise OwnCodeError(f"{self.reference}: {SIMULATE}: {problem}")
        return simulation

    def _knobs(self, seed: int, replicate: int) -> dict[str, Knob]:
        with naming(self.reference, KNOBS):
            drawn = dict(self.inner.draw_knobs(seed, replicate))
        knobs = {
            str(name): value.item() if isinstance(value, np.generic) else value
            for name, value in drawn.items()
        }
        for name, value in knobs.items():
            finite = not isinstance(value, float) or math.isfinite(value)
            if isinstance(value, bool) or not isinstance(value, int | float | str) or not finite:
                raise OwnCodeError(
                    f"{self.reference}: {KNOBS}[{name!r}] must be a finite number or text, got {value!r}"
                )
        return knobs

    def _not_pure(self, call: str, name: str) -> NoReturn:
        raise OwnCodeError(
            f"{self.reference}: {call} gave another {name} the second time; all that is random must come "
            "from the seed, as by numpy.random.default_rng(seed)"
        )


def fingerprints(simulation: Simulation) -> dict[str, str]:
    """Return a digest of every array of a simulation, by name."""
    trial, points = simulation.trial, simulation.test_points
    arrays = {
        "trial.covariates": trial.covariates.values,
        "trial.arm": trial.arm,
        "trial.converted": trial.converted,
        "trial.revenue": trial.revenue,
        "test_points.covariates": points.covariates.values,
        "test_points.arm": points.arm,
        "test_cate": simulation.test_cate,
        "visitor_cate": simulation.visitor_cate,
        **{f"parameters[{name!r}]": np.asarray(value) for name, value in simulation.parameters.items()},
    }
    return {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in arrays.items()}


def _problems(simulation: Simulation, n_visitors: int, n_test: int) -> list[str]:
    """What is wrong with a simulation, in the order in which one thing explains the next."""
    trial, points = simulation.trial, simulation.test_points
    n_arms, n_features = len(trial.arm_names), len(trial.covariates.features)
    wanted: dict[str, tuple[np.ndarray[Any, Any], tuple[int, ...], str]] = {
        "trial.covariates.values": (trial.covariates.values, (n_visitors, n_features), "f"),
        "trial.arm": (trial.arm, (n_visitors,), "iu"),
        "trial.converted": (trial.converted, (n_visitors,), "b"),
        "trial.revenue": (trial.revenue, (n_visitors,), "f"),
        "test_points.covariates.values": (points.covariates.values, (n_test, n_features), "f"),
        "test_points.arm": (points.arm, (n_test,), "iu"),
        "test_cate": (simulation.test_cate, (n_test,), "f"),
        "visitor_cate": (simulation.visitor_cate, (n_visitors, n_arms - 1), "f"),
    }
    found = [problem for name, spec in wanted.items() for problem in _array_problems(name, *spec)]
    return found or _trial_problems(simulation)


def _array_problems(name: str, array: object, shape: tuple[int, ...], kinds: str) -> list[str]:
    names = {"f": "floating point", "iu": "whole numbers", "b": "true and false"}
    if not isinstance(array, np.ndarray):
        return [f"{name} must be a numpy array, got a {type(array).__name__}"]
    if array.shape != shape:
        return [f"{name} must have shape {shape}, got {array.shape}"]
    if array.dtype.kind not in kinds:
        return [f"{name} must hold {names[kinds]}, got {array.dtype}"]
    return [] if np.isfinite(array).all() else [f"{name} must be finite, holds NaN or infinity"]


def _trial_problems(simulation: Simulation) -> list[str]:
    trial, points = simulation.trial, simulation.test_points
    arms, features = np.arange(trial.n_arms), trial.covariates.features
    checks = {
        f"trial.arm must hold each of 0 to {arms[-1]}": np.array_equal(np.unique(trial.arm), arms),
        f"test_points.arm must lie in 1 to {arms[-1]}": bool(np.isin(points.arm, arms[1:]).all()),
        "trial.revenue must be positive where converted and 0 elsewhere": bool(
            ((trial.revenue > 0) == trial.converted).all() and (trial.revenue >= 0).all()
        ),
        "trial.converted must be true of two visitors at least": int(trial.converted.sum()) >= 2,
        "test_points must have the features of the trial": points.covariates.features == features,
    }
    return [problem for problem, holds in checks.items() if not holds]

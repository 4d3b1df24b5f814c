"""An estimator of the user's own behind the contract: each answer checked, what it leaves out filled in.

The contract (docs/howto/own-model.md): ``build(settings)`` returns an object whose ``fit(trial, seed)``
returns a posterior; the posterior's ``cate(points)`` returns draws (n_points, n_draws) of each point's
effect, draw i of every point from one draw i of the posterior. ``average_cate``, ``hyperparameters`` and
``diagnostics`` are optional.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np

from sbcflow.data import Covariates, Float32Array, FloatArray, Segment, TestPoints, Trial
from sbcflow.errors import OwnCodeError
from sbcflow.own.reference import Reference, load, naming

CHUNK = 1024
FEWEST_DRAWS = 2
DIAGNOSTICS: Mapping[str, float | int | bool | str | None] = {
    "converged": True,
    "escalated": False,
    "khat": None,
}


@dataclass(frozen=True)
class OwnEstimator:
    """The estimator that ``reference`` gives; its answers are those of ``estimators.Estimator``."""

    reference: Reference
    inner: Any

    @classmethod
    def build(cls, reference: Reference, settings: Mapping[str, Any]) -> OwnEstimator:
        """Load the user's function and call it with its settings.

        Raises:
            OwnCodeError: it cannot be loaded or raises, or what it returns has no ``fit``.
        """
        function = load(reference)
        with naming(reference, f"{reference.name}(settings)"):
            inner = function(settings)
        if not callable(getattr(inner, "fit", None)):
            raise OwnCodeError(
                f"{reference}: {reference.name}(settings) must return an object with fit(trial, seed), "
                f"got {_kind(inner)}"
            )
        return cls(reference, inner)

    def fit(self, trial: Trial, seed: int) -> OwnPosterior:
        """Fit a trial.

        Raises:
            OwnCodeError: the user's ``fit`` raises, or what it returns has no ``cate``.
        """
        with naming(self.reference, "fit(trial, seed)"):
            inner = self.inner.fit(trial, seed)
        if not callable(getattr(inner, "cate", None)):
            raise OwnCodeError(
                f"{self.reference}: fit(trial, seed) must return an object with cate(points), "
                f"got {_kind(inner)}"
            )
        return OwnPosterior(self.reference, inner, trial.n_arms)


@dataclass(frozen=True)
class OwnPosterior:
    """A posterior of the user's own; its answers are those of ``estimators.Posterior``."""

    reference: Reference
    inner: Any
    n_arms: int

    def cate(self, points: TestPoints) -> Float32Array:
        """Return draws (n_points, n_draws) float32 of each point's CATE under its arm.

        Raises:
            OwnCodeError: the user's ``cate`` raises, or its answer has another shape or is not finite.
        """
        with naming(self.reference, "cate(points)"):
            draws = np.asarray(self.inner.cate(points))
        if draws.ndim != 2 or len(draws) != len(points) or draws.shape[1] < FEWEST_DRAWS:
            self._refuse(
                "cate(points)", f"have shape ({len(points)}, n_draws), a row a point", f"shape {draws.shape}"
            )
        return self._finite("cate(points)", draws).astype(np.float32)

    def average_cate(self, covariates: Covariates, segments: tuple[Segment, ...]) -> FloatArray:
        """Return draws (n_segments, K-1, n_draws) float64 of each segment's mean CATE.

        Where the user's posterior has no ``average_cate``, they are averages of its ``cate``.

        Raises:
            OwnCodeError: the user's method raises, or its answer has another shape or is not finite.
        """
        if not hasattr(self.inner, "average_cate"):
            return self._averages(covariates, segments)
        call, wanted = "average_cate(covariates, segments)", (len(segments), self.n_arms - 1)
        with naming(self.reference, call):
            draws = np.asarray(self.inner.average_cate(covariates, segments))
        if draws.ndim != 3 or draws.shape[:2] != wanted or draws.shape[2] < FEWEST_DRAWS:
            self._refuse(call, f"have shape ({wanted[0]}, {wanted[1]}, n_draws)", f"shape {draws.shape}")
        return self._finite(call, draws).astype(np.float64)

    def hyperparameters(self) -> dict[str, FloatArray]:
        """Return draws (n_draws,) float64 by name; none where the user's posterior has no such method.

        Raises:
            OwnCodeError: the user's method raises, or an answer has another shape or is not finite.
        """
        if not hasattr(self.inner, "hyperparameters"):
            return {}
        call = "hyperparameters()"
        with naming(self.reference, call):
            named = {
                str(name): np.asarray(draws) for name, draws in dict(self.inner.hyperparameters()).items()
            }
        for name, draws in named.items():
            if draws.ndim != 1 or len(draws) < FEWEST_DRAWS:
                self._refuse(f"{call}[{name!r}]", "have shape (n_draws,)", f"shape {draws.shape}")
        return {
            name: self._finite(f"{call}[{name!r}]", draws).astype(np.float64) for name, draws in named.items()
        }

    def diagnostics(self) -> dict[str, float | int | bool | str | None]:
        """Return how the fit went: ``DIAGNOSTICS``, and over them what the user's method tells.

        Raises:
            OwnCodeError: the user's method raises, or a value is no number, truth value, text or None.
        """
        if not hasattr(self.inner, "diagnostics"):
            return dict(DIAGNOSTICS)
        with naming(self.reference, "diagnostics()"):
            told = dict(self.inner.diagnostics())
        plain = {str(name): self._plain(str(name), value) for name, value in told.items()}
        if not isinstance(plain.get("converged", True), bool):
            self._refuse("diagnostics()['converged']", "be true or false", repr(plain["converged"]))
        return {**DIAGNOSTICS, **plain}

    def _averages(self, covariates: Covariates, segments: tuple[Segment, ...]) -> FloatArray:
        member = np.stack([segment.member for segment in segments]).astype(np.float64)
        by_arm = []
        for treatment in range(1, self.n_arms):
            total: FloatArray | float = 0.0
            for start in range(0, len(covariates), CHUNK):
                some = covariates.take(slice(start, start + CHUNK))
                points = TestPoints(some, np.full(len(some), treatment, dtype=np.int32))
                total = total + member[:, start : start + CHUNK] @ self.cate(points).astype(np.float64)
            by_arm.append(total / member.sum(axis=1)[:, None])
        return np.stack(by_arm, axis=1)

    def _finite(self, call: str, draws: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if draws.dtype.kind not in "fiu":
            self._refuse(call, "hold real numbers", f"type {draws.dtype}")
        if (wrong := ~np.isfinite(draws)).any():
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            self._refuse(call, "hold finite numbers", f"{draws[place]} at {place}, one of {int(wrong.sum())}")
        return draws

    def _plain(self, name: str, value: object) -> float | int | bool | str | None:
        plain = value.item() if isinstance(value, np.generic) else value
        if isinstance(plain, float) and not math.isfinite(plain):
            return None
        if plain is not None and not isinstance(plain, bool | int | float | str):
            self._refuse(f"diagnostics()[{name!r}]", "be a number, true, false, text or None", _kind(value))
        return plain

    def _refuse(self, call: str, allowed: str, got: str) -> NoReturn:
        raise OwnCodeError(f"{self.reference}: {call} must {allowed}, got {got}")


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"

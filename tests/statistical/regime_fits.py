"""Fits whose errors are known functions of what their posteriors show."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from scipy.stats import norm

from sbcflow.calibration.regime.fit import FitErrors, errors_of
from sbcflow.data import FloatArray

N_POINTS = 50
# Every posterior is a unit normal about its mean, known by its quantiles.
DRAWS = norm.ppf((np.arange(1000) + 0.5) / 1000)
# Fits of a sweep differ in the spread of their posterior means, as others do in the size of effects.
SPREADS = (0.3, 1.0, 3.0)

Fit = tuple[FloatArray, FloatArray]
Dispersion = Callable[[float], float]


def by_spread(spread: float) -> float:
    """How far errors are off: posteriors of alike points are too wide, of unlike ones too narrow."""
    return {0.3: 0.5, 1.0: 1.0, 3.0: 2.0}[spread]


def calibrated(_: float) -> float:
    return 1.0


def fits_of(seed: int, n_fits: int, dispersion: Dispersion) -> Iterator[Fit]:
    """Yield sorted draws (n_points, n_draws) of sd 1, and truths ``dispersion`` sds off; spreads in turn."""
    rng = np.random.default_rng(seed)
    for i in range(n_fits):
        spread = SPREADS[i % len(SPREADS)]
        mean = spread * rng.normal(size=N_POINTS)
        yield mean[:, None] + DRAWS, mean + dispersion(spread) * rng.normal(size=N_POINTS)


def errors(fits: Iterable[Fit]) -> list[FitErrors]:
    return [errors_of(*fit) for fit in fits]

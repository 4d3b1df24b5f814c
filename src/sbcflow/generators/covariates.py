"""The customers of the stress family: mixed covariates, and the standardised drivers read off them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sbcflow.data import BoolArray, Covariates, Feature, FloatArray
from sbcflow.errors import DataError

CHANNELS = ("search", "email", "social", "direct")
CHANNEL_SHARES = (0.45, 0.3, 0.17, 0.08)
REGIONS = ("north", "south", "east", "west", "abroad")
REGION_SHARES = (0.34, 0.27, 0.2, 0.13, 0.06)
NUISANCE_LEVELS = ("a", "b", "c")
NUISANCE_SHARES = (0.6, 0.3, 0.1)

FEATURES = (
    Feature("age", "continuous"),
    Feature("spend_history", "continuous"),
    Feature("tenure_years", "continuous"),
    Feature("visit_score", "continuous"),
    Feature("basket_score", "continuous"),
    Feature("mobile", "binary"),
    Feature("returning", "binary"),
    Feature("channel", "categorical", CHANNELS),
    Feature("region", "categorical", REGIONS),
    Feature("nuisance_continuous", "continuous"),
    Feature("nuisance_binary", "binary"),
    Feature("nuisance_categorical", "categorical", NUISANCE_LEVELS),
)
NUISANCE = ("nuisance_continuous", "nuisance_binary", "nuisance_categorical")

AGE_MEAN, AGE_SD = 42.0, 13.0
LOG_SPEND_MEAN, LOG_SPEND_SD = 4.0, 0.9
TENURE_MAX = 10.0
SCORE_CORRELATION = 0.6
MOBILE_SHARE, RETURNING_SHARE, NUISANCE_SHARE = 0.55, 0.3, 0.4


@dataclass(frozen=True)
class Drivers:
    """What the surfaces depend on, for n customers, float64 from the stored float32 covariates.

    ``continuous`` (5, n) holds age, log spend history, tenure, visit score and basket score, each of
    mean 0 and variance 1 in the population, symmetric, and independent but for the two scores;
    ``binary`` (2, n) holds mobile and returning; ``levels`` (7, n) the indicators of the channels and
    regions that are not the first.
    """

    continuous: FloatArray
    binary: BoolArray
    levels: BoolArray


def draw_covariates(rng: np.random.Generator, n: int) -> Covariates:
    """Draw the covariates of ``n`` independent customers, columns as FEATURES."""
    values = np.empty((n, len(FEATURES)), dtype=np.float32)
    normal = rng.standard_normal((5, n))
    rest = np.sqrt(1 - SCORE_CORRELATION**2)
    values[:, 0] = AGE_MEAN + AGE_SD * normal[0]
    values[:, 1] = np.exp(LOG_SPEND_MEAN + LOG_SPEND_SD * normal[1])
    values[:, 2] = TENURE_MAX * rng.random(n)
    values[:, 3] = normal[2]
    values[:, 4] = SCORE_CORRELATION * normal[2] + rest * normal[3]
    values[:, 5] = rng.random(n) < MOBILE_SHARE
    values[:, 6] = rng.random(n) < RETURNING_SHARE
    values[:, 7] = _draw_codes(rng, n, CHANNEL_SHARES)
    values[:, 8] = _draw_codes(rng, n, REGION_SHARES)
    values[:, 9] = normal[4]
    values[:, 10] = rng.random(n) < NUISANCE_SHARE
    values[:, 11] = _draw_codes(rng, n, NUISANCE_SHARES)
    return Covariates(FEATURES, values)


def _draw_codes(rng: np.random.Generator, n: int, shares: tuple[float, ...]) -> FloatArray:
    edges = np.cumsum(shares)[:-1]
    return np.searchsorted(edges, rng.random(n), side="right").astype(np.float64)


def drivers_of(covariates: Covariates) -> Drivers:
    """Return the drivers of customers with the stress family's covariates.

    Raises:
        DataError: the covariates are not those of this family.
    """
    if covariates.features != FEATURES:
        raise DataError(f"covariates must be those of family v2: {', '.join(f.name for f in FEATURES)}")
    columns = covariates.values.T
    continuous = columns[:5].astype(np.float64)
    continuous[0] = (continuous[0] - AGE_MEAN) / AGE_SD
    continuous[1] = (np.log(continuous[1]) - LOG_SPEND_MEAN) / LOG_SPEND_SD
    continuous[2] = (continuous[2] / TENURE_MAX - 0.5) * np.sqrt(12)
    channel = [columns[7] == code for code in range(1, len(CHANNELS))]
    region = [columns[8] == code for code in range(1, len(REGIONS))]
    return Drivers(continuous, columns[5:7] == 1, np.stack([*channel, *region]))

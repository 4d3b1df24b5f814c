"""Random streams by purpose: one seed and one purpose make one stream, so no draw moves another."""

from __future__ import annotations

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream is for; the codes are part of the data's definition and never change meaning."""

    KNOBS = 0
    COVARIATES = 1
    ASSIGNMENT = 2
    CONVERSION = 3
    REVENUE = 4
    TEST_POINTS = 5
    PARAMETERS = 6
    CLUSTERS = 7
    SHAPE = 8
    ARMS = 9
    REFERENCE = 10
    CONVERSION_POSTERIOR = 11
    SEVERITY_POSTERIOR = 12


def rng_for(seed: int, purpose: Purpose) -> np.random.Generator:
    """Return the stream of ``purpose`` under a config's ``seed`` (>= 0), independent of all others."""
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(int(purpose),)))

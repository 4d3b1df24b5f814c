"""How far a share of independent points can be off by chance, also where all or none of them are covered."""

from __future__ import annotations

import numpy as np

from sbcflow.data import FloatArray

# The 97.5% quantile of the normal distribution.
Z = 1.959964


def agresti_coull(covered: FloatArray, n_points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return centre and standard error of a share (...), of counts (...), at 95%.

    Z^2 points are added, half of them covered (Agresti and Coull 1998, section 4), so that the standard error
    is above 0 where the share is 0 or 1 and a spread over fits says nothing.
    """
    total = n_points + Z**2
    centre = (covered + Z**2 / 2) / total
    return centre, np.sqrt(centre * (1 - centre) / total)

"""How far a share can be off by chance, also where all or none are covered and no spread tells."""

from __future__ import annotations

import numpy as np

from sbcflow.data import FloatArray

# The 97.5% quantile of the normal distribution.
Z = 1.959964


def wilson(share: FloatArray, n: FloatArray, z: FloatArray | float = Z) -> tuple[FloatArray, FloatArray]:
    """Return lower and upper ends (...) of the shares that a share of ``n`` independent points is no proof
    against, at ``z`` standard errors (Wilson 1927).

    ``n`` may be an effective number, that of a sample of clusters (Kott and Carr 1997).
    """
    total = n + np.square(z)
    centre = (n * share + np.square(z) / 2) / total
    reach = z * np.sqrt(n * share * (1 - share) + np.square(z) / 4) / total
    return centre - reach, centre + reach

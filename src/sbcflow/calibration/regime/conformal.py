"""How deep a truth lies, by level: cut-offs of depth from fits that nothing was learnt on.

Whole fits are exchangeable, the points of one are not independent. Hierarchical conformal prediction (Lee,
Barber and Willett 2023, Distribution-free inference with hierarchical data; Dunn, Wasserman and Ramdas 2022)
weighs every calibration fit alike and counts the fit to come as one more, at the worst depth. So for a point
of a fit to come, drawn as the K calibration fits were, the truth is at least as deep as the cut-off with at
least the wanted probability, whatever the distributions. The price is an excess of up to level / K.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sbcflow.calibration.fields import increasing, number_list, whole_number
from sbcflow.data import FloatArray
from sbcflow.errors import ArtifactError

# Cut-offs are kept a level a step, and a wanted level in between takes the next one up.
STEPS = 1000
# Past the level that this many of the fits, the one to come included, fail by themselves, the fitted shape
# tells more of the tail than a count of fits does (docs/decisions/0017).
FITS_PAST = 10


@dataclass(frozen=True)
class Cutoffs:
    """``depths``: the cut-off at each level 1/``STEPS``, 2/``STEPS``, ... up to the guaranteed one, from
    ``n_fits`` calibration fits."""

    n_fits: int
    depths: tuple[float, ...]

    @property
    def guaranteed_level(self) -> float:
        """The largest level whose coverage is guaranteed without assumptions; 0 if there is none."""
        return len(self.depths) / STEPS

    def cutoff(self, level: float) -> float:
        """Return the depth that a truth exceeds with probability ``level``, in (0, 1).

        Past the guaranteed level the depth goes on in proportion to 1 - level: the tails of the shape hold.
        """
        step = math.ceil(level * STEPS - 1e-9)
        if step <= len(self.depths):
            return self.depths[step - 1]
        last = self.depths[-1] if self.depths else 1.0
        return last * (1 - level) / (1 - self.guaranteed_level)

    def to_json(self) -> dict[str, Any]:
        """Return the cut-offs as plain JSON values."""
        return {"n_fits": self.n_fits, "depths": list(self.depths), "guaranteed_level": self.guaranteed_level}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Cutoffs:
        """Rebuild cut-offs from :meth:`to_json`'s values.

        Raises:
            ArtifactError: a key is missing, or depths that are none, rise, or leave (0, 1].
        """
        depths = number_list(values, "depths")
        if not increasing(depths[::-1]) or not all(0 < depth <= 1 for depth in depths):
            raise ArtifactError("depths must never rise and lie in (0, 1]")
        n_fits = whole_number(values, "n_fits")
        if len(depths) != guaranteed_steps(n_fits):
            raise ArtifactError(f"depths must have {guaranteed_steps(n_fits)} values for {n_fits} fits")
        return cls(n_fits, depths)


def guaranteed_steps(n_fits: int) -> int:
    """Return how many levels, of ``STEPS``, this many calibration fits guarantee."""
    return max(0, math.floor(STEPS * (1 - FITS_PAST / (n_fits + 1))))


def fit_cutoffs(depths: FloatArray) -> Cutoffs:
    """Return the cut-offs from the depths (n_fits, n_points) of calibration fits' truths."""
    n_fits = len(depths)
    deepest_first = np.sort(depths.ravel())[::-1]
    levels = (step / STEPS for step in range(1, guaranteed_steps(n_fits) + 1))
    return Cutoffs(n_fits, tuple(hierarchical_quantile(deepest_first, level, n_fits) for level in levels))


def hierarchical_quantile(from_best: FloatArray, level: float, n_fits: int) -> float:
    """Return the score that a point of a fit to come is no worse than with probability ``level``.

    ``from_best``: the scores of all points of ``n_fits`` fits, pooled and sorted, the best first. The fit to
    come counts as one more, of the worst; past the level K/(K+1) that leaves, the last score.
    """
    place = math.ceil(level * (n_fits + 1) / n_fits * len(from_best) - 1e-9)
    return float(from_best[min(place, len(from_best)) - 1])

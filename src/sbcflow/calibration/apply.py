"""A correction applied to draws as they are held: in arrays, in xarray and ArviZ, in a NumPyro MCMC.

One convention a form. Arrays hold the draws in their last axis, as everywhere in this project; labelled
arrays in the dims ``chain`` and ``draw``, or ``sample``; an MCMC in its samples. Chains are pooled.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from sbcflow.calibration.intervals import Intervals
from sbcflow.errors import DataError
from sbcflow.scoring import Draws

if TYPE_CHECKING:
    import xarray as xr

    Labelled = xr.DataArray | xr.Dataset | xr.DataTree

MIN_DRAWS = 2


@dataclass(frozen=True)
class Reader:
    """Reads the intervals at ``level`` off draws; ``intervals`` are those a correction gives rows of them."""

    intervals: Callable[[Draws], Intervals]
    level: float

    def read(self, draws: ArrayLike) -> Intervals:
        """Return intervals of shape (...) from ``draws`` (..., n_draws).

        Raises:
            DataError: fewer than 2 draws, no value, or draws that are not finite floating point numbers.
        """
        values = _as_array(draws)
        if values.ndim < 1 or values.shape[-1] < MIN_DRAWS or values.size == 0:
            raise DataError(
                f"draws: must have shape (..., n_draws >= {MIN_DRAWS}), the draws in the last axis, "
                f"got {values.shape}"
            )
        rows = values.reshape(-1, values.shape[-1])
        found = self.intervals(rows)
        shape = values.shape[:-1]
        return Intervals(found.lower.reshape(shape), found.upper.reshape(shape), found.regime)


def apply(
    intervals: Callable[[Draws], Intervals],
    draws: Any,  # noqa: ANN401
    level: float,
    var_names: str | Sequence[str] | None = None,
) -> Intervals | Labelled:
    """Return the intervals of ``draws`` in the form that they came in; see ``LayeredCorrection.apply``."""
    reader = Reader(intervals, level)
    names = (var_names,) if isinstance(var_names, str) else var_names
    # A plain array needs no xarray, which takes its time to be imported.
    found = None if isinstance(draws, np.ndarray) else _labelled(draws, reader, names)
    if found is not None:
        return found
    if isinstance(draws, Mapping):
        raise DataError(
            "draws: a dict does not say which axis holds the draws; must be an array with the draws in its "
            "last axis, an xarray or ArviZ object, or a NumPyro MCMC"
        )
    _no_names(names)
    return reader.read(draws)


def _labelled(draws: Any, reader: Reader, names: Sequence[str] | None) -> Labelled | None:  # noqa: ANN401
    """The intervals of draws that say what holds them; None of those that do not."""
    import xarray as xr

    from sbcflow.calibration import labelled

    if isinstance(draws, xr.DataArray):
        _no_names(names)
        return labelled.of_array(draws, reader)
    if isinstance(draws, xr.DataTree):
        return labelled.of_tree(draws, reader, names)
    if hasattr(draws, "get_samples"):
        return labelled.of_samples(_samples(draws), reader, names)
    dataset = draws if isinstance(draws, xr.Dataset) else getattr(draws, labelled.POSTERIOR, None)
    if isinstance(dataset, xr.Dataset):
        return labelled.of_dataset(dataset, reader, names)
    return None


def _no_names(names: Sequence[str] | None) -> None:
    if names is not None:
        raise DataError("var_names: an array has no variables to choose from; leave it out")


def _samples(mcmc: Any) -> Mapping[str, ArrayLike]:  # noqa: ANN401
    """The samples of a NumPyro MCMC by site, (n_draws, ...) each with the chains pooled."""
    if getattr(mcmc, "last_state", mcmc) is None:
        raise DataError("draws: the MCMC has no samples yet; call its run first")
    samples: Mapping[str, ArrayLike] = mcmc.get_samples()
    return samples


def _as_array(draws: ArrayLike) -> np.ndarray[Any, Any]:
    try:
        return np.asarray(draws)
    except (TypeError, ValueError) as error:
        raise DataError(f"draws: not an array of numbers: {error}") from None

"""Intervals of labelled draws: the dims of draws go, ``bound`` (lower, upper) comes last, the rest stays."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from sbcflow.errors import DataError

if TYPE_CHECKING:
    from sbcflow.calibration.apply import Reader

CHAIN, DRAW, SAMPLE = "chain", "draw", "sample"
BOUND = "bound"
BOUNDS = ("lower", "upper")
POSTERIOR = "posterior"


def of_array(draws: xr.DataArray, reader: Reader, name: Hashable | None = None) -> xr.DataArray:
    """Return the intervals of one variable, float64, with the level and the rule among its attributes.

    Raises:
        DataError: naming the variable: no dim of draws, too few draws, or draws that are not finite.
    """
    named = name or draws.name or "draws"
    pooled = _dims_of_draws(draws, named)
    kept = [dim for dim in draws.dims if dim not in pooled]
    values = draws.transpose(*kept, *pooled).to_numpy()
    try:
        found = reader.read(values.reshape(*values.shape[: len(kept)], -1))
    except DataError as error:
        raise DataError(f"{named}: {error}") from None
    about = {**draws.attrs, "level": reader.level, "rule": found.regime}
    bounds = _without(draws, pooled).expand_dims({BOUND: list(BOUNDS)}, axis=-1)
    return bounds.copy(data=np.stack([found.lower, found.upper], axis=-1)).assign_attrs(about)


def of_dataset(draws: xr.Dataset, reader: Reader, names: Sequence[str] | None) -> xr.Dataset:
    """Return the intervals of the variables ``names``, all where None.

    Raises:
        DataError: naming the variable: as ``of_array``, or there is no such variable.
    """
    chosen = _chosen([str(name) for name in draws.data_vars], names)
    return xr.Dataset({name: of_array(draws[name], reader, name) for name in chosen}, attrs=draws.attrs)


def of_tree(draws: xr.DataTree, reader: Reader, names: Sequence[str] | None) -> xr.Dataset | xr.DataTree:
    """Return the intervals of a tree's posterior; of a tree of such trees, a tree with a node for each.

    Raises:
        DataError: as ``of_dataset``, or no group ``posterior`` anywhere.
    """
    if POSTERIOR in draws.children:
        return of_dataset(draws.children[POSTERIOR].to_dataset(), reader, names)
    if draws.data_vars:
        return of_dataset(draws.to_dataset(), reader, names)
    if not draws.children:
        raise DataError(f"{draws.path}: must have a group {POSTERIOR!r}, or variables of its own")
    parts = {name: of_tree(child, reader, names) for name, child in draws.children.items()}
    return xr.DataTree.from_dict(parts)


def of_samples(samples: Mapping[str, ArrayLike], reader: Reader, names: Sequence[str] | None) -> xr.Dataset:
    """Return the intervals of samples (n_draws, ...) by site; the other dims are named as ArviZ does."""
    chosen = {name: np.asarray(samples[name]) for name in _chosen(list(samples), names)}
    sites = {
        name: ((DRAW, *(f"{name}_dim_{i}" for i in range(values.ndim - 1))), values)
        for name, values in chosen.items()
    }
    return of_dataset(xr.Dataset(sites), reader, None)


def _dims_of_draws(draws: xr.DataArray, name: Hashable) -> list[Hashable]:
    pooled: list[Hashable] = [dim for dim in (CHAIN, DRAW, SAMPLE) if dim in draws.dims]
    if (DRAW in pooled) == (SAMPLE in pooled):
        found = ", ".join(map(str, draws.dims)) or "none"
        raise DataError(
            f"{name}: must have the dim {DRAW!r}, with {CHAIN!r} or without, or the dim {SAMPLE!r}; has "
            f"{found}. Choose variables that are draws with var_names"
        )
    if BOUND in draws.dims:
        raise DataError(f"{name}: must have no dim {BOUND!r}, which the intervals get; rename it")
    return pooled


def _without(draws: xr.DataArray, dims: Sequence[Hashable]) -> xr.DataArray:
    """The array at its first draw, less the coordinates along the dims of draws."""
    along = [name for name, values in draws.coords.items() if not set(dims).isdisjoint(values.dims)]
    return draws.drop_vars(along).isel(dict.fromkeys(dims, 0), drop=True)


def _chosen(available: Sequence[str], names: Sequence[str] | None) -> Sequence[str]:
    if not available:
        raise DataError("draws: must have at least one variable, has none")
    for name in names or ():
        if name not in available:
            raise DataError(f"{name}: no such variable; there are {', '.join(available)}")
    return available if names is None else names

"""The draws of a fit as xarray's datasets, named as ArviZ names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr
from numpy.typing import NDArray

UNIT = "revenue per visitor"


def tree_of(samples: Mapping[str, NDArray[Any]], about: Mapping[str, object]) -> dict[str, xr.Dataset]:
    """Return the groups ``posterior`` and ``constant_data`` of the arrays of a draws.npz.

    ``draws`` (n_points, n_draws) become ``cate`` (chain=1, draw, point): a fit's draws are kept without
    their chains. ``about`` goes into the attributes of ``posterior``.
    """
    draws = samples["draws"]
    n_points, n_draws = draws.shape
    coords = {"chain": [0], "draw": range(n_draws), "point": range(n_points)}
    cate = xr.DataArray(draws.T[None], coords, ("chain", "draw", "point"), attrs={"unit": UNIT})
    constant = {
        "truth": ("point", samples["truth"], {"unit": UNIT}),
        "arm": ("point", samples["arm"]),
        "covariates": (("point", "feature"), samples["covariates"]),
    }
    return {
        "posterior": xr.Dataset({"cate": cate}, attrs=dict(about)),
        "constant_data": xr.Dataset(constant, {"point": range(n_points)}),
    }

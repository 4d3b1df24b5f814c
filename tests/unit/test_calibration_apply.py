"""A correction applied to draws in every form: the intervals of the flat array, in the form that came."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import arviz_base
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
import xarray as xr
from analysis_examples import write_correction
from numpyro.infer import MCMC, NUTS

from sbcflow.calibration.layered import LayeredCorrection
from sbcflow.errors import DataError, ParamsError

# Three regions, five stores, two chains of forty draws.
N_CHAINS, N_DRAWS = 2, 40
VALUES = np.random.default_rng(4).gamma(2.0, size=(N_CHAINS, N_DRAWS, 3, 5))
FLAT = np.moveaxis(VALUES.reshape(-1, 15), 0, 1)


@pytest.fixture(scope="module")
def correction(tmp_path_factory: pytest.TempPathFactory) -> LayeredCorrection:
    return LayeredCorrection.load(write_correction(tmp_path_factory.mktemp("correction")))


def effects() -> xr.DataArray:
    return xr.DataArray(
        VALUES,
        dims=("chain", "draw", "region", "store"),
        coords={
            "chain": range(N_CHAINS),
            "draw": range(N_DRAWS),
            "region": ["north", "east", "south"],
            "size": ("store", [10.0, 20.0, 30.0, 40.0, 50.0]),
            "step": (("chain", "draw"), np.zeros((N_CHAINS, N_DRAWS))),
        },
        attrs={"unit": "revenue per visitor"},
        name="effect",
    )


def ends(correction: LayeredCorrection, level: float = 0.9, method: str = "layered") -> np.ndarray:
    """What is expected, (3, 5, 2), from the draws as one matrix."""
    found = correction.intervals(FLAT, level, method)
    return np.stack([found.lower, found.upper], axis=-1).reshape(3, 5, 2)


@pytest.mark.parametrize("convert", [np.asarray, jnp.asarray, np.ndarray.tolist])
def test_arrays_hold_their_draws_in_the_last_axis(correction: LayeredCorrection, convert: Any) -> None:
    draws = FLAT.reshape(3, 5, -1).astype(np.float32).astype(np.float64)
    found = correction.apply(convert(draws), 0.8)
    expected = correction.intervals(draws.reshape(15, -1), 0.8)
    assert found.lower.shape == found.upper.shape == (3, 5)
    np.testing.assert_allclose(found.lower.ravel(), expected.lower, rtol=1e-12)
    np.testing.assert_allclose(found.upper.ravel(), expected.upper, rtol=1e-12)
    assert found.regime == expected.regime


def test_one_effect_is_a_pair_of_numbers(correction: LayeredCorrection) -> None:
    found = correction.apply(FLAT[7])
    assert found.lower.shape == () and found.lower == ends(correction)[1, 2, 0]


def test_a_transposed_array_is_read_as_it_lies(correction: LayeredCorrection) -> None:
    """The convention and nothing else says where the draws are."""
    assert correction.apply(FLAT.T).lower.shape == (N_CHAINS * N_DRAWS,)


def test_labelled_draws_keep_all_but_the_dims_of_draws(correction: LayeredCorrection) -> None:
    found = correction.apply(effects(), 0.8)
    assert found.dims == ("region", "store", "bound")
    assert list(found["bound"].values) == ["lower", "upper"]
    assert list(found["region"].values) == ["north", "east", "south"]
    assert list(found["size"].values) == [10, 20, 30, 40, 50]
    assert set(found.coords) == {"region", "size", "bound"}
    assert found.name == "effect" and found.dtype == np.float64
    assert found.attrs == {"unit": "revenue per visitor", "level": 0.8, "rule": "r_of_p"}
    np.testing.assert_array_equal(found, ends(correction, 0.8))


def test_the_order_of_dims_changes_nothing_but_their_order(correction: LayeredCorrection) -> None:
    found = correction.apply(effects().transpose("store", "draw", "region", "chain"))
    assert found.dims == ("store", "region", "bound")
    np.testing.assert_array_equal(found.transpose("region", "store", "bound"), ends(correction))


@pytest.mark.parametrize(
    "draws",
    [
        effects().stack(sample=("chain", "draw")),
        effects().stack(sample=("chain", "draw")).reset_index("sample", drop=True),
        effects().stack(draws=("chain", "draw")).reset_index("draws", drop=True).rename(draws="draw"),
        effects(),
    ],
    ids=["stacked", "sample", "one chain", "chains"],
)
def test_chains_are_pooled_however_they_lie(correction: LayeredCorrection, draws: xr.DataArray) -> None:
    found = correction.apply(draws)
    assert set(found.coords) == {"region", "size", "bound"}
    np.testing.assert_array_equal(found, ends(correction))


def test_pooled_chains_differ_from_one_chain(correction: LayeredCorrection) -> None:
    assert not np.array_equal(correction.apply(effects().isel(chain=0)), ends(correction))


def test_a_method_can_be_named(correction: LayeredCorrection) -> None:
    found = correction.apply(effects(), 0.9, "raw")
    np.testing.assert_array_equal(found, ends(correction, method="raw"))
    assert found.attrs["rule"] == "raw" and not np.array_equal(found, ends(correction))


def dataset() -> xr.Dataset:
    scale = effects().isel(region=0, store=0, drop=True)
    return xr.Dataset({"effect": effects(), "scale": scale}, attrs={"made_by": "a model"})


def test_a_dataset_is_read_variable_by_variable(correction: LayeredCorrection) -> None:
    found = correction.apply(dataset())
    assert found.attrs == {"made_by": "a model"}
    assert found["scale"].dims == ("bound",) and found["effect"].dims == ("region", "store", "bound")
    np.testing.assert_array_equal(found["effect"], ends(correction))
    np.testing.assert_array_equal(found["scale"], ends(correction)[0, 0])
    assert list(correction.apply(dataset(), var_names="scale").data_vars) == ["scale"]
    assert list(correction.apply(dataset(), var_names=["scale", "effect"]).data_vars) == ["scale", "effect"]


def test_the_posterior_of_arviz_is_what_is_read(correction: LayeredCorrection) -> None:
    groups = {"posterior": dataset(), "observed_data": xr.Dataset({"y": ("visitor", [1.0, 2.0])})}
    tree = xr.DataTree.from_dict(groups)
    for draws in (tree, tree["posterior"], SimpleNamespace(**groups)):
        found = correction.apply(draws)
        assert isinstance(found, xr.Dataset)
        xr.testing.assert_identical(found, correction.apply(dataset()))


def test_what_arviz_itself_makes_is_read(correction: LayeredCorrection) -> None:
    made = arviz_base.from_dict({"posterior": {"effect": VALUES}, "observed_data": {"y": np.ones(2)}})
    np.testing.assert_array_equal(correction.apply(made)["effect"], ends(correction))


def test_a_tree_of_fits_gives_a_tree(correction: LayeredCorrection) -> None:
    fits = {f"{name}/posterior": dataset() * factor for name, factor in (("a", 1.0), ("b", 2.0))}
    found = correction.apply(xr.DataTree.from_dict(fits), var_names="effect")
    assert list(found.children) == ["a", "b"]
    np.testing.assert_array_equal(found["a"]["effect"], ends(correction))
    np.testing.assert_allclose(found["b"]["effect"], 2 * ends(correction), rtol=1e-12)


def sampled(**settings: Any) -> MCMC:
    def model() -> None:
        location = numpyro.sample("location", dist.Normal(jnp.zeros(3), 1.0))
        numpyro.deterministic("effects", location[:, None] * jnp.ones(2))
        numpyro.sample("seen", dist.Normal(location, 0.5), obs=jnp.array([0.0, 1.0, 2.0]))

    mcmc = MCMC(NUTS(model), progress_bar=False, **settings)
    mcmc.run(jax.random.key(0))
    return mcmc


def test_an_mcmc_is_read_site_by_site(correction: LayeredCorrection) -> None:
    mcmc = sampled(num_warmup=20, num_samples=30, num_chains=2, chain_method="sequential")
    found = correction.apply(mcmc)
    assert found["location"].dims == ("location_dim_0", "bound")
    assert found["effects"].dims == ("effects_dim_0", "effects_dim_1", "bound")
    expected = correction.intervals(np.asarray(mcmc.get_samples()["location"]).T, 0.9)
    assert mcmc.get_samples()["location"].shape == (60, 3)
    np.testing.assert_array_equal(found["location"].sel(bound="lower"), expected.lower)
    np.testing.assert_array_equal(found["effects"].sel(bound="upper", effects_dim_1=1), expected.upper)
    assert list(correction.apply(mcmc, var_names="effects").data_vars) == ["effects"]


def test_an_mcmc_that_was_not_run_is_refused(correction: LayeredCorrection) -> None:
    mcmc = MCMC(NUTS(lambda: None), num_warmup=1, num_samples=1)
    with pytest.raises(DataError, match="call its run first"):
        correction.apply(mcmc)


REFUSED = [
    (FLAT[0, 0], r"draws: must have shape \(\.\.\., n_draws >= 2\), the draws in the last axis, got \(\)"),
    (FLAT[:, :1], r"the draws in the last axis, got \(15, 1\)"),
    (FLAT[:0], r"got \(0, 80\)"),
    (np.where(FLAT > 1, np.nan, FLAT), "draws: must all be finite"),
    ((FLAT * 10).astype(int), "draws: must be floating point, got int64"),
    ("draws", "draws: must have shape"),
    ([[1.0, 2.0], [3.0]], "draws: not an array of numbers"),
    ({"effect": FLAT}, "a dict does not say which axis"),
    (effects().isel(draw=0, drop=True), "^effect: must have the dim 'draw'.*; has chain, region, store"),
    (effects().isel(chain=[0], draw=[0]), "^effect: draws: must have shape"),
    (effects().rename(store="sample"), "^effect: must have the dim"),
    (effects().rename(store="bound"), "^effect: must have no dim 'bound'"),
    (effects().where(effects() < 3), "^effect: draws: must all be finite"),
    (dataset().assign(tries=("store", np.ones(5))), "^tries: must have the dim 'draw'.*var_names"),
    (dataset().assign(steps=dataset()["scale"].astype(int)), "^steps: draws: must be floating point"),
    (xr.Dataset(), "at least one variable"),
    (xr.DataTree(), "must have a group 'posterior'"),
]


@pytest.mark.parametrize(("draws", "message"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_read_is_named(correction: LayeredCorrection, draws: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as refusal:
        correction.apply(draws)
    assert "\n" not in str(refusal.value)


def test_variables_that_are_not_there_are_named(correction: LayeredCorrection) -> None:
    with pytest.raises(DataError, match=r"^slope: no such variable; there are effect, scale"):
        correction.apply(dataset(), var_names=["effect", "slope"])
    for array in (FLAT, effects()):
        with pytest.raises(DataError, match=r"^var_names: an array has no variables"):
            correction.apply(array, var_names="effect")


def test_a_wrong_level_or_method_is_said_before_the_draws_are_looked_at(
    correction: LayeredCorrection,
) -> None:
    for wrong in ({"level": 90}, {"method": "magic"}):
        with pytest.raises(ParamsError):
            correction.apply(None, **wrong)


def test_arrays_need_no_xarray() -> None:
    code = (
        "import sys, numpy; from sbcflow.calibration import apply\n"
        "reader = apply.Reader(None, 0.9)\n"
        "assert 'xarray' not in sys.modules and 'numpyro' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""The cache key of a fit: one hash over everything that determines its numbers.

The key is in the name of the fit's folder (see ``layout``), so nothing else decides whether a
result is still valid: no time, no workflow metadata.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from sbcflow.params import Params, SweepSettings, is_reference
from sbcflow.provenance import numeric_versions
from sbcflow.sweep.own_sources import own_sources
from sbcflow.sweep.sources import source_digests


def fit_key(
    params: Params,
    sweep: SweepSettings,
    *,
    seed: int,
    n_visitors: int,
    knobs: Mapping[str, Any],
) -> str:
    """Return the sha256, in hex, of what determines the fit of one config of ``sweep``.

    ``knobs`` are the generator's drawn settings, plain JSON values. A fit's index, the number of its
    neighbours and the settings of other sweeps, of corrections and evaluations are in no key.
    """
    config = config_ingredients(seed, n_visitors, sweep.generator_family, knobs)
    return _sha256({"config": config, "context": context_key(params, sweep)})


def key_of(config: Mapping[str, Any], context: Mapping[str, Any]) -> str:
    """Return the key made of ``config_ingredients`` and ``context_ingredients``, as a summary holds both."""
    return _sha256({"config": config, "context": _sha256(context)})


def config_ingredients(
    seed: int, n_visitors: int, generator_family: str, knobs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what a key takes from one config."""
    return {
        "seed": seed,
        "n_visitors": n_visitors,
        "generator_family": generator_family,
        "knobs": dict(knobs),
    }


def context_ingredients(params: Params, sweep: SweepSettings) -> dict[str, Any]:
    """Return what a key takes from everything that the configs of a sweep share.

    Raises:
        OwnCodeError: code of the user's own is not there.
        ParamsError: nor is a file that it depends on.
    """
    own = own_sources(params, sweep)
    return {
        "generator": generator_settings(params, sweep.generator_family),
        **params.estimator_settings(),
        **_prior_settings(params, sweep),
        "scoring": params.scoring.model_dump(mode="json"),
        "save_samples": sweep.save_samples,
        "source": {**source_digests(), **own.modules, **own.files},
        "libraries": {**own.libraries, **numeric_versions()},
    }


@cache
def context_key(params: Params, sweep: SweepSettings) -> str:
    """Return the sha256, in hex, of what the configs of a sweep share."""
    return _sha256(context_ingredients(params, sweep))


def canonical_json(value: object) -> str:
    """Return ``value`` as the one JSON text that equal values share.

    Raises:
        ValueError: a number is not finite.
        TypeError: something in it is no JSON value.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def generator_settings(params: Params, family: str) -> dict[str, Any]:
    """Return the settings of ``family`` that reach a config's data other than through its knobs."""
    if is_reference(family):
        return dict(params.own.family)
    if family == "v2":
        # Templates and ranges only decide what a config draws, and that is among its knobs.
        return params.generators.v2.model_dump(mode="json", include={"n_arms"})
    return params.generators.prior.model_dump(mode="json")


def _prior_settings(params: Params, sweep: SweepSettings) -> dict[str, Any]:
    """The family ``prior`` draws from the model's prior, whatever fits its data."""
    return {"model": params.model.model_dump(mode="json")} if sweep.generator_family == "prior" else {}


def _sha256(value: object) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()

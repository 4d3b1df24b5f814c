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

from sbcflow.params import GeneratorFamily, Params, SweepSettings
from sbcflow.provenance import numeric_versions
from sbcflow.sweep.sources import source_digest


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
    config = {
        "seed": seed,
        "n_visitors": n_visitors,
        "generator_family": sweep.generator_family,
        "knobs": dict(knobs),
    }
    return _sha256({"config": config, "context": _context(params, sweep)})


def canonical_json(value: object) -> str:
    """Return ``value`` as the one JSON text that equal values share.

    Raises:
        ValueError: a number is not finite.
        TypeError: something in it is no JSON value.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def generator_settings(params: Params, family: GeneratorFamily) -> dict[str, Any]:
    """Return the settings of ``family`` that reach a config's data other than through its knobs."""
    if family == "v2":
        # Templates and ranges only decide what a config draws, and that is among its knobs.
        return params.generators.v2.model_dump(mode="json", include={"n_arms"})
    return params.generators.prior.model_dump(mode="json")


@cache
def _context(params: Params, sweep: SweepSettings) -> str:
    return _sha256(
        {
            "generator": generator_settings(params, sweep.generator_family),
            "estimator": params.estimator,
            "model": params.model.model_dump(mode="json"),
            "inference": params.inference.model_dump(mode="json"),
            "scoring": params.scoring.model_dump(mode="json"),
            "save_samples": sweep.save_samples,
            "source": source_digest(),
            "libraries": numeric_versions(),
        }
    )


def _sha256(value: object) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()

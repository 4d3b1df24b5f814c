"""The plan of a sweep: its configs, with their seeds, drawn settings and cache keys.

Pure and light (numpy, no jax), because Snakemake makes it again whenever it parses the workflow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np

from sbcflow.generators import make_family
from sbcflow.params import Params, SweepKind
from sbcflow.sweep.key import fit_key
from sbcflow.sweep.layout import make_config_id

KIND_CODES: Mapping[SweepKind, int] = MappingProxyType({"train": 0, "test": 1, "exploratory": 2})


@dataclass(frozen=True)
class PlannedConfig:
    """One simulated experiment of a sweep, before it is fitted.

    ``seed`` fits a JSON double; ``knobs`` are the generator's drawn settings, plain JSON values;
    ``key`` is the cache key of the fit, and ``config_id`` the name of its folder.
    """

    index: int
    replicate: int
    seed: int
    n_visitors: int
    generator_family: str
    template: str
    knobs: Mapping[str, Any]
    key: str
    config_id: str


def config_seeds(master_seed: int, kind: SweepKind, n_configs: int, scales: Sequence[int]) -> tuple[int, ...]:
    """Return the 53-bit seeds of a sweep's configs, in index order.

    Each comes from a stream of its own, spawned by (kind, replicate, scale), so that the seeds of two
    kinds never share a stream even under one master seed, and a larger ``n_configs`` only appends.
    """
    return tuple(_seed(master_seed, kind, replicate, scale) for replicate, scale in _order(n_configs, scales))


@cache
def plan_sweep(params: Params, kind: SweepKind, n_configs: int | None = None) -> tuple[PlannedConfig, ...]:
    """Return the configs of a sweep, by index: every scale of replicate 0, then of replicate 1, ...

    The first ``n_configs`` replicates; by default all that the sweep can have (of one to a precision that is
    the most that it may take, and ``rounds`` tells how many it does).
    """
    sweep = params.sweeps()[kind]
    if n_configs is None:
        n_configs = sweep.most_configs
    return tuple(plan_config(params, kind, index) for index in range(n_configs * len(sweep.scales)))


def plan_config(params: Params, kind: SweepKind, index: int) -> PlannedConfig:
    """Return the config at ``index`` of a sweep."""
    sweep = params.sweeps()[kind]
    replicate, position = divmod(index, len(sweep.scales))
    n_visitors = sweep.scales[position]
    seed = _seed(sweep.master_seed, kind, replicate, n_visitors)
    knobs = make_family(sweep.generator_family, params).draw_knobs(seed, replicate)
    key = fit_key(params, sweep, seed=seed, n_visitors=n_visitors, knobs=knobs)
    return PlannedConfig(
        index=index,
        replicate=replicate,
        seed=seed,
        n_visitors=n_visitors,
        generator_family=sweep.generator_family,
        template=str(knobs.get("template", sweep.generator_family)),
        knobs=MappingProxyType(dict(knobs)),
        key=key,
        config_id=make_config_id(index, key),
    )


def _order(n_configs: int, scales: Sequence[int]) -> Iterator[tuple[int, int]]:
    return ((replicate, scale) for replicate in range(n_configs) for scale in scales)


def _seed(master_seed: int, kind: SweepKind, replicate: int, scale: int) -> int:
    sequence = np.random.SeedSequence(master_seed, spawn_key=(KIND_CODES[kind], replicate, scale))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(11))

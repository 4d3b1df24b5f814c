"""The plan of a sweep is pure: the same values give the same configs, in an order that only grows."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from sbcflow.params import Params, parse
from sbcflow.sweep.plan import config_seeds, plan_sweep

ROOT = Path(__file__).parents[2]


def _params(**train: Any) -> Params:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["train_sweep"].update(train)
    return parse(values)


def test_a_larger_sweep_only_appends() -> None:
    few, more = (plan_sweep(_params(n_configs=n, scales=[500, 2000]), "train") for n in (4, 7))
    assert more[: len(few)] == few
    assert [config.index for config in more] == list(range(14))


def test_order_is_replicate_major() -> None:
    plan = plan_sweep(_params(n_configs=2, scales=[500, 2000]), "train")
    assert [(c.replicate, c.n_visitors) for c in plan] == [(0, 500), (0, 2000), (1, 500), (1, 2000)]


def test_templates_are_taken_in_turn() -> None:
    plan = plan_sweep(_params(n_configs=9), "train")
    assert [config.template for config in plan][:3] == ["constant", "reversal", "sparse_benefit"]
    assert plan[8].template == plan[0].template


def test_seeds_fit_a_json_double_and_are_those_of_the_public_function() -> None:
    params = _params(n_configs=6, scales=[500, 2000])
    sweep = params.train_sweep
    seeds = [config.seed for config in plan_sweep(params, "train")]
    assert seeds == list(config_seeds(sweep.master_seed, "train", sweep.n_configs, sweep.scales))
    assert all(0 <= seed < 2**53 and int(float(seed)) == seed for seed in seeds)
    assert json.loads(json.dumps(seeds)) == seeds


def test_seeds_never_meet_across_kinds_seeds_and_scales() -> None:
    streams = [
        config_seeds(master, kind, 500, (500, 2000)) for master in (1, 2) for kind in ("train", "test")
    ]
    every = [seed for stream in streams for seed in stream]
    assert len(set(every)) == len(every)


def test_seeds_are_pinned() -> None:
    """A change of the streams would silently change every published sweep."""
    assert config_seeds(20260527, "train", 2, (20000,)) == (239885807698676, 5801163512992092)


def test_plans_of_50_are_quick() -> None:
    params = _params(n_configs=50)
    plan_sweep(params, "train")
    start = time.perf_counter()
    plan_sweep(params, "train")
    assert time.perf_counter() - start < 1.0


def test_planning_imports_no_jax() -> None:
    code = (
        "import sys; from sbcflow.params import load; from sbcflow.sweep.plan import plan_sweep\n"
        "params = load()\n"
        "[plan_sweep(params, kind) for kind in params.sweeps()]\n"
        "sys.exit(any(name in sys.modules for name in ('jax', 'numpyro', 'dvc', 'snakemake')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

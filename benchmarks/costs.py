"""Fit a model of a sweep's seconds to some sweeps and hold it against others: costs.py

    seconds = start + jobs x job + fits x (fixed + slope x visitors) + fits by NUTS / cores x nuts

Jobs and fits are those that the busiest core does, one after another, by how the default profile cuts a
sweep; a fit with no other beside it counts as ALONE fits. Every sweep runs in one fresh clone as a user runs
it, with nothing compiled. The coefficients are fitted to FITTED by least squares of relative errors, none
of them below zero. Figures go to results/costs-<machine>.json.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.optimize
import yaml
from machine import describe_machine, environment, results_path
from numpy.typing import NDArray

from sbcflow.params import SweepSettings, load
from sbcflow.sweep.batch import BatchSettings

ROOT = Path(__file__).resolve().parents[1]
N_CORES = len(os.sched_getaffinity(0))
# Configs and visitors.
FITTED = (
    (1, 20_000),
    (10, 20_000),
    (50, 20_000),
    (100, 20_000),
    (200, 20_000),
    (24, 100_000),
    (1, 250_000),
    (10, 250_000),
    (4, 1_000_000),
    (6, 2_000_000),
)
PREDICTED = ((30, 50_000), (16, 500_000), (3, 2_000_000))
# Seconds of a fit alone over those beside another: 250,000 visitors in scale.py and sweeps.py.
ALONE = 0.63
COEFFICIENTS = "start", "job", "fixed", "slope", "nuts"

Row = dict[str, float]


def main() -> None:
    """Run all sweeps, fit the model, and keep what it says of each."""
    with tempfile.TemporaryDirectory() as clone:
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        fitted, predicted = ([measure(Path(clone), *size) for size in sizes] for sizes in (FITTED, PREDICTED))
    coefficients = fit(fitted)
    found = {
        "machine": describe_machine(),
        "coefficients": dict(zip(COEFFICIENTS, coefficients, strict=True)),
    }
    for name, rows in (("fitted", fitted), ("predicted", predicted)):
        said = (design(rows) @ coefficients).tolist()
        found[name] = [row | {"predicted": seconds} for row, seconds in zip(rows, said, strict=True)]
    results_path("costs").write_text(json.dumps(found, indent=1) + "\n")


def measure(clone: Path, n_configs: int, n_visitors: int) -> Row:
    """Return the seconds of a sweep from nothing, and what the model wants to know of it."""
    run_id = f"costs-{n_configs}-{n_visitors}"
    values = {
        "train_sweep": {"id": run_id, "n_configs": n_configs, "scales": [n_visitors]},
        "test_sweep": {"trained_correction_from": run_id},
    }
    Path(clone, "costs.yaml").write_text(yaml.safe_dump(values))
    with tempfile.TemporaryDirectory() as cache:
        own = {"SBCFLOW_COMPILATION_CACHE": cache, "PYTHONPATH": f"{clone}/src"}
        env = environment("JAX_", "SNAKEMAKE_", **own)
        subprocess.run(["sbcflow", "params", "apply", "costs.yaml"], cwd=clone, env=env, check=True)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        started = time.perf_counter()
        subprocess.run(["snakemake", "train_sweep"], cwd=clone, env=env, check=True, **quiet)
        seconds = time.perf_counter() - started
    found = Path(clone, "runs", run_id).glob("configs/*/summary.json")
    summaries = [json.loads(path.read_text()) for path in found]
    jobs, fits = in_turn(load(clone / "params.yaml").train_sweep)
    row = {
        "configs": len(summaries),
        "visitors": n_visitors,
        "jobs": jobs,
        "fits": fits,
        "by_nuts": sum(one["diagnostics"]["escalated"] for one in summaries),
        "seconds": seconds,
    }
    print(json.dumps(row), flush=True)
    return row


def in_turn(sweep: SweepSettings) -> tuple[int, float]:
    """Return how many jobs, and how many fits, the busiest core does."""
    size = BatchSettings(parallel_fits=N_CORES).size(sweep)
    busy = [0] * N_CORES
    for first in range(0, sweep.n_configs, size):
        busy[busy.index(min(busy))] += min(size, sweep.n_configs - first)
    alone = max(busy) - sorted(busy)[-2] if N_CORES > 1 else 0
    return math.ceil(math.ceil(sweep.n_configs / size) / N_CORES), max(busy) - (1 - ALONE) * alone


def design(rows: list[Row]) -> NDArray[np.float64]:
    """Return what the coefficients are multiplied with (n_rows, 5)."""
    return np.array(
        [(1, r["jobs"], r["fits"], r["fits"] * r["visitors"], r["by_nuts"] / N_CORES) for r in rows],
        dtype=np.float64,
    )


def fit(rows: list[Row]) -> NDArray[np.float64]:
    """Return the coefficients (5,)."""
    seconds = np.array([row["seconds"] for row in rows])
    coefficients, _ = scipy.optimize.nnls(design(rows) / seconds[:, None], np.ones(len(rows)))
    return coefficients


if __name__ == "__main__":
    main()

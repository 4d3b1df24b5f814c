"""Time and weigh one fit against its visitors, and NUTS as the reference: scale.py [--quick]

Every size has a process of its own and nothing compiled; its start and its first fit, which compiles, are
counted apart. Figures go to results/scale-<machine>.json; performance.py makes docs/performance.md of them.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from machine import describe_machine, environment, results_path

if TYPE_CHECKING:
    from sbcflow.data import Simulation

ROOT = Path(__file__).resolve().parents[1]
# A config of the pilot's train sweep, whose Laplace fit holds at every size; of the template reversal.
INDEX = 1
SIZES = {2_000: 5, 20_000: 5, 100_000: 5, 250_000: 5, 1_000_000: 3, 2_000_000: 3}
NUTS_CASE = "nuts-20000-3-500"


def main() -> None:
    """Run every size in a process of its own, and keep what they print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two sizes, to see that it runs; keeps nothing")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        method, *numbers = arguments.case.split("-")
        print(json.dumps(measure(method, *map(int, numbers))))
        return
    sizes = dict(list(SIZES.items())[:2]) if arguments.quick else SIZES
    cases = [f"laplace-{n}-{repeats}" for n, repeats in sizes.items()]
    rows = [run(case) for case in (*cases, NUTS_CASE)]
    if arguments.quick:
        return
    found = {"machine": describe_machine(), "product_gflops": product_rate(), "rows": rows}
    results_path("scale").write_text(json.dumps(found, indent=1) + "\n")


def run(case: str) -> dict[str, Any]:
    """Return the figures of one case."""
    with tempfile.TemporaryDirectory() as cache:
        done = subprocess.run(
            [sys.executable, __file__, "--case", case],
            env=environment("JAX_", SBCFLOW_COMPILATION_CACHE=cache),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            cwd=ROOT,
        )
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(row), flush=True)
    return row


def measure(method: str, n_visitors: int, repeats: int, n_draws: int = 0) -> dict[str, Any]:
    """Return the seconds of each fit, and the peak memory of this process; ``n_draws`` a chain of NUTS."""
    began = time.perf_counter()
    from sbcflow.runtime import configure

    configure()
    from sbcflow.estimators.hurdle import HurdleEstimator
    from sbcflow.generators import make_family
    from sbcflow.params import load
    from sbcflow.sweep.plan import plan_config

    imported = time.perf_counter() - began
    params = load(ROOT / "params.yaml")
    n_draws = n_draws or params.inference.nuts.n_samples
    nuts = params.inference.nuts.model_copy(update={"n_samples": n_draws})
    inference = params.inference.model_copy(update={"method": method, "khat_limit": 1e9, "nuts": nuts})
    sweep = params.train_sweep.model_copy(update={"scales": (n_visitors,)})
    params = params.model_copy(update={"inference": inference, "train_sweep": sweep})
    planned = plan_config(params, "train", INDEX)
    started = time.perf_counter()
    family = make_family("v2", params)
    simulation = family.simulate(planned.seed, planned.knobs, n_visitors, params.scoring.n_test)
    simulated = time.perf_counter() - started
    seconds = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        posterior = HurdleEstimator(params.model, inference).fit(simulation.trial, planned.seed)
        seconds.append(time.perf_counter() - started)
    diagnostics = posterior.diagnostics()
    return {
        "method": method if method == "laplace" else f"nuts, 4 x {n_draws}",
        "n_visitors": n_visitors,
        "n_converted": int(simulation.trial.converted.sum()),
        "n_columns": posterior.basis.structure.n_columns,
        "import_seconds": imported,
        "simulate_seconds": simulated,
        "first_seconds": seconds[0],
        "fit_seconds": seconds[1:],
        "n_passes": diagnostics["n_newton"],
        "ess": [diagnostics["ess_conversion"], diagnostics["ess_severity"]],
        "data_mib": size_of(simulation) / 2**20,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def size_of(simulation: Simulation) -> int:
    """Return the bytes of a trial and of its visitors' truths."""
    trial = simulation.trial
    arrays = trial.covariates.values, trial.arm, trial.converted, trial.revenue, simulation.visitor_cate
    return sum(array.nbytes for array in arrays)


def product_rate(n: int = 1024) -> float:
    """Return the GFLOP/s of one core in a float32 product of two n x n matrices."""
    code = f"""
import os
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
import time, numpy as np
a = np.ones(({n}, {n}), dtype=np.float32)
best = min((lambda s: (a @ a, time.perf_counter() - s)[1])(time.perf_counter()) for _ in range(30))
print(2 * {n}**3 / best / 1e9)
"""
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout)


if __name__ == "__main__":
    main()

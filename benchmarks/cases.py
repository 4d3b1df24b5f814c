"""What `run.py` times, each in a process of its own: python benchmarks/cases.py NAME prints one JSON object.

Everything is seeded by params.yaml, so two runs do the same work. Fits are of one config whose Laplace
approximation holds, and never go to NUTS, whatever their k-hat; ``fit_nuts`` times that way instead.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sbcflow.params import Params

ROOT = Path(__file__).resolve().parents[1]
Figures = dict[str, float]
# A config of the train sweep: 540 of 20,000 visitors convert.
INDEX = 3


def import_package() -> Figures:
    """The package alone, and the command line."""
    started = time.perf_counter()
    import sbcflow

    package = time.perf_counter()
    import sbcflow.cli  # noqa: F401

    return {"seconds": package - started, "cli_seconds": time.perf_counter() - package}


def plan() -> Figures:
    """The plan of 50 configs, as Snakemake makes it whenever it parses the workflow."""
    started = time.perf_counter()
    from sbcflow.sweep.plan import plan_sweep

    params = _params(n_configs=50, n_visitors=250_000)
    imported = time.perf_counter()
    assert len(plan_sweep(params, "train")) == 50
    return {"seconds": time.perf_counter() - imported, "import_seconds": imported - started}


def simulate() -> Figures:
    """One trial of the family v2 with 250,000 visitors, truths included; the second in its process."""
    from sbcflow.generators import make_family

    params = _params(n_configs=1, n_visitors=250_000)
    family = make_family("v2", params)
    knobs = family.draw_knobs(params.train_sweep.master_seed, 0)

    def once() -> None:
        family.simulate(params.train_sweep.master_seed, knobs, 250_000, params.scoring.n_test)

    return {"first_seconds": _seconds(once), "seconds": _seconds(once)}


def fit_small() -> Figures:
    """One job of a sweep at 20,000 visitors: simulate, fit, score, write; the second in its process."""
    return _fit(20_000, repeats=2)


def fit_large() -> Figures:
    """The same at 250,000 visitors."""
    return _fit(250_000, repeats=2)


def fit_nuts() -> Figures:
    """The same at 20,000 visitors by NUTS, which a fit goes to where Laplace does not hold."""
    return _fit(20_000, repeats=1, method="nuts")


def job() -> Figures:
    """One job of a sweep at 20,000 visitors in a fresh process, whose caller times it whole."""
    return _fit(20_000, repeats=1)


def _fit(n_visitors: int, repeats: int, method: str = "laplace") -> Figures:
    from sbcflow.runtime import configure

    configure()
    from sbcflow.files import read_json
    from sbcflow.sweep.fit import fit_config

    params = _params(n_configs=INDEX + 1, n_visitors=n_visitors, method=method)
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for turn in range(repeats):
            shutil.rmtree("runs", ignore_errors=True)
            key = "first_seconds" if turn == 0 and repeats > 1 else "seconds"
            figures[key] = _seconds(lambda: fit_config(params, "train", INDEX))
        summary = read_json(next(Path("runs").glob("*/configs/*/summary.json")))
        os.chdir(ROOT)
    parts = ("simulate_seconds", "fit_seconds", "predict_seconds")
    diagnostics = summary["diagnostics"]
    assert method == "nuts" or not diagnostics["escalated"], (
        "the search did not converge; time another config"
    )
    figures |= {name: summary["timings"][name] for name in parts}
    return figures | {"converted": diagnostics["n_converted"]}


def _params(n_configs: int, n_visitors: int, method: str = "laplace") -> Params:
    from sbcflow.params import load

    params = load(ROOT / "params.yaml")
    sweep = params.train_sweep.model_copy(update={"n_configs": n_configs, "scales": (n_visitors,)})
    inference = params.inference.model_copy(update={"method": method, "khat_limit": 1e9})
    return params.model_copy(update={"train_sweep": sweep, "inference": inference})


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


CASES = {
    case.__name__: case for case in (import_package, plan, simulate, fit_small, fit_large, fit_nuts, job)
}

if __name__ == "__main__":
    found = CASES[sys.argv[1]]()
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found))

"""Time whole sweeps as a user runs them: sweeps.py [pilot] [production]

Each RUNS times in fresh clones of this repository's commit, on the libraries that are installed, with nothing
compiled and then again from nothing but compiled programs. Figures go to results/sweeps-<machine>.json, where
those of a sweep that is not named stay.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe_machine, environment, results_path

ROOT = Path(__file__).resolve().parents[1]
N_CORES = len(os.sched_getaffinity(0))
RUNS = 2
SWEEPS = {
    "pilot": ("params.yaml", ("dvc", "repro"), ("pilot-train", "pilot-test")),
    "production": ("config/production.yaml", ("dvc", "repro", "train_sweep"), ("prod-train",)),
}


def main() -> None:
    """Run the sweeps that the command line names, or both."""
    names = sys.argv[1:] or list(SWEEPS)
    path = results_path("sweeps")
    former = json.loads(path.read_text())["rows"] if path.exists() else []
    rows = [row for row in former if row["sweep"] not in names]
    for name in [name for name in names for _ in range(RUNS)]:
        with tempfile.TemporaryDirectory() as cache:
            rows += [measure(name, cache, compiled) for compiled in (False, True)]
    found = {"machine": describe_machine(), "rows": rows}
    path.write_text(json.dumps(found, indent=1) + "\n")


def measure(name: str, cache: str, compiled: bool) -> dict[str, object]:
    """Return the seconds of a sweep, and those of its fits."""
    scenario, command, runs = SWEEPS[name]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["git", "clone", "--quiet", ROOT, folder], check=True)
        own = {"SBCFLOW_COMPILATION_CACHE": cache, "PYTHONPATH": f"{folder}/src"}
        env = environment("JAX_", "SNAKEMAKE_", **own)
        if scenario != "params.yaml":
            subprocess.run(["sbcflow", "params", "apply", scenario], cwd=folder, env=env, check=True)
        started = time.perf_counter()
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command, cwd=folder, env=env, check=True, **quiet)
        wall = time.perf_counter() - started
        summaries = [
            json.loads(path.read_text())
            for run in runs
            for path in Path(folder, "runs", run).glob("configs/*/summary.json")
        ]
    inside = sum(one["execution"]["ended"] - one["execution"]["started"] for one in summaries)
    row = {
        "sweep": name,
        "programs": "compiled before" if compiled else "nothing compiled",
        "seconds": wall,
        "configs": len(summaries),
        "fit_seconds": sum(one["timings"]["fit_seconds"] for one in summaries),
        "config_seconds": inside,
        "escalated": sum(one["diagnostics"]["escalated"] for one in summaries),
        "orchestration_share": 1 - inside / (wall * N_CORES),
    }
    print(json.dumps(row), flush=True)
    return row


if __name__ == "__main__":
    main()

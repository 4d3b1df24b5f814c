"""Time what is around the fits of a sweep: python benchmarks/orchestration.py [--quick]

Fits that take no time (tests/difference_estimator.py) go through Snakemake on 2 cores, and through a plain
loop in one process beside it; then the workflow is parsed and planned, and summaries are gathered. Figures
are no test: they depend on the machine and on what else it does.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from machine import describe_machine

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from workflow_project import Project, make_project  # noqa: E402

TIMEOUT = 3600

LOOP = """\
from sbcflow.runtime import configure
configure()
from sbcflow.params import load
from sbcflow.sweep.fit import fit_config
params = load()
for index in range(params.train_sweep.n_configs):
    fit_config(params, "train", index)
"""

# Summaries of every planned config, each as the first fit's but for its name, its key and its seed.
SUMMARIES = """\
from sbcflow.params import load
from sbcflow.sweep.fit import fit_config
from sbcflow.sweep.layout import summary_path
from sbcflow.sweep.plan import plan_sweep
from sbcflow.sweep.summary import write_summary
from sbcflow.files import read_json
from sbcflow import files
files.os.fsync = lambda _: None
params = load()
first = read_json(fit_config(params, "train", 0))
del first["seal"]
for one in plan_sweep(params, "train"):
    config = {**first["config"], "index": one.index, "seed": one.seed}
    write_summary(summary_path(params.train_sweep.id, one.config_id), {**first, "config_id": one.config_id,
        "key": one.key, "config": config})
"""

GATHER = """\
import json, resource, time
from sbcflow.params import load
from sbcflow.sweep.gather import gather_sweep
params = load()
started = time.perf_counter()
gather_sweep(params, "train")
seconds = time.perf_counter() - started
peaks = [resource.getrusage(who).ru_maxrss / 1024 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps({"seconds": seconds, "mib": peaks}))
"""


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, to see that it runs")
    share = 10 if parser.parse_args().quick else 1
    print(f"{describe_machine()}\n\n| what | seconds | of which |\n|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        project = make_project(Path(folder), Path(folder, "compiled"))
        project.use_difference_estimator()
        fits(project, 500 // share)
        plans(project, 5000 // share)
        gather(project, 10_000 // share)


def fits(project: Project, n_configs: int) -> None:
    """Time the same fits in a loop and through Snakemake, with one config a job and with many."""
    loop = sweep(project, n_configs, [sys.executable, "-c", LOOP])
    show(f"{n_configs} fits in a loop, one process", loop, f"{loop / n_configs:.3f} a config")
    for size in (1, 10, 50):
        command = ["snakemake", "--cores", "2", "--quiet", "all", "--config", f"configs_per_job={size}"]
        seconds = sweep(project, n_configs, [*command, "--", "train_sweep"])
        around = (seconds - loop / 2) / n_configs
        show(
            f"{n_configs} fits through Snakemake on 2 cores, {size} a job",
            seconds,
            f"{seconds / n_configs:.3f} a config, {around:.3f} more than half the loop's",
        )


def sweep(project: Project, n_configs: int, command: list[str]) -> float:
    """Return the seconds that a command takes to fit a sweep of which nothing is there."""
    set_size(project, n_configs)
    return timed(project, command)


def plans(project: Project, n_configs: int) -> None:
    """Time the parsing and planning of a large sweep."""
    for size in (1, 50):
        set_size(project, n_configs)
        command = ["snakemake", "--dry-run", "--quiet", "all", "--config", f"configs_per_job={size}"]
        seconds = timed(project, [*command, "--", "train_sweep"])
        show(f"dry run of {n_configs:,} configs, {size} a job", seconds, "parse, plan and order the jobs")


def gather(project: Project, n_configs: int) -> None:
    """Time a gather, and its peak memory with and without DVCLive's own process."""
    set_size(project, n_configs)
    timed(project, [sys.executable, "-c", SUMMARIES])
    figures = json.loads(project.run(sys.executable, "-c", GATHER).stdout.splitlines()[-1])
    own, child = figures["mib"]
    show(
        f"gather of {n_configs:,} summaries",
        figures["seconds"],
        f"peak {own:.0f} MiB, DVCLive's process {child:.0f}",
    )


def set_size(project: Project, n_configs: int) -> None:
    """Make the train sweep one of so many configs, none of which is fitted."""
    project.set_param("train_sweep.n_configs", n_configs)
    for name in ("runs", "logs"):
        shutil.rmtree(project.path / name, ignore_errors=True)


def timed(project: Project, command: list[str]) -> float:
    """Return the seconds of a command's whole process."""
    started = time.perf_counter()
    subprocess.run(
        command,
        cwd=project.path,
        env=project.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=TIMEOUT,
        check=True,
    )
    return time.perf_counter() - started


def show(what: str, seconds: float, note: str) -> None:
    """Print a row."""
    print(f"| {what} | {seconds:.3g} | {note} |", flush=True)


if __name__ == "__main__":
    os.environ["DVC_NO_ANALYTICS"] = "1"
    main()

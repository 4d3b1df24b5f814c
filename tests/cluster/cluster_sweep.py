"""A sweep that runs on the test Slurm, its head in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd
from slurm import cancel, jobs

from workflow_project import Project

N_CONFIGS = 6
CONFIGS_PER_JOB = 3
DEADLINE = 300.0
HEAD = (
    *("snakemake", "--profile", "slurm", "--slurm-init-seconds-before-status-checks", "1"),
    *("--config", f"configs_per_job={CONFIGS_PER_JOB}"),
)
TRAIN = "runs/smoke-train"


def wait_for(condition: Callable[[], object], what: str) -> None:
    """Wait until ``condition`` holds; a test that waits in vain fails with ``what``."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain: {what}"
        time.sleep(0.1)


@dataclass
class ClusterSweep:
    """The train sweep of a project on Slurm; see difference_estimator.py for how its fits are held."""

    project: Project
    heads: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, *options: str) -> None:
        """Start snakemake on the cluster, in the background."""
        log = (self.project.path / f"head-{len(self.heads)}.log").open("wb")
        with log:
            command = [*HEAD, *options, "--", "train_sweep"]
            self.heads.append(
                subprocess.Popen(
                    command,
                    cwd=self.project.path,
                    env=self.project.env,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def hold(self, after: int, megabytes: int = 0) -> None:
        """Let ``after`` fits get done; the next waits, with so much memory taken."""
        (self.project.path / "hold").write_text(f"{after} {megabytes}\n")

    def release(self) -> None:
        """Let fits go on."""
        (self.project.path / "hold").unlink()

    def wait_until_held(self, after: int) -> str:
        """Wait until ``after`` fits are done and the next one waits; return its Slurm job."""
        wait_for(
            lambda: len(self.begun()) == after + 1 and self.n_done() == after, f"{after} fits and a held one"
        )
        return next(job["id"] for job in jobs() if job["state"] == "RUNNING" and job["partition"] == "gpu")

    def begun(self) -> list[str]:
        """Return the seeds of all fits that began, in order."""
        path = self.project.path / "fits.log"
        return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []

    def n_done(self) -> int:
        """Return how many fits are done."""
        return len(list(self.project.path.glob(f"{TRAIN}/configs/*/summary.json")))

    def finish(self) -> str:
        """Wait for the last head to end well; return what it said."""
        head = self.heads[-1]
        wait_for(lambda: head.poll() is not None, "the head's end")
        said = self.said()
        assert head.returncode == 0, said
        return said

    def said(self) -> str:
        """Return what the last head has said so far."""
        return self.project.text(f"head-{len(self.heads) - 1}.log")

    def kill_head(self) -> None:
        """Kill the last head, as a machine that loses its power would; its Slurm jobs live on."""
        os.killpg(self.heads[-1].pid, signal.SIGKILL)
        self.heads[-1].wait()

    def table(self) -> str:
        """Return the gathered table, less how long each fit took."""
        table = pd.read_csv(self.project.path / TRAIN / "aggregate.csv", dtype=str)
        return table.drop(columns="wall_seconds").to_csv(index=False)

    def n_refitted(self) -> int:
        """Return how many fits began more than once."""
        return len(self.begun()) - len(set(self.begun()))

    def stop(self) -> None:
        """Leave nothing running: neither heads nor jobs."""
        for head in self.heads:
            if head.poll() is None:
                os.killpg(head.pid, signal.SIGKILL)
                head.wait()
        for job in jobs():
            if job["state"] in ("PENDING", "RUNNING"):
                cancel(job["id"])

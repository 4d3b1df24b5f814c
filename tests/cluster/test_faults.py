"""What goes wrong on a cluster costs the fit in flight, and never changes the table.

Each test holds a fit, does something to it, and lets it go; fits that were written are never fitted again.
"""

from __future__ import annotations

import pytest
from cluster_sweep import N_CONFIGS, ClusterSweep, wait_for
from slurm import cancel, jobs, node_down, node_up

pytestmark = pytest.mark.slurm

DONE = 2


def _state(job_id: str) -> str:
    return next(job["state"] for job in jobs() if job["id"] == job_id)


def _check(sweep: ClusterSweep, expected: str, *, refitted: int) -> None:
    """The sweep ended with the right table, having fitted again the fit in flight at most."""
    assert sweep.table() == expected
    assert len(set(sweep.begun())) == N_CONFIGS
    print(f"refitted: {sweep.n_refitted()} of {N_CONFIGS}")
    assert sweep.n_refitted() == refitted


def test_a_cancelled_job_is_tried_again(sweep: ClusterSweep, expected: str) -> None:
    sweep.hold(DONE)
    sweep.start()
    cancel(sweep.wait_until_held(DONE))
    sweep.release()
    assert "Trying to restart job" in sweep.finish()
    _check(sweep, expected, refitted=1)


def test_a_node_that_goes_down_and_comes_back(sweep: ClusterSweep, expected: str) -> None:
    sweep.hold(DONE)
    sweep.start()
    job = sweep.wait_until_held(DONE)
    node_down()
    wait_for(lambda: _state(job) != "RUNNING", "the job off the node")
    node_up()
    sweep.release()
    sweep.finish()
    _check(sweep, expected, refitted=1)


def test_a_job_over_its_time(sweep: ClusterSweep, expected: str) -> None:
    sweep.hold(DONE)
    sweep.start("--set-resources", "fit:runtime=1", "fit:slurm_partition=gpu")
    job = sweep.wait_until_held(DONE)
    wait_for(lambda: _state(job) == "TIMEOUT", "the end of the job's minute")
    sweep.release()
    assert "Trying to restart job" in sweep.finish()
    _check(sweep, expected, refitted=1)


def test_a_job_out_of_memory(sweep: ClusterSweep, expected: str) -> None:
    sweep.hold(DONE, megabytes=2000)
    sweep.start("--set-resources", "fit:mem_mb=1500*attempt", "fit:slurm_partition=gpu")
    wait_for(lambda: any(job["state"] == "FAILED" for job in jobs()), "a job killed for its memory")
    sweep.release()
    assert "Trying to restart job" in sweep.finish()
    _check(sweep, expected, refitted=1)


def test_a_head_that_is_killed_and_started_again(sweep: ClusterSweep, expected: str) -> None:
    """Its jobs live on: the new head's wait for the GPU, and find the fits there."""
    sweep.hold(DONE)
    sweep.start()
    sweep.wait_until_held(DONE)
    sweep.kill_head()
    sweep.start()
    wait_for(lambda: "has been submitted" in sweep.said(), "the new head's job")
    sweep.release()
    sweep.finish()
    _check(sweep, expected, refitted=0)

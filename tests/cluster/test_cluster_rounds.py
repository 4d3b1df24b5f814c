"""A sweep to a precision on the cluster: fits on GPUs, a look after each round, a workstation's table."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from cluster_sweep import TRAIN, ClusterSweep, wait_for
from slurm import jobs

from workflow_project import Project

pytestmark = pytest.mark.slurm

TARGET = "{level: 0.5, half_width: 0.3, max_configs: 6}"


def to_a_precision(project: Project) -> ClusterSweep:
    """Return the train sweep of a project, made one that ends where its fits say."""
    project.set_param("generators.v2.templates", "[constant, reversal]")
    project.set_param("train_sweep.precision", TARGET)
    project.commit("to a precision")
    return ClusterSweep(project)


@pytest.fixture(scope="module")
def alone(held: Callable[[], Project]) -> ClusterSweep:
    """The same sweep, made on this machine alone."""
    sweep = to_a_precision(held())
    sweep.project.snakemake("train_sweep")
    return sweep


def test_a_killed_head_goes_on_in_its_round(sweep: ClusterSweep, alone: ClusterSweep) -> None:
    """One story: the second round is cut off and begun again; no fit is lost, and the looks are the same."""
    sizes = _looks(alone)
    assert len(sizes) == 2
    to_a_precision(sweep.project)
    former = {job["id"] for job in jobs()}
    sweep.hold(sizes[0] + 1)
    sweep.start()
    sweep.wait_until_held(sizes[0] + 1)
    sweep.kill_head()
    sweep.start()
    wait_for(lambda: "has been submitted" in sweep.said(), "the new head's job")
    sweep.release()
    sweep.finish()
    assert _looks(sweep) == sizes
    assert sweep.table() == alone.table()
    assert sweep.n_refitted() == 0
    ran = {(job["comment"].split("_")[1], job["partition"]) for job in jobs() if job["id"] not in former}
    assert ran == {("fit", "gpu"), ("look", "cpu"), ("gather", "cpu")}


def _looks(sweep: ClusterSweep) -> list[int]:
    manifest = json.loads(sweep.project.text(f"{TRAIN}/manifest.json"))
    looks: list[int] = manifest["pytyche"]["sbcflow"]["precision"]["looks"]
    return looks

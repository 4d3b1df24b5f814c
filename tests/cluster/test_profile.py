"""The profile: the sweep runs on the cluster, one fit a GPU, and gives the table of a workstation."""

from __future__ import annotations

import itertools
import json

import pytest
from cluster_sweep import TRAIN, ClusterSweep
from slurm import jobs

from workflow_project import Project

pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("slurm")]

N_TRAIN = 3
# The smoke scenario has too few draws for NUTS to converge.
CONVERGING = "{n_warmup: 200, n_samples: 600, max_tree_depth: 4}"


def test_a_cluster_gives_the_table_of_a_workstation(project: Project, reproduced: Project) -> None:
    """One story: DVC's stage on the cluster, then the profile alone, which finds every fit there."""
    former = _ids()
    chosen = {"SNAKEMAKE_PROFILE": "slurm", "SBCFLOW_CONFIGS_PER_JOB": "1"}
    project.run("dvc", "repro", "train_sweep", **chosen)
    _check_jobs([job for job in jobs() if job["id"] not in former])
    _check_executions(project, _ids() - former)
    assert ClusterSweep(project).table() == ClusterSweep(reproduced).table()
    assert "up to date" in project.run("dvc", "status", "train_sweep").stdout

    former = _ids()
    project.run("snakemake", "--profile", "slurm", "--", "train_sweep")
    assert [job["partition"] for job in jobs() if job["id"] not in former] == ["cpu"]


def _ids() -> set[str]:
    return {job["id"] for job in jobs()}


def _check_jobs(ran: list[dict[str, str]]) -> None:
    """Each config was a job of the GPU partition, and the gather one of the CPU partition."""
    assert {job["state"] for job in ran} == {"COMPLETED"}
    partitions = sorted((job["comment"].split("_")[1], job["partition"]) for job in ran)
    assert partitions == [("fit", "gpu")] * N_TRAIN + [("gather", "cpu")]


def _check_executions(project: Project, ran: set[str]) -> None:
    """Fits ran in those jobs, on the one GPU there is, and never two at once."""
    summaries = [
        json.loads(path.read_text()) for path in project.path.glob(f"{TRAIN}/configs/*/summary.json")
    ]
    runs = sorted((summary["execution"] for summary in summaries), key=lambda run: run["started"])
    assert len(runs) == N_TRAIN
    assert {run["slurm_job"] for run in runs} < ran
    assert {run["visible_gpus"] for run in runs} == {"0"}
    assert all(former["ended"] <= later["started"] for former, later in itertools.pairwise(runs))
    manifest = json.loads(project.text(f"{TRAIN}/manifest.json"))
    assert manifest["pytyche"]["sbcflow"]["execution"]["hosts"] == {runs[0]["host"]: N_TRAIN}


def test_an_audit_fits_again_on_the_gpu(project: Project) -> None:
    project.set_param("inference.nuts", CONVERGING)
    project.repro("test_sweep")
    former = _ids()
    project.run("snakemake", "--profile", "slurm", "--config", "configs_per_job=1", "--", "audit")
    ran = [job for job in jobs() if job["id"] not in former]
    assert {job["state"] for job in ran} == {"COMPLETED"}
    audits = sorted((job["comment"], job["partition"]) for job in ran if "_audit_" in job["comment"])
    assert [partition for _, partition in audits] == ["gpu", "gpu", "cpu"]
    assert json.loads(project.text("runs/smoke-test-audit/audit.json"))["n_fits"] > 0


def test_a_size_that_is_none_is_refused_before_anything_runs(project: Project) -> None:
    for size in ("0", "x"):
        done = project.run(
            "snakemake", "--profile", "slurm", "--", "train_sweep", check=False, SBCFLOW_CONFIGS_PER_JOB=size
        )
        assert done.returncode != 0
        assert (
            f"error: configs_per_job: must be an integer >= 1, got {size!r}".replace("'0'", "0")
            in done.stdout
        )
        assert not (project.path / "logs").exists()

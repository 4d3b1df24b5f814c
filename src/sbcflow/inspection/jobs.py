"""The fit jobs of a sweep, as their records tell, and what they know of configs without a summary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sbcflow.errors import ArtifactError
from sbcflow.sweep.job_record import JobRecord, read_job_record
from sbcflow.sweep.layout import fit_log_path, job_ids, job_record_path


class State(StrEnum):
    """Where a config is; each is in exactly one state.

    Unsound: its summary is there and cannot be believed. Running: a living job fits it now. Waiting: a
    living job will. Failed: its last fit did. Lost: the job that fitted it was killed. Missing: all else.
    """

    DONE = "done"
    RUNNING = "running"
    WAITING = "waiting"
    FAILED = "failed"
    LOST = "lost"
    UNSOUND = "unsound"
    MISSING = "missing"


@dataclass(frozen=True)
class Job:
    """A fit job, and whether it is alive or was killed; one that ended is neither."""

    record: JobRecord
    is_alive: bool
    is_lost: bool


@dataclass(frozen=True)
class Unfinished:
    """A config that is not done, the job that knows of it, if one does, and what is wrong, if anything."""

    config_id: str
    state: State
    job: JobRecord | None = None
    message: str | None = None

    def plain(self, run_id: str, now: float) -> dict[str, Any]:
        """Return it as JSON values; ``seconds``: for how long the fit has run."""
        content: dict[str, Any] = {"config_id": self.config_id, "state": str(self.state)}
        if self.job is not None:
            content |= {"job": self.job.batch_id, "host": self.job.host, "slurm_job": self.job.slurm_job}
            content |= {"log": str(fit_log_path(run_id, self.job.batch_id)), "updated": self.job.updated}
        if self.state is State.RUNNING:
            content["seconds"] = self.seconds(now)
        return content if self.message is None else {**content, "message": self.message}

    def seconds(self, now: float) -> float:
        """Return for how long its job has fitted it; clocks of two machines may differ a little."""
        since = self.job.fitting_since if self.job is not None else None
        return 0.0 if since is None else max(now - since, 0.0)


def read_jobs(run_id: str, now: float) -> tuple[list[Job], list[str]]:
    """Return the jobs of a sweep that have left a record, and which records are none."""
    jobs, problems = [], []
    for batch_id in job_ids(run_id):
        path = job_record_path(run_id, batch_id)
        try:
            record = read_job_record(path)
        except ArtifactError as error:
            problems.append(str(error))
            continue
        if record.batch_id != batch_id:
            problems.append(f"{path}: the record of another job, {record.batch_id}")
            continue
        is_lost = record.is_lost(now)
        jobs.append(Job(record, record.state == "running" and not is_lost, is_lost))
    return jobs, problems


def told_by(jobs: Sequence[Job]) -> dict[str, Unfinished]:
    """Return what jobs know of configs, by config id: a living job knows best, then the latest."""
    told: dict[str, Unfinished] = {}
    for job in sorted(jobs, key=lambda one: (one.is_alive, one.record.updated)):
        told |= {one.config_id: one for one in _told(job)}
    return told


def _told(job: Job) -> Iterator[Unfinished]:
    record = job.record
    if job.is_alive:
        yield from (Unfinished(one, State.WAITING, record) for one in record.to_fit)
    for config_id, message in record.failed.items():
        yield Unfinished(config_id, State.FAILED, record, message)
    if record.fitting is not None and (job.is_alive or job.is_lost):
        yield Unfinished(record.fitting, State.RUNNING if job.is_alive else State.LOST, record)

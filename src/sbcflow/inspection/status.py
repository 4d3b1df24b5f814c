"""How far a sweep is: its plan against the summaries and the records of jobs that are there."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sbcflow.inspection.fits import Fit, FitReader
from sbcflow.inspection.gathered import why_not_gathered
from sbcflow.inspection.jobs import Job, State, Unfinished, read_jobs, told_by
from sbcflow.inspection.sweeps import section_of
from sbcflow.params import Params, SweepKind
from sbcflow.sweep.plan import PlannedConfig
from sbcflow.sweep.progress import WINDOW, seconds_left
from sbcflow.sweep.rounds import Taken, describe_look, precision_of, taken_so_far

N_SLOWEST = 5


@dataclass(frozen=True)
class Host:
    """What one machine has done of a sweep, and how many fits run on it now."""

    host: str
    devices: tuple[str, ...]
    n_fits: int
    mean_seconds: float | None
    n_running: int
    cache_hits: int
    cache_misses: int
    compile_seconds: float


@dataclass(frozen=True)
class SweepStatus:
    """A sweep at the moment ``now`` (Unix seconds).

    Attributes:
        section, run_id: the sweep.
        fits: those that are done; unfinished: all other configs of the plan. Both in its order.
        jobs: those that have left a record, of this plan or another.
        not_gathered: why the sweep does not count as gathered, or None where it does.
        problems: records of jobs that cannot be read.
        precision: of a sweep to a precision how near it is; its plan is then that of the round it is in.
    """

    section: str
    run_id: str
    now: float
    fits: tuple[Fit, ...]
    unfinished: tuple[Unfinished, ...]
    jobs: tuple[Job, ...]
    not_gathered: str | None
    problems: tuple[str, ...]
    precision: str | None = None

    @property
    def n_configs(self) -> int:
        """The configs of the plan."""
        return len(self.fits) + len(self.unfinished)

    @property
    def counts(self) -> dict[State, int]:
        """How many configs are in each state."""
        found = Counter(one.state for one in self.unfinished)
        return {state: len(self.fits) if state is State.DONE else found[state] for state in State}

    @property
    def n_alive(self) -> int:
        """The jobs that run."""
        return sum(job.is_alive for job in self.jobs)

    @property
    def seconds_left(self) -> float | None:
        """The seconds until all is fitted at the pace of late, or None where nothing tells.

        From the times at which summaries say that their fits ended: a file that was touched or copied does
        not matter.
        """
        recent = sorted(self.fits, key=lambda fit: fit.ended)[-WINDOW:]
        longest = max((fit.seconds for fit in recent), default=0.0)
        return seconds_left([fit.ended for fit in recent], len(self.unfinished), longest)

    def of(self, state: State) -> list[Unfinished]:
        """Return the configs in a state other than done."""
        return [one for one in self.unfinished if one.state is state]

    def slowest(self) -> list[Fit]:
        """Return the fits that took longest."""
        return sorted(self.fits, key=lambda fit: -fit.seconds)[:N_SLOWEST]

    def hosts(self) -> list[Host]:
        """Return what each machine has done, by name."""
        running = Counter(one.job.host for one in self.of(State.RUNNING) if one.job is not None)
        names = sorted({fit.host for fit in self.fits} | running.keys())
        return [_host(name, [fit for fit in self.fits if fit.host == name], running[name]) for name in names]

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "section": self.section,
            "run_id": self.run_id,
            "now": self.now,
            "n_configs": self.n_configs,
            "counts": {str(state): n for state, n in self.counts.items()},
            "seconds_left": self.seconds_left,
            "gathered": self.not_gathered is None,
            "not_gathered": self.not_gathered,
            "n_jobs_alive": self.n_alive,
            "unfinished": [one.plain(self.run_id, self.now) for one in self.unfinished],
            "slowest": [fit.plain() for fit in self.slowest()],
            "hosts": [asdict(host) for host in self.hosts()],
            "problems": list(self.problems),
            **({} if self.precision is None else {"precision": self.precision}),
        }


def sweep_status(params: Params, kind: SweepKind, reader: FitReader | None = None) -> SweepStatus:
    """Return how far a sweep is; nothing is written.

    ``reader`` remembers summaries from one call to the next.
    """
    run_id, now = params.sweeps()[kind].id, time.time()
    # Jobs first: one that ends in between is then done, and not forgotten.
    jobs, problems = read_jobs(run_id, now)
    taken = taken_so_far(params, kind)
    plan = taken.plan
    fits, unsound = (reader or FitReader()).read(run_id, plan)
    return SweepStatus(
        section=section_of(kind),
        run_id=run_id,
        now=now,
        fits=tuple(fits[one.config_id] for one in plan if one.config_id in fits),
        unfinished=tuple(_unfinished(plan, fits, unsound, told_by(jobs))),
        jobs=tuple(jobs),
        not_gathered=why_not_gathered(run_id, plan),
        problems=tuple(problems),
        precision=_precision(params, kind, taken),
    )


def _precision(params: Params, kind: SweepKind, taken: Taken) -> str | None:
    """Say how near a sweep is to the precision that it is to reach; None of a sweep that has none."""
    precision = params.sweeps()[kind].precision
    if precision is None:
        return None
    if not taken.looks:
        wanted = f"{100 * precision.level:g}% coverage to +-{precision.half_width:g}"
        return f"{wanted}: first look at {len(taken.plan)} fits"
    last = taken.looks[-1]
    verdict = "reached" if last.reached else "missed at max_configs" if taken.is_decided else "not yet"
    return f"{verdict}: {describe_look(precision_of(params, kind), last)}"


def _unfinished(
    plan: Iterable[PlannedConfig],
    fits: Mapping[str, Fit],
    unsound: Mapping[str, str],
    told: Mapping[str, Unfinished],
) -> Iterable[Unfinished]:
    for config_id in (planned.config_id for planned in plan):
        if config_id in unsound:
            yield Unfinished(config_id, State.UNSOUND, message=unsound[config_id])
        elif config_id not in fits:
            yield told.get(config_id, Unfinished(config_id, State.MISSING))


def _host(name: str, fits: Sequence[Fit], n_running: int) -> Host:
    return Host(
        host=name,
        devices=tuple(sorted({fit.device for fit in fits})),
        n_fits=len(fits),
        mean_seconds=sum(fit.seconds for fit in fits) / len(fits) if fits else None,
        n_running=n_running,
        cache_hits=sum(fit.cache_hits for fit in fits),
        cache_misses=sum(fit.cache_misses for fit in fits),
        compile_seconds=sum(fit.compile_seconds for fit in fits),
    )

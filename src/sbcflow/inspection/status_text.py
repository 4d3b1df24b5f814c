"""The status of a sweep as text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sbcflow.inspection.fits import Fit
from sbcflow.inspection.jobs import State, Unfinished
from sbcflow.inspection.status import Host, SweepStatus
from sbcflow.inspection.text import INDENT, duration, printable, spans, table
from sbcflow.sweep.layout import fit_log_path, parse_config_id

MOST_LINES = 20


def render_status(status: SweepStatus) -> str:
    """Return the lines on one sweep."""
    blocks = [
        [_heading(status), _gathered(status)],
        [f"precision: {status.precision}"] if status.precision is not None else [],
        _running(status),
        _configs("waiting", status.of(State.WAITING)),
        _named("failed", status, State.FAILED),
        _named("lost", status, State.LOST),
        _named("unsound", status, State.UNSOUND),
        _configs("missing", status.of(State.MISSING)),
        _slowest(status.slowest()),
        _hosts(status.hosts()),
        [f"unreadable record of a job: {printable(problem)}" for problem in status.problems],
    ]
    return "\n".join(line for block in blocks for line in block) + "\n"


def _heading(status: SweepStatus) -> str:
    others = (f", {n} {state}" for state, n in status.counts.items() if n and state is not State.DONE)
    done = f"{status.counts[State.DONE]} of {status.n_configs} fits done"
    return f"{status.run_id} ({status.section}): {done}{''.join(others)}{_left(status)}"


def _left(status: SweepStatus) -> str:
    if not status.unfinished:
        return ""
    left = f"about {duration(status.seconds_left)} left" if status.seconds_left is not None else ""
    if status.n_alive:
        return f"; {left or 'too early to tell when'}"
    return f"; no job runs{f', {left} at the pace of late' if left else ''}"


def _gathered(status: SweepStatus) -> str:
    return f"gathered: {'yes' if status.not_gathered is None else f'no, {printable(status.not_gathered)}'}"


def _running(status: SweepStatus) -> list[str]:
    heading = ("running", "job", "host", "slurm", "seconds")
    rows = [
        (
            one.config_id,
            one.job.batch_id,
            one.job.host,
            one.job.slurm_job or "-",
            f"{one.seconds(status.now):.0f}",
        )
        for one in status.of(State.RUNNING)
        if one.job is not None
    ]
    return table(heading, rows) if rows else []


def _configs(word: str, configs: Sequence[Unfinished]) -> list[str]:
    return [f"{word}: {spans(parse_config_id(one.config_id).index for one in configs)}"] if configs else []


def _named(word: str, status: SweepStatus, state: State) -> list[str]:
    configs = status.of(state)
    lines = [f"{INDENT}{_explained(one, status)}" for one in configs[:MOST_LINES]]
    more = len(configs) - MOST_LINES
    if more > 0:
        lines.append(f"{INDENT}and {more} more; --json has them all")
    return [f"{word}:", *lines] if lines else []


def _explained(one: Unfinished, status: SweepStatus) -> str:
    if one.job is None:
        return printable(one.message or one.config_id)
    message = one.message
    if message is None:
        silent = duration(status.now - one.job.updated)
        message = f"its job on {one.job.host} was killed, silent for {silent}"
    log = fit_log_path(status.run_id, one.job.batch_id)
    return printable(f"{one.config_id}: {message.removeprefix(f'{one.config_id}: ')} (log: {log})")


def _slowest(fits: Iterable[Fit]) -> list[str]:
    heading = ("slowest", "seconds", "template", "visitors", "escalated")
    rows = [
        (
            fit.config_id,
            f"{fit.seconds:.1f}",
            fit.template,
            f"{fit.n_visitors:,}",
            "yes" if fit.escalated else "no",
        )
        for fit in fits
    ]
    return table(heading, rows) if rows else []


def _hosts(hosts: Iterable[Host]) -> list[str]:
    heading = ("host", "device", "fits", "mean seconds", "running", "cache hits", "misses", "compile seconds")
    rows = [
        (
            host.host,
            ", ".join(host.devices) or "-",
            str(host.n_fits),
            "-" if host.mean_seconds is None else f"{host.mean_seconds:.1f}",
            str(host.n_running),
            str(host.cache_hits),
            str(host.cache_misses),
            f"{host.compile_seconds:.1f}",
        )
        for host in hosts
    ]
    return table(heading, rows) if rows else []

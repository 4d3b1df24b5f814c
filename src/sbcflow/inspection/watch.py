"""Status again and again: redrawn on a terminal, a block a change anywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence

from sbcflow.inspection.fits import FitReader
from sbcflow.inspection.status import SweepStatus, sweep_status
from sbcflow.inspection.status_text import render_status
from sbcflow.params import Params, SweepKind

CLEAR = "\033[2J\033[H"
Statuses = Sequence[SweepStatus]


def watch(
    look: Callable[[], Statuses], show: Callable[[Statuses], None], every: float, *, always: bool
) -> None:
    """Look every so many seconds, until all that is planned is done and gathered.

    ``show`` gets what changed; with ``always`` also what only grew older.
    """
    shown = None
    while True:
        statuses = look()
        if always or _state(statuses) != shown:
            show(statuses)
            shown = _state(statuses)
        if all(not one.unfinished and one.not_gathered is None for one in statuses):
            return
        time.sleep(every)


def looker(params: Params, kinds: Sequence[SweepKind]) -> Callable[[], Statuses]:
    """Return what looks at sweeps, and reads a summary again only if it has changed."""
    reader = FitReader()
    return lambda: [sweep_status(params, kind, reader) for kind in kinds]


def text_of(statuses: Statuses) -> str:
    """Return the status of sweeps, an empty line between two."""
    return "\n".join(map(render_status, statuses))


def _state(statuses: Statuses) -> Hashable:
    return tuple(part for one in statuses for part in _parts(one))


def _parts(status: SweepStatus) -> Iterator[Hashable]:
    """What of a status is news: not how long something has run."""
    yield status.run_id, len(status.fits), status.n_alive, status.not_gathered, status.problems
    for one in status.unfinished:
        yield one.config_id, one.state, one.job and one.job.batch_id, one.message

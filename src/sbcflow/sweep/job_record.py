"""What a fit job says of itself while it runs and when it ends; ``sbcflow status`` reads it on any machine.

A small file, replaced as the job goes on. It decides nothing: which fits are done, their summaries tell.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from sbcflow.errors import ArtifactError
from sbcflow.files import read_json, write_json
from sbcflow.sweep.execution import SLURM_JOB

HEARTBEAT_SECONDS = 10.0
LOST_AFTER_SECONDS = 60.0

JobState = Literal["running", "done", "failed", "stopped"]
Seconds = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class JobRecord:
    """A fit job at a moment; times in Unix seconds.

    ``to_fit``, ``fitted`` and ``failed`` (with messages) hold config ids; ``fitting`` is the one in flight,
    since ``fitting_since``. ``pid_began`` tells the process from a later one with its number
    (see ``_beginning``).
    """

    batch_id: str
    to_fit: tuple[str, ...]
    state: JobState = "running"
    fitting: str | None = None
    fitting_since: Seconds | None = None
    fitted: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    pid_began: int | None = field(default_factory=lambda: _beginning(os.getpid()))
    slurm_job: str | None = field(default_factory=lambda: os.environ.get(SLURM_JOB))
    started: Seconds = field(default_factory=time.time)
    updated: Seconds = field(default_factory=time.time)

    def is_lost(self, now: float) -> bool:
        """Return whether the job says that it runs and does not: it was killed, or its machine died."""
        if self.state != "running":
            return False
        if self.host == socket.gethostname() and not _is_alive(self.pid, self.pid_began):
            return True
        return now - self.updated > LOST_AFTER_SECONDS


class JobLog:
    """The record of the job that this process is, written whenever it changes and at every heartbeat."""

    def __init__(self, path: Path, batch_id: str, to_fit: Sequence[str]) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._record = JobRecord(batch_id, tuple(to_fit))

    @property
    def record(self) -> JobRecord:
        """The record as it is now."""
        return self._record

    def begin(self, config_id: str) -> None:
        """Say that a fit has begun."""
        self._change(fitting=config_id, fitting_since=time.time())

    def finish(self, config_id: str) -> None:
        """Say that a fit is done."""
        self._change(fitting=None, fitting_since=None, fitted=(*self._record.fitted, config_id))

    def fail(self, config_id: str, message: str) -> None:
        """Say that a fit has failed, and why."""
        failed = {**self._record.failed, config_id: message}
        self._change(fitting=None, fitting_since=None, failed=failed)

    @contextmanager
    def running(self) -> Iterator[JobLog]:
        """Keep the record for as long as the block runs, and say how it ended."""
        self._change()
        heart = threading.Thread(target=self._beat, daemon=True)
        heart.start()
        state: JobState = "failed"
        try:
            yield self
            state = "failed" if self._record.failed else "done"
        except (SystemExit, KeyboardInterrupt):
            state = "stopped"
            raise
        finally:
            self._ended.set()
            heart.join()
            self._change(state=state)

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            # A disk that is full now and then must not end a fit.
            with suppress(OSError):
                self._change()

    def _change(self, **values: Any) -> None:  # noqa: ANN401
        with self._lock:
            self._record = replace(self._record, **values, updated=time.time())
            write_json(self._path, asdict(self._record))


def read_job_record(path: Path) -> JobRecord:
    """Read the record of a job.

    Raises:
        ArtifactError: it is missing, or is no record.
    """
    values = read_json(path)
    # All of them: a default would say that the job runs here and now.
    expected = {one.name for one in fields(JobRecord)}
    if not isinstance(values, dict) or values.keys() != expected:
        raise ArtifactError(f"{path}: not the record of a job; it holds {', '.join(sorted(expected))}")
    try:
        return TypeAdapter(JobRecord).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ArtifactError(f"{path}: not the record of a job: {where}: {first['msg']}") from None


def _is_alive(pid: int, began: int | None) -> bool:
    """Return whether the process ``pid`` of this machine lives, and is the one that began then."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    now = _beginning(pid)
    return None in {began, now} or began == now


def _beginning(pid: int) -> int | None:
    """Return when a process began, in ticks since the system did (proc(5)); None where nothing tells."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # Counted from behind the name, in which anything may stand.
    return int(stat.rpartition(b")")[2].split()[19])

"""The journal of an experiment in the making: every call, in order, appended as it is made.

One file, ``<Git folder>/sbcflow/<name>@<baseline's sha>.journal``. Each line is written by one ``write``, so
a process that is killed loses nothing that was logged, and at most half a line is cut off when the journal is
opened again. The kernel's lock on the file says that its process is alive, and goes with the process.

When an experiment is saved its journal is sealed: it holds the sha of the commit and nothing else, and
becomes the reference itself, by a link or a rename. So nothing has to be made or deleted then, and a process
killed in between leaves a journal that says which commit to put in place.

A metric's row is ``m``, its name, whether the step was given (0 or 1), step, value and timestamp, between
tabs; any other line is a JSON object with the key ``event``.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import socket
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sbcflow.errors import ConflictError, ExperimentNameError
from sbcflow.experiment.git.names import ExperimentRef
from sbcflow.experiment.git.store import STATE_FOLDER, Store

SUFFIX = ".journal"
METRIC = b"m\t"
DATE = "$date"
HOLDER_BYTES = 4096
SHA_DIGITS = 40
SEAL = re.compile(rb"[0-9a-f]{40}\n")


class MetricRow(NamedTuple):
    """A logged value: its metric, whether its step was given, and step, value, timestamp between tabs."""

    metric: bytes
    stepped: bool
    values: bytes


class Journal:
    """The open journal of one experiment; this process alone may write to it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """Take over an open, locked file; use ``create`` or ``reopen``."""
        self.path = path
        self._descriptor: int | None = descriptor
        self._end = os.fstat(descriptor).st_size
        self._made_folder = False
        self._is_sealed = False
        self._pid = os.getpid()

    @classmethod
    def create(cls, store: Store, facts: Mapping[str, Any]) -> Journal:
        """Start the journal of a new experiment; ``facts``, its name and baseline among them, open it.

        Raises:
            ExperimentNameError: the name has a journal already, or another process has saved under it.
        """
        ref = ExperimentRef(facts["baseline"], facts["name"])
        journal = cls.claim(store, ref)
        # Between the caller's look and the claim, another may have saved, whose journal then is gone.
        if store.tip(ref) != facts.get("tip"):
            journal.remove()
            raise ExperimentNameError(
                f"experiment {ref.name}: the name is taken on baseline {ref.baseline[:7]}"
            )
        try:
            journal.append("init", **_process(), **facts)
        except OSError:
            journal.remove()
            raise
        return journal

    @classmethod
    def claim(cls, store: Store, ref: ExperimentRef) -> Journal:
        """Take a name that has no journal: one with nothing in it, which if left behind means nothing.

        Raises:
            ExperimentNameError: the name has a journal already.
        """
        path = journal_path(store, ref)
        made_folder = not path.parent.exists()
        descriptor = _open_locked(path, os.O_CREAT)
        if descriptor is None:
            raise ExperimentNameError(f"experiment {ref.name}: the name is taken: {_holder(path)}")
        journal = cls(path, descriptor)
        if _is_begun(descriptor):
            journal.close()
            raise ExperimentNameError(
                f"experiment {ref.name}: the name is taken by one that was not saved; resume or discard it"
            )
        journal._truncate(0)
        # It may share its bytes with the reference that it has become.
        journal.staged_ref.unlink(missing_ok=True)
        journal._made_folder = made_folder
        return journal

    @classmethod
    def reopen(cls, store: Store, ref: ExperimentRef) -> Journal | None:
        """Take over the journal that a dead process left, to go on with it; None where there is none.

        Raises:
            ConflictError: its process is alive.
        """
        journal = cls.hold(store, ref)
        if journal is not None and journal.sealed is None:
            journal._cut_half_line()
            journal.append("resume", **_process())
        return journal

    @classmethod
    def hold(cls, store: Store, ref: ExperimentRef) -> Journal | None:
        """Keep others from the journal that a dead process left, which stays as it is; None if there is none.

        Raises:
            ConflictError: its process is alive.
        """
        path = journal_path(store, ref)
        try:
            descriptor = _open_locked(path, 0)
        except FileNotFoundError:
            return None
        if descriptor is None:
            raise ConflictError(f"experiment {ref.name}: in use: {_holder(path)}")
        journal = cls(path, descriptor)
        if not _is_begun(descriptor):
            journal.remove()
            return None
        return journal

    def is_ours(self) -> bool:
        """Whether this process, and not one it was forked from, still holds the journal."""
        return self._descriptor is not None and self._pid == os.getpid()

    @property
    def sealed(self) -> str | None:
        """The sha that a sealed journal holds, None where it is not sealed."""
        head = b"" if self._descriptor is None else os.pread(self._descriptor, SHA_DIGITS + 1, 0)
        return head[:SHA_DIGITS].decode() if SEAL.fullmatch(head) else None

    @property
    def staged_ref(self) -> Path:
        """Where a checkpoint's sha is written before it is put in place."""
        return self.path.with_suffix(".ref")

    def append(self, event: str, **facts: object) -> None:
        """Append an event.

        Raises:
            OSError: it cannot be written; the journal then is as it was before.
        """
        self.write(json.dumps({"event": event, **facts}, default=_date, ensure_ascii=False).encode() + b"\n")

    def write(self, lines: bytes) -> None:
        """Append whole lines in one write, or nothing.

        Raises:
            ConflictError: the journal is sealed.
            OSError: they cannot be written; the journal then is as it was before.
        """
        if self._descriptor is None:
            raise ValueError("the journal is closed")
        if self._is_sealed:
            raise ConflictError(f"{self.path.name}: saving has begun: save again, or discard")
        try:
            written = os.pwrite(self._descriptor, lines, self._end)
            while written < len(lines):
                written += os.pwrite(self._descriptor, lines[written:], self._end + written)
        except OSError:
            self._truncate(self._end)
            raise
        self._end += len(lines)

    def entries(self) -> Iterator[Mapping[str, Any] | MetricRow]:
        """Yield the events and the logged values, in order."""
        with self.path.open("rb") as stream:
            for line in stream:
                yield _row(line) if line.startswith(METRIC) else json.loads(line, object_hook=_undate)

    def metric_rows(self) -> Iterator[MetricRow]:
        """Yield the logged values, in order."""
        with self.path.open("rb") as stream:
            for line in stream:
                if line.startswith(METRIC):
                    yield _row(line)

    def seal(self, sha: str) -> None:
        """Let the journal hold a sha and nothing else, durably; its first write decides."""
        assert self._descriptor is not None
        self._is_sealed = True
        os.pwrite(self._descriptor, f"{sha}\n".encode(), 0)
        self._truncate(SHA_DIGITS + 1)
        os.fsync(self._descriptor)

    def close(self) -> None:
        """Let go of the journal; it stays, to be resumed."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def remove(self) -> None:
        """Remove the journal, and its folder where it was made for it."""
        self.staged_ref.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
        self.close()
        if self._made_folder:
            with contextlib.suppress(OSError):
                self.path.parent.rmdir()

    def _cut_half_line(self) -> None:
        assert self._descriptor is not None
        self._truncate(_end_of_last_line(self._descriptor))

    def _truncate(self, size: int) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, size)
        self._end = size


def metric_line(name: str, step: int, value: float, timestamp: float, stepped: bool) -> str:
    """Return the journal's line of one logged value."""
    return f"m\t{name}\t{stepped:d}\t{step}\t{value!r}\t{timestamp:.3f}\n"


def journal_path(store: Store, ref: ExperimentRef) -> Path:
    """Return where the journal of an experiment lies."""
    return store.state_folder / f"{ref.name}@{ref.baseline}{SUFFIX}"


def journaled(store: Store) -> list[tuple[ExperimentRef, Path]]:
    """Return the experiments that have a journal: not saved yet, or left by a process that died."""
    found = []
    for path in sorted(store.state_folder.glob(f"*{SUFFIX}")):
        name, _, baseline = path.name.removesuffix(SUFFIX).rpartition("@")
        with contextlib.suppress(FileNotFoundError), path.open("rb") as stream:
            if _is_begun(stream.fileno()):
                found.append((ExperimentRef(baseline, name), path))
    return found


def read_events(path: Path) -> Iterator[Mapping[str, Any]]:
    """Yield the whole events of a journal that may be in use; a sealed one has none."""
    with path.open("rb") as stream:
        for line in stream:
            if SEAL.fullmatch(line):  # what follows it is cut off next
                return
            if line.startswith(b"{") and line.endswith(b"\n"):
                yield json.loads(line)


def is_in_use(path: Path) -> bool:
    """Whether a living process holds the journal at ``path``."""
    try:
        descriptor = _open_locked(path, 0)
    except FileNotFoundError:
        return False
    if descriptor is None:
        return True
    os.close(descriptor)
    return False


def _open_locked(path: Path, flags: int) -> int | None:
    """Open and lock a journal, again where it was removed meanwhile; None where another holds it."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | flags, 0o666)
        except FileNotFoundError:
            if not flags:
                raise
            # Another, whose journal was the last, may remove the folder at any moment.
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                path.parent.mkdir(parents=True, exist_ok=True)
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(path).st_ino == os.fstat(descriptor).st_ino:  # noqa: PTH116
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except FileNotFoundError:
            pass
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _is_begun(descriptor: int) -> bool:
    """Whether a journal has a whole line; one without is what is left of a claim, or of a beginning."""
    return _end_of_last_line(descriptor) > 0


def _end_of_last_line(descriptor: int) -> int:
    """Return where the last whole line of a file ends."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - HOLDER_BYTES)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _row(line: bytes) -> MetricRow:
    _, metric, stepped, values = line.split(b"\t", 3)
    return MetricRow(metric, stepped == b"1", values)


def _date(value: object) -> dict[str, str]:
    """Return the one kind of value that YAML has and JSON lacks as one that JSON has."""
    if isinstance(value, date):
        return {DATE: value.isoformat()}
    raise TypeError(f"{value!r} has no form in a journal")


def _undate(values: dict[str, Any]) -> Any:  # noqa: ANN401
    if values.keys() != {DATE}:
        return values
    text = values[DATE]
    return datetime.fromisoformat(text) if "T" in text else date.fromisoformat(text)


def _process() -> dict[str, object]:
    return {"pid": os.getpid(), "host": socket.gethostname()}


def _holder(path: Path) -> str:
    """Say which process holds a journal, from what the last one to open it wrote."""
    process: Mapping[str, Any] | None = None
    with contextlib.suppress(OSError, ValueError):
        for event in read_events(path):
            process = event if event["event"] in ("init", "resume") else process
    if process is None:
        return "another process is starting or ending it"
    return f"process {process['pid']} on {process['host']} is writing it ({STATE_FOLDER}/{path.name})"

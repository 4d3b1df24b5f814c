"""The cache of compiled programs that the jobs of a machine type share, and a count of what was compiled.

JAX writes the entries of its persistent cache in place, where others may be reading. Here a process gives
JAX a view of its own, on local disk, with links to the shared programs, and publishes what is new by a
rename, so that a reader on any node sees a program whole or not at all. (JAX itself finds an entry that was
altered, by the checksum of its compression, and compiles again.)
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sbcflow.files import write_bytes

ENTRY = "-cache"
WARM = ".warm"
VIEW = "sbcflow-programs-"
LONGEST_WAIT_SECONDS = 900.0
POLL_SECONDS = 0.1

HIT = "/jax/compilation_cache/cache_hits"
MISS = "/jax/compilation_cache/cache_misses"
COMPILE = "/jax/core/compile/backend_compile_duration"


@dataclass(frozen=True)
class Compilations:
    """Programs loaded from the cache (hits) or compiled (misses), and the seconds that both took."""

    hits: int = 0
    misses: int = 0
    seconds: float = 0.0

    def since(self, before: Compilations) -> Compilations:
        """Return what was added since ``before``."""
        return Compilations(
            self.hits - before.hits, self.misses - before.misses, self.seconds - before.seconds
        )


class Meter:
    """Counts what JAX compiles in this process, from when it is made."""

    def __init__(self) -> None:
        from jax import monitoring

        self._counted = Compilations()
        monitoring.register_event_listener(self._on_event)
        monitoring.register_event_duration_secs_listener(self._on_duration)

    def read(self) -> Compilations:
        """Return the counts so far."""
        return self._counted

    def _on_event(self, event: str, **_: object) -> None:
        now = self._counted
        self._counted = Compilations(now.hits + (event == HIT), now.misses + (event == MISS), now.seconds)

    def _on_duration(self, event: str, duration_secs: float, **_: object) -> None:
        now = self._counted
        if event == COMPILE:
            self._counted = Compilations(now.hits, now.misses, now.seconds + duration_secs)


class ProgramCache:
    """The shared programs in ``shared``, and this process's view of them in ``view``."""

    def __init__(self, shared: Path) -> None:
        self.shared = shared
        self.view, self._held = _new_view()
        atexit.register(self.close)
        self.refresh()

    def refresh(self) -> None:
        """Link to the shared programs that this process has not seen; none, where they cannot be read."""
        with suppress(OSError):
            for path in self.shared.glob(f"*{ENTRY}"):
                with suppress(FileExistsError):
                    (self.view / path.name).symlink_to(path)

    def publish(self) -> None:
        """Share the programs that this process has compiled and are whole; one that is there stays.

        A cache that cannot be written costs time and no result, so that is no error.
        """
        for path in self.view.glob(f"*{ENTRY}"):
            if not path.is_symlink():
                with suppress(OSError):
                    self._share(path)

    @contextmanager
    def first(self, programs: str) -> Iterator[None]:
        """Run a block that compiles ``programs``, a name for what it needs; alone until one process has.

        The first to come compiles and publishes while the others wait; from then on nobody waits. One that
        dies lets the next go on. Where the file system has no locks, or a wait takes too long, none waits.
        """
        warm = self.shared / f"{programs}{WARM}"
        with _alone(warm.with_suffix(".lock"), until=partial(_exists, warm)):
            self.refresh()
            yield
            self.publish()
            with suppress(OSError):
                warm.touch()

    def close(self) -> None:
        """Publish what is left, and remove the view."""
        if self.view.is_dir():
            self.publish()
            shutil.rmtree(self.view, ignore_errors=True)
            os.close(self._held)

    def _share(self, path: Path) -> None:
        shared = self.shared / path.name
        if not shared.exists():
            program = path.read_bytes()
            if not _is_whole(program):
                return
            write_bytes(shared, program)
        path.unlink()
        path.symlink_to(shared)


def _is_whole(program: bytes) -> bool:
    """Return whether JAX could read a program, and not one whose writing a signal or a full disk cut off."""
    with suppress(Exception):
        from jax._src.compilation_cache import decompress_executable

        decompress_executable(program)
        return True
    return False


def _new_view() -> tuple[Path, int]:
    """Make a view and hold it by a lock; remove those whose process has died."""
    base = Path(tempfile.gettempdir())
    for other in base.glob(f"{VIEW}*"):
        with suppress(OSError), _held(other):
            shutil.rmtree(other)
    # Held before it has a name that others would sweep.
    fresh = Path(tempfile.mkdtemp(prefix=f".{VIEW}"))
    held = os.open(fresh, os.O_RDONLY)
    with suppress(OSError):  # a file system without locks: nobody can sweep there either
        fcntl.flock(held, fcntl.LOCK_EX)
    return fresh.rename(base / fresh.name.removeprefix(".")), held


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _exists(path: Path) -> bool:
    with suppress(OSError):
        return path.exists()
    return False


@contextmanager
def _alone(path: Path, until: Callable[[], bool]) -> Iterator[None]:
    """Run a block under the lock ``path``, or without it as soon as ``until`` holds."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = None
    try:
        if not until():
            descriptor = _locked(path, until)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _locked(path: Path, until: Callable[[], bool]) -> int | None:
    deadline = time.monotonic() + LONGEST_WAIT_SECONDS
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        return None
    while not until() and time.monotonic() < deadline:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(POLL_SECONDS)
        except OSError:
            break
        else:
            return descriptor
    os.close(descriptor)
    return None

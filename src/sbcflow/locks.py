"""Locks that no killed process leaves behind: the kernel drops them with whoever held them (flock).

On a file system that has none, whoever asks goes on without.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sbcflow.errors import ArtifactError

POLL_SECONDS = 0.05


@contextmanager
def locked(path: Path | str, timeout: float | None = None) -> Iterator[bool]:
    """Hold the lock file ``path`` while the block runs, alone among processes and threads.

    Waits for its turn, at most ``timeout`` seconds if given. The kernel drops the lock with the
    process, however that ends; the file itself stays, and blocks nobody. Yields whether the lock is
    held: False where the file system has none, and the block then runs without.

    Raises:
        ArtifactError: the lock file cannot be made, or somebody held it for all of ``timeout``.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be locked: {error.strerror}") from None
    with closing(descriptor):
        yield _wait_for_lock(descriptor, Path(path), timeout)


@contextmanager
def closing(descriptor: int) -> Iterator[int]:
    """Close a descriptor, and with it its lock, when the block ends."""
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _wait_for_lock(descriptor: int, path: Path, timeout: float | None) -> bool:
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        if deadline is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        while deadline is not None and not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                raise ArtifactError(f"{path}: another process has held this lock for over {timeout:g} s")
            time.sleep(POLL_SECONDS)
    except OSError:
        return False
    return True


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

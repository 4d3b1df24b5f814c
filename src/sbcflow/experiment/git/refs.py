"""How an experiment's reference moves: by compare-and-swap, durably, and with no lock to leave behind.

Git's way is a file ``<ref>.lock``, which a process that is killed leaves to block everybody. Here a
reference appears by a hard link, which fails where one is already, and moves by a rename. Git's locks are
waited for, before and after: whatever a Git command did in between is seen, and the move is then made
again or given up.
"""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import pygit2

from sbcflow.errors import ConflictError
from sbcflow.experiment.git.names import NAMESPACE, ExperimentRef
from sbcflow.experiment.git.store import Store, sync_files

LOCK_PATIENCE_SECONDS = 10.0
LOCK_POLL_SECONDS = 0.002
ATTEMPTS = 100


def stage_ref(staged: Path, sha: str) -> None:
    """Write what a reference is to hold into a file of the caller's own, in the references' file system."""
    staged.write_bytes(f"{sha}\n".encode())


def move_ref(store: Store, ref: ExperimentRef, new: str, expected: str | None, staged: Path) -> None:
    """Let a reference hold ``new`` where it holds ``expected`` (None: where there is none).

    ``staged`` is a durable file with the sha and a newline, in the references' file system. It becomes the
    reference; where that fails it stays.

    Raises:
        ConflictError: the reference holds something else, or a Git command keeps it locked.
        OSError: it cannot be written.
    """
    path = store.common_dir / str(ref)
    for _ in range(ATTEMPTS):
        _wait_for_git(path)
        current = store.tip(ref)
        if current == new:
            staged.unlink(missing_ok=True)
            return
        check_tip(ref, current, expected)
        if not staged.exists():
            stage_ref(staged, new)
            sync_files([staged])
        _put(staged, path, fresh=expected is None)
    raise ConflictError(f"experiment {ref.name}: {ref} keeps changing; try again")


def delete_ref(store: Store, ref: ExperimentRef, expected: str) -> None:
    """Remove a reference that holds ``expected``, and the folders it leaves empty.

    Raises:
        ConflictError: it holds something else, or a Git command has it locked.
    """
    try:
        with store.repository.transaction() as transaction:
            transaction.lock_ref(str(ref))
            check_tip(ref, store.tip(ref), expected)
            transaction.remove(str(ref))
    except pygit2.GitError as error:
        raise ConflictError(f"experiment {ref.name}: {ref} cannot be removed: {error}") from None
    _remove_empty(store, ref)


def check_tip(ref: ExperimentRef, current: str | None, expected: str | None) -> None:
    """Make sure that a reference holds what is expected of it.

    Raises:
        ConflictError: it does not.
    """
    if current != expected:
        raise ConflictError(
            f"experiment {ref.name}: another process moved it: {ref} holds {_short(current)}, "
            f"not {_short(expected)}"
        )


def _put(staged: Path, path: Path, *, fresh: bool) -> None:
    """Put the staged file in its place; where somebody was faster, the caller's next look tells."""
    # Git removes folders of references that it finds empty, at any moment.
    with suppress(FileExistsError, FileNotFoundError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if fresh:
            path.hardlink_to(staged)
        else:
            staged.replace(path)


def _wait_for_git(path: Path) -> None:
    lock = path.with_name(f"{path.name}.lock")
    give_up = time.monotonic() + LOCK_PATIENCE_SECONDS
    while lock.exists():
        if time.monotonic() > give_up:
            raise ConflictError(f"{lock}: a Git command holds this lock; if none runs, remove the file")
        time.sleep(LOCK_POLL_SECONDS)


def _remove_empty(store: Store, ref: ExperimentRef) -> None:
    folder = (store.common_dir / str(ref)).parent
    while folder != store.common_dir / NAMESPACE.partition("/")[0]:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def _short(sha: str | None) -> str:
    return "nothing" if sha is None else sha[:7]

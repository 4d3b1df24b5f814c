"""An experiment put in place: its commit written, made durable, and named by its reference."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pygit2

from sbcflow.experiment.commit import Commit, write_commit
from sbcflow.experiment.draft import Draft
from sbcflow.experiment.git.refs import check_tip, move_ref, stage_ref
from sbcflow.experiment.git.store import Store, storing, sync_files
from sbcflow.experiment.journal import Journal
from sbcflow.experiment.states import State

ATTEMPTS = 10
PAUSE_SECONDS = 0.01
# A folder that is gone; a file that was cut while it was read; an object on its way into a pack; names of
# temporary files that a killed process left, where this one draws the same (forks share the state).
PASSING = (
    os.strerror(errno.ENOENT),
    "failed to read file into stream",
    "object not found",
    os.strerror(errno.EEXIST),
)


@dataclass(frozen=True)
class Saved:
    """A commit that an experiment's reference holds.

    Attributes:
        name, ref, sha: the experiment, its reference, the commit.
        timings: seconds of ``objects`` (written), ``sync`` (made durable), ``ref`` (moved) and ``total``.
    """

    name: str
    ref: str
    sha: str
    timings: Mapping[str, float]


def persist(store: Store, draft: Draft, journal: Journal, state: State, message: str | None) -> Saved:
    """Commit an experiment as it stands: for good where ``state`` is Persisted, as a checkpoint otherwise.

    Where a former try sealed the journal and got no further, that commit is put in place.

    Raises:
        ConflictError: somebody else moved its reference.
        RepositoryError: it cannot be written.
    """
    ref = draft.ref
    if journal.sealed is not None:
        with storing(f"experiment {ref.name}: saving"):
            return _put_sealed(store, draft, journal)
    begun = time.perf_counter()
    with storing(f"experiment {ref.name}: saving"):
        commit = _write(store, draft, journal, state, message)
        written = time.perf_counter()
        sync_files(store.object_paths(commit.oids))
        synced = time.perf_counter()
        check_tip(ref, store.tip(ref), draft.tip)
        staged = _sealed(journal, commit.sha) if state is State.PERSISTED else _staged(journal, commit.sha)
        move_ref(store, ref, commit.sha, draft.tip, staged)
    moved = time.perf_counter()
    timings = {
        "objects": written - begun,
        "sync": synced - written,
        "ref": moved - synced,
        "total": moved - begun,
    }
    return Saved(ref.name, str(ref), commit.sha, timings)


def _put_sealed(store: Store, draft: Draft, journal: Journal) -> Saved:
    sha = journal.sealed
    assert sha is not None
    move_ref(store, draft.ref, sha, draft.tip, journal.path)
    return Saved(draft.ref.name, str(draft.ref), sha, {})


def _write(store: Store, draft: Draft, journal: Journal, state: State, message: str | None) -> Commit:
    """Write the commit, again where another program was in the midst of something.

    ``git gc`` removes folders of objects that it finds empty, and objects that it has packed; DVC writes
    dvc.lock in place.
    """
    for _ in range(ATTEMPTS):
        try:
            return write_commit(store, draft, journal, state, message)
        except (OSError, pygit2.GitError) as error:
            # Git's library tells the kind of error in words only.
            if not any(words in str(error) for words in PASSING):
                raise
            time.sleep(PAUSE_SECONDS)
    return write_commit(store, draft, journal, state, message)


def _sealed(journal: Journal, sha: str) -> Path:
    journal.seal(sha)
    return journal.path


def _staged(journal: Journal, sha: str) -> Path:
    journal.append("moving", sha=sha)
    stage_ref(journal.staged_ref, sha)
    # The journal too: it has to know of the commit that the reference may hold after a power failure.
    sync_files([journal.staged_ref, journal.path])
    return journal.staged_ref

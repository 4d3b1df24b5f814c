"""Saved experiments removed and renamed: references move by compare-and-swap, commits stay as they are."""

from __future__ import annotations

from pathlib import Path

from sbcflow.errors import ConflictError, ExperimentNameError
from sbcflow.experiment.frames.find import find
from sbcflow.experiment.git.names import ExperimentRef, check_name
from sbcflow.experiment.git.refs import delete_ref, move_ref
from sbcflow.experiment.git.store import Store, storing
from sbcflow.experiment.journal import Journal, is_in_use, journal_path


def remove(name: str, repo: Path | str = ".", baseline: str | None = None) -> None:
    """Remove an experiment, and the journal that a dead process left of it.

    Args:
        name: as ``sbcflow.experiment.frames.find.find`` takes it.
        repo: a folder in the repository.
        baseline: a revision that it starts from, where several experiments have the name.

    Raises:
        ExperimentNameError: there is no such experiment, or there are several.
        ConflictError: a living process works on it, or somebody else has moved it.
    """
    store = Store(repo)
    ref, tip = find(store, name, baseline)
    with storing(f"removing experiment {ref.name}"):
        journal = Journal.hold(store, ref)
        try:
            delete_ref(store, ref, str(tip))
            if journal is not None:
                journal.remove()
        finally:
            if journal is not None:
                journal.close()


def rename(name: str, new: str, repo: Path | str = ".", baseline: str | None = None) -> None:
    """Give an experiment another name; its commits stay as they are.

    Args:
        name: as ``sbcflow.experiment.frames.find.find`` takes it.
        new: a name that no experiment on its baseline has.
        repo: a folder in the repository.
        baseline: a revision that it starts from, where several experiments have the name.

    Raises:
        ExperimentNameError: there is no such experiment, or there are several, or the new name is taken or
            not allowed.
        ConflictError: the experiment is being worked on, or was left unsaved, or somebody else has moved it.
    """
    store = Store(repo)
    ref, tip = find(store, name, baseline)
    target = ExperimentRef(ref.baseline, check_name(new))
    with storing(f"renaming experiment {ref.name}"):
        _refuse_unfinished(store, ref)
        claim = _claim(store, target)
        try:
            # The new one first: whenever this is killed, one of the two is there.
            move_ref(store, target, str(tip), None, claim.staged_ref)
            try:
                delete_ref(store, ref, str(tip))
            except ConflictError:
                delete_ref(store, target, str(tip))
                raise
        finally:
            claim.remove()


def _refuse_unfinished(store: Store, ref: ExperimentRef) -> None:
    if is_in_use(journal_path(store, ref)):
        raise ConflictError(
            f"experiment {ref.name}: a process is working on it; rename it when that has ended"
        )
    journal = Journal.hold(store, ref)
    if journal is not None:
        journal.close()
        raise ConflictError(f"experiment {ref.name}: it was left unsaved; resume it, and save or discard it")


def _claim(store: Store, ref: ExperimentRef) -> Journal:
    """Take a free name; what a killed process leaves of its claim, the next to use the name removes."""
    taken = ExperimentNameError(f"experiment name {ref.name!r}: taken on baseline {ref.baseline[:7]}")
    try:
        claim = Journal.claim(store, ref)
    except ExperimentNameError:
        raise taken from None
    if store.tip(ref) is not None:
        claim.remove()
        raise taken
    return claim

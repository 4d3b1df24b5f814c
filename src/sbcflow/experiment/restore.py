"""An experiment taken up again: where it is found, and its journal made anew from its last checkpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import pygit2

from sbcflow.errors import ConflictError, ExperimentNameError, RepositoryError
from sbcflow.experiment.begin import choose_metrics_file
from sbcflow.experiment.draft import Draft, begin
from sbcflow.experiment.dvc.project import DVC_YAML
from sbcflow.experiment.frames.find import find
from sbcflow.experiment.git.names import ExperimentRef
from sbcflow.experiment.git.refs import move_ref
from sbcflow.experiment.git.store import Store
from sbcflow.experiment.journal import Journal, journaled, metric_line
from sbcflow.experiment.metrics import flat, plot_path
from sbcflow.experiment.record import Record, read_record


def locate(store: Store, name: str, baseline: str | None) -> ExperimentRef:
    """Return the reference of an experiment that is saved, has a checkpoint, or has a journal.

    Raises:
        ExperimentNameError: there is none of this name, or several.
    """
    sha = None if baseline is None else str(store.commit(baseline).id)
    open_ones = [ref for ref, _ in journaled(store) if ref.name == name and sha in (None, ref.baseline)]
    if len(open_ones) == 1:
        return open_ones[0]
    if open_ones:
        shas = ", ".join(ref.baseline[:7] for ref in open_ones)
        raise ExperimentNameError(
            f"experiment {name}: unfinished at several baselines, {shas}; choose by baseline="
        )
    return find(store, name, baseline)[0]


def tip_record(store: Store, ref: ExperimentRef) -> tuple[pygit2.Commit, Record]:
    """Return the commit that an experiment's reference holds, and what it says of itself.

    Raises:
        ExperimentNameError: it has none: its process was killed as it began.
        RepositoryError: another program made it.
    """
    sha = store.tip(ref)
    if sha is None:
        raise ExperimentNameError(
            f"experiment {ref.name}: its process was killed as it began; begin it again"
        )
    tip = store.commit(sha)
    record = read_record(tip.message)
    if record is None:
        raise RepositoryError(f"experiment {ref.name}: not made by sbcflow, so it cannot be resumed")
    return tip, record


def finish(store: Store, ref: ExperimentRef, journal: Journal) -> None:
    """Put the commit in place that a sealed journal names: its process was killed as it saved.

    Raises:
        ConflictError: somebody moved the reference meanwhile. The commit is whole, and the error names it.
    """
    sha = journal.sealed
    assert sha is not None
    parent = str(store.commit(sha).parent_ids[0])
    try:
        # Killed within ``seal``, what was in the journal before may still follow the sha.
        journal.seal(sha)
        move_ref(store, ref, sha, None if parent == ref.baseline else parent, journal.path)
    except ConflictError as error:
        raise ConflictError(f"{error}; what was to be saved is commit {sha}") from None
    finally:
        journal.close()


def restore(store: Store, ref: ExperimentRef) -> Journal:
    """Start a journal that says what the last checkpoint of an experiment holds.

    Its tree becomes the one that the experiment goes on from: code changes and data references are in it.

    Raises:
        ConflictError: a process has begun to work on it meanwhile.
        RepositoryError: another program made it.
    """
    tip, record = tip_record(store, ref)
    try:
        journal = Journal.create(store, _facts(store, ref, tip, record))
    except ExperimentNameError as error:
        raise ConflictError(str(error)) from None
    for event in _params_events(store, tip, record):
        journal.append(**event)
    _copy_metrics(store, tip, record, journal)
    return journal


def saved_draft(store: Store, ref: ExperimentRef) -> Draft:
    """Return what a saved experiment holds, as far as an experiment in memory does.

    Raises:
        RepositoryError: another program made it.
    """
    tip, record = tip_record(store, ref)
    draft = begin(_facts(store, ref, tip, record))
    for event in _params_events(store, tip, record):
        draft.apply(event)
    for name, value in _last_values(store, tip, record).items():
        draft.count(name, value, 0, False)
    draft.failed = record.failed
    return draft


def _facts(store: Store, ref: ExperimentRef, tip: pygit2.Commit, record: Record) -> dict[str, Any]:
    root = store.dvc_root(tip)
    return {
        "name": ref.name,
        "baseline": ref.baseline,
        "created": record.created,
        "base": str(tip.id),
        "code_base": store.head(),
        "root": str(root),
        "folder": record.folder,
        "metrics_file": _metrics_file(store, tip, record),
        "tip": str(tip.id),
        "n_checkpoints": record.checkpoint,
    }


def _metrics_file(store: Store, tip: pygit2.Commit, record: Record) -> str:
    root = store.dvc_root(tip)
    if record.metrics is not None:
        return str(PurePosixPath(record.metrics).relative_to(root))
    return choose_metrics_file(None, record.folder, store.read(tip.tree, root / DVC_YAML))


def _params_events(store: Store, tip: pygit2.Commit, record: Record) -> Iterator[dict[str, Any]]:
    root = store.dvc_root(tip)
    for path, values in (record.params or {}).items():
        file = str(PurePosixPath(path).relative_to(root))
        yield {"event": "params", "file": file, "values": values, "new": True, "change_type": True}


def _last_values(store: Store, tip: pygit2.Commit, record: Record) -> dict[str, float]:
    content = None if record.metrics is None else store.read(tip.tree, record.metrics)
    return {} if content is None else flat(json.loads(content))


def _copy_metrics(store: Store, tip: pygit2.Commit, record: Record, journal: Journal) -> None:
    """Copy every logged value into the journal: a metric's plot, or its one value where it has none."""
    folder = store.dvc_root(tip) / record.folder
    for name, value in _last_values(store, tip, record).items():
        plot = store.read(tip.tree, folder / plot_path(name))
        if plot is None:
            journal.write(metric_line(name, 0, value, tip.commit_time, False).encode())
            continue
        prefix = f"m\t{name}\t1\t".encode()
        journal.write(b"".join(prefix + row for row in plot.splitlines(keepends=True)[1:]))

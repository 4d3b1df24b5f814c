"""Experiments as rows: what a reader of many takes from the commit of each, in as few look-ups as can be.

Params are ``params.<key>`` for params.yaml and ``params.<file>:<key>`` for another file, a path from DVC's
root. Metrics are ``metrics.<name>``; where several files hold a name, the first that is declared keeps it
plain, and of the others it is ``metrics.<file>:<name>``. Files that only DVC's cache holds are not read,
nor is any dvc.yaml but the one at DVC's root.
"""

from __future__ import annotations

import json
import posixpath
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import pygit2

from sbcflow.errors import ArtifactError, ParamsError, RepositoryError
from sbcflow.experiment import metrics as metric_files
from sbcflow.experiment.draft import begin
from sbcflow.experiment.dvc.project import (
    DEFAULT_PARAMS,
    DVC_YAML,
    metrics_files,
    params_files,
    read_project,
)
from sbcflow.experiment.git.names import ExperimentRef
from sbcflow.experiment.git.store import Store
from sbcflow.experiment.journal import journaled, read_events
from sbcflow.experiment.params.overrides import flatten, read_values
from sbcflow.experiment.params.yaml_values import load_yaml
from sbcflow.experiment.record import Record, read_record
from sbcflow.experiment.states import State

PARAMS_PREFIX = "params."
METRICS_PREFIX = "metrics."
Files = tuple[str, ...]
Cells = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Row:
    """One experiment. What a commit tells is None where there is none yet; ``time`` is in seconds UTC.

    ``created`` is when it began, in ISO 8601; empty where sbcflow did not make it.
    """

    ref: ExperimentRef
    state: State
    failed: str | None = None
    sha: str | None = None
    parent: str | None = None
    time: int | None = None
    author: str | None = None
    created: str = ""
    params: Cells = field(default_factory=dict)
    metrics: Cells = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Baseline:
    """DVC's root in Git's tree, and the tree; None where this repository lacks the commit."""

    root: str
    tree: pygit2.Tree | None


class Reader:
    """Reads the experiments of one repository; what many of them share is read once."""

    def __init__(self, store: Store) -> None:
        """Read from ``store``."""
        self._store = store
        self._baselines: dict[str, _Baseline] = {}
        self._declared: dict[tuple[str, pygit2.Oid | None], tuple[Files, Files]] = {}
        self._params: dict[tuple[str, str, pygit2.Oid], Cells] = {}

    def rows(self, baseline: str | None = None, *, unsaved: bool = False) -> list[Row]:
        """Return the experiments, of one baseline's sha or of all, the oldest first.

        Raises:
            RepositoryError: a reference names a commit that is not there.
        """
        # Journals first: one that is saved meanwhile is found among the references.
        journals = journaled(self._store) if unsaved else []
        tips = dict(self._store.experiment_refs())
        found = [self.row(ref, tip) for ref, tip in tips.items() if baseline in (None, ref.baseline)]
        found.sort(key=lambda row: (row.time, row.created, row.ref.name))
        for ref, path in journals:
            if ref not in tips and baseline in (None, ref.baseline):
                with suppress(FileNotFoundError):
                    found.append(self._unsaved(ref, path))
        return found

    def row(self, ref: ExperimentRef, tip: pygit2.Oid) -> Row:
        """Return the experiment whose reference holds ``tip``.

        Raises:
            RepositoryError: there is no such commit.
        """
        commit = self._commit(tip)
        if commit is None:
            raise RepositoryError(
                f"{self._store.folder}: {ref} names {str(tip)[:7]}, which is no commit of this repository; "
                "fetch it, or remove the experiment"
            )
        record = read_record(commit.message)
        params, metrics = self._cells(commit.tree, record, self._baseline(ref.baseline))
        return Row(
            ref=ref,
            state=record.state if record is not None else State.PERSISTED,
            failed=record.failed if record is not None else None,
            sha=str(tip),
            parent=str(commit.parent_ids[0]) if commit.parent_ids else None,
            time=commit.commit_time,
            author=commit.author.name,
            created=record.created if record is not None else "",
            params=params,
            metrics=metrics,
        )

    def _unsaved(self, ref: ExperimentRef, journal: Path) -> Row:
        events = list(read_events(journal))
        if not events:
            # Killed as it was put in place: nothing but that is missing.
            return Row(ref, State.COMPLETED)
        draft = begin(events[0])
        for event in events[1:]:
            draft.apply(event)
        base = self._baseline(ref.baseline)
        params = self._params_of(base.tree, DEFAULT_PARAMS, base.root) if base.tree is not None else {}
        values = [override.values for override in draft.overrides if override.file == DEFAULT_PARAMS]
        prefix = _params_prefix(DEFAULT_PARAMS, base.root)
        changed = {f"{prefix}{key}": value for each in values for key, value in each.items()}
        state = State.COMPLETED if draft.completed else State.ACTIVE
        return Row(ref, state, draft.failed, created=draft.created, params={**params, **changed})

    def cells(self, commit: pygit2.Commit) -> tuple[Cells, Cells]:
        """Return the params and the metrics of any commit, read from its files alone."""
        here = _Baseline(self._root(commit), None)
        return self._cells(commit.tree, read_record(commit.message), here)

    def _cells(self, tree: pygit2.Tree, record: Record | None, base: _Baseline) -> tuple[Cells, Cells]:
        declared_params, declared_metrics = self._files(tree, base.root)
        changed: Mapping[str, Cells] = (record.params if record is not None else None) or {}
        params: dict[str, Any] = {}
        for file in dict.fromkeys((*declared_params, *changed)):
            source = base.tree if file in changed else None
            params.update(self._params_of(tree if source is None else source, file, base.root))
            prefix = _params_prefix(file, base.root)
            params.update((f"{prefix}{key}", value) for key, value in changed.get(file, {}).items())
        metrics = declared_metrics if record is None else tuple(filter(None, (record.metrics,)))
        return params, self._metrics(tree, metrics, base.root)

    def _baseline(self, sha: str) -> _Baseline:
        if sha not in self._baselines:
            commit = self._commit(sha)
            self._baselines[sha] = (
                _Baseline(".", None) if commit is None else _Baseline(self._root(commit), commit.tree)
            )
        return self._baselines[sha]

    def _commit(self, oid: pygit2.Oid | str) -> pygit2.Commit | None:
        found = self._store.repository.get(oid)
        return found if isinstance(found, pygit2.Commit) else None

    def _root(self, commit: pygit2.Commit) -> str:
        # A list shall not fail for one baseline that had no DVC above this folder.
        try:
            return str(self._store.dvc_root(commit))
        except RepositoryError:
            return "."

    def _files(self, tree: pygit2.Tree, root: str) -> tuple[Files, Files]:
        """Return the params and the metrics files of a tree, as paths in it."""
        blob = _blob(tree, _path(root, DVC_YAML))
        key = (root, None if blob is None else blob.id)
        if key not in self._declared:
            params, metrics = self._declares(b"" if blob is None else blob.data)
            self._declared[key] = (
                tuple(dict.fromkeys(_path(root, file) for file in (DEFAULT_PARAMS, *params))),
                tuple(_path(root, file) for file in metrics),
            )
        return self._declared[key]

    def _declares(self, dvc_yaml: bytes) -> tuple[Files, Files]:
        try:
            project = read_project(dvc_yaml)
        except ArtifactError as error:
            self._warn(str(error))
            return (), ()
        return params_files(project), metrics_files(project)

    def _params_of(self, tree: pygit2.Tree, file: str, root: str) -> Cells:
        blob = _blob(tree, file)
        if blob is None:
            return {}
        key = (root, file, blob.id)
        if key not in self._params:
            prefix = _params_prefix(file, root)
            try:
                values = flatten(read_values(blob.data, source=file))
            except ParamsError as error:
                self._warn(str(error))
                values = {}
            self._params[key] = {f"{prefix}{name}": _plain(value) for name, value in values.items()}
        return self._params[key]

    def _metrics(self, tree: pygit2.Tree, files: Iterable[str], root: str) -> Cells:
        found: dict[str, Any] = {}
        for file in files:
            for name, value in self._metrics_of(tree, file).items():
                column = f"{METRICS_PREFIX}{name}"
                if column in found:
                    column = f"{METRICS_PREFIX}{posixpath.relpath(file, root)}:{name}"
                found[column] = value
        return found

    def _metrics_of(self, tree: pygit2.Tree, file: str) -> Mapping[str, float]:
        blob = _blob(tree, file)
        if blob is None:
            return {}
        try:
            values = json.loads(blob.data) if file.endswith(".json") else load_yaml(blob.data)
        except (ValueError, RecursionError) as error:
            self._warn(f"{file}: {error}")
            return {}
        return metric_files.flat(values) if isinstance(values, dict) else {}

    def _warn(self, reason: str) -> None:
        # Nothing is lost, and one file that somebody broke shall not hide every experiment.
        warnings.warn(f"{self._store.folder}: {reason}; its values are left out", stacklevel=2)


def _blob(tree: pygit2.Tree, path: str) -> pygit2.Blob | None:
    try:
        entry = tree[path]
    except KeyError:
        return None
    return entry if isinstance(entry, pygit2.Blob) else None


@lru_cache(maxsize=1024)
def _path(root: str, file: str) -> str:
    return posixpath.normpath(posixpath.join(root, file))


@lru_cache(maxsize=1024)
def _params_prefix(file: str, root: str) -> str:
    name = posixpath.relpath(file, root)
    return PARAMS_PREFIX if name == DEFAULT_PARAMS else f"{PARAMS_PREFIX}{name}:"


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Return a value as the record of a commit holds it, where dates are words."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, date) else value

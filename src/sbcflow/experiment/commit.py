"""The commit of an experiment: its baseline's tree with params, metrics, code changes and data references.

Everything is written to the object store; nothing else of the repository is touched, and nothing names the
commit before ``refs.move_ref`` does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import PurePosixPath
from tempfile import SpooledTemporaryFile
from typing import Any

import pygit2

from sbcflow.errors import ParamsError
from sbcflow.experiment import metrics
from sbcflow.experiment.code import tracked_changes, untracked_files
from sbcflow.experiment.draft import Draft
from sbcflow.experiment.dvc.artifacts import ignore, pointer
from sbcflow.experiment.dvc.lock import Produced, is_sound, truthful_lock
from sbcflow.experiment.dvc.project import DVC_YAML, Project, params_files, read_project
from sbcflow.experiment.git.store import Store
from sbcflow.experiment.journal import Journal
from sbcflow.experiment.params.overrides import apply_overrides, changes, flatten, read_values
from sbcflow.experiment.record import Record, write_record
from sbcflow.experiment.staging import Staging
from sbcflow.experiment.states import State

DVC_LOCK = "dvc.lock"
# Plots up to this size are kept in memory until they are written.
PLOT_BYTES_IN_MEMORY = 1 << 18


@dataclass(frozen=True)
class Commit:
    """A commit in the object store, and the ids of all that is new in it, itself last."""

    sha: str
    oids: tuple[pygit2.Oid, ...]


def write_commit(store: Store, draft: Draft, journal: Journal, state: State, message: str | None) -> Commit:
    """Write the commit of an experiment as it stands.

    Raises:
        ParamsError: a params file in the worktree lacks a key that was set, or cannot be read.
        RepositoryError: a file that was to be included is gone, or a merge is unfinished.
        OSError, pygit2.GitError: it cannot be written.
    """
    repository = store.repository
    baseline = store.commit(draft.ref.baseline).tree
    staging = Staging(store, store.commit(draft.base).tree, draft.root)
    stage_code(staging, draft)
    project = read_project(staging.read(DVC_YAML) or b"")
    stage_params(staging, draft)
    stage_metrics(staging, draft, journal)
    stage_artifacts(staging, draft, project)
    stage_lock(staging, draft, project)
    tree, oids = staging.write_tree()
    commit = repository.create_commit(
        None,
        store.signature("AUTHOR"),
        store.signature("COMMITTER"),
        write_record(_record(staging, baseline, draft, project, state, message)),
        tree,
        [draft.tip or draft.ref.baseline],
    )
    return Commit(str(commit), (*oids, commit))


def stage_code(staging: Staging, draft: Draft) -> None:
    """Lay the worktree's changes over the tree, as far as ``log_code`` asked for them."""
    if draft.code.tracked and draft.code_base is not None:
        staging.changes |= tracked_changes(staging.store, draft.code_base)
    staging.changes |= untracked_files(staging.store, draft.code.include_untracked)
    lock = staging.read(DVC_LOCK)
    if lock is not None and lock != staging.read_base(DVC_LOCK) and not is_sound(lock):
        # Caught while DVC was writing it.
        staging.reset(DVC_LOCK)


def stage_params(staging: Staging, draft: Draft) -> None:
    """Put the values that were set into their params files."""
    for override in draft.overrides:
        text = staging.read(override.file)
        if text is None and not override.new:
            raise ParamsError(f"{override.file}: no such file in the commit; new=True starts one")
        changed = apply_overrides(
            text or b"",
            override.values,
            source=override.file,
            new=override.new,
            change_type=override.change_type,
        )
        if changed != text:
            staging.write(override.file, changed)


def stage_metrics(staging: Staging, draft: Draft, journal: Journal) -> None:
    """Put metrics and plots in place of those that the tree may hold of an earlier experiment."""
    if not draft.series:
        return
    folder = PurePosixPath(draft.folder)
    staging.clear(draft.folder)
    values = {name: series.value for name, series in draft.series.items()}
    staging.write(draft.metrics_file, metrics.metrics_json(values))
    plotted = tuple(name for name, series in draft.series.items() if series.is_plotted)
    for name, oid in _write_plots(staging.store.repository, journal, plotted):
        staging.put(str(folder / metrics.plot_path(name)), oid)
    is_own = draft.metrics_file == str(folder / metrics.METRICS_FILE)
    if is_own or plotted:
        declared = metrics.dvc_yaml(metrics.METRICS_FILE if is_own else None, plotted)
        staging.write(str(folder / DVC_YAML), declared)


def stage_artifacts(staging: Staging, draft: Draft, project: Project) -> None:
    """Put the pointers of artifacts in place; the lock holds those that are a stage's outs."""
    outs = project.out_paths()
    for path, artifact in draft.artifacts.items():
        if path in outs:
            continue
        staging.write(artifact.pointer_path, pointer(artifact))
        ignored = ignore(staging.read(artifact.gitignore_path), artifact)
        if ignored is not None:
            staging.write(artifact.gitignore_path, ignored)


def stage_lock(staging: Staging, draft: Draft, project: Project) -> None:
    """Let dvc.lock tell the truth about what this experiment made, and about nothing else."""
    former = staging.read(DVC_LOCK)
    lock = truthful_lock(former, project, staging.read, staging.changed(), _produced(staging, draft, project))
    if lock == former:
        return
    if lock is None:
        staging.remove(DVC_LOCK)
    else:
        staging.write(DVC_LOCK, lock)


def _produced(staging: Staging, draft: Draft, project: Project) -> dict[str, Produced]:
    """Return the outs of stages that this experiment made: artifacts, and its metrics file."""
    made = {
        path: Produced(artifact.md5, artifact.size, artifact.nfiles, artifact.isexec)
        for path, artifact in draft.artifacts.items()
    }
    if draft.series and draft.metrics_file in project.out_paths():
        content = staging.read(draft.metrics_file) or b""
        made[draft.metrics_file] = Produced(
            hashlib.md5(content, usedforsecurity=False).hexdigest(), len(content)
        )
    return made


def _write_plots(
    repository: pygit2.Repository, journal: Journal, plotted: tuple[str, ...]
) -> Iterator[tuple[str, pygit2.Oid]]:
    """Write the plots, in one pass over the journal, and yield each metric with the id of its file."""
    if not plotted:
        return
    with ExitStack() as stack:
        files: dict[bytes, SpooledTemporaryFile[bytes]] = {}
        for name in plotted:
            file = stack.enter_context(
                SpooledTemporaryFile(PLOT_BYTES_IN_MEMORY, dir=str(journal.path.parent))
            )
            file.write(metrics.plot_header(name))
            files[name.encode()] = file
        for metric, _, row in journal.metric_rows():
            if metric in files:
                files[metric].write(row)
        for name in plotted:
            yield name, _write_blob(repository, files[name.encode()])


def _write_blob(repository: pygit2.Repository, file: SpooledTemporaryFile[bytes]) -> pygit2.Oid:
    size = file.tell()
    file.seek(0)
    if size <= PLOT_BYTES_IN_MEMORY:
        return repository.create_blob(file.read())
    return repository.create_blob_fromiobase(file)


def _record(
    staging: Staging,
    baseline: pygit2.Tree,
    draft: Draft,
    project: Project,
    state: State,
    message: str | None,
) -> Record:
    is_checkpoint = state is State.ACTIVE
    number = draft.n_checkpoints + is_checkpoint
    subject = f"Experiment {draft.ref.name}" + (f", checkpoint {number}" if is_checkpoint else "")
    return Record(
        message=message or subject,
        state=state,
        created=draft.created,
        checkpoint=number,
        folder=draft.folder,
        metrics=staging.full(draft.metrics_file) if draft.series else None,
        params=_param_changes(staging, baseline, draft, project),
        failed=draft.failed,
    )


def _param_changes(
    staging: Staging, baseline: pygit2.Tree, draft: Draft, project: Project
) -> Mapping[str, Mapping[str, Any]] | None:
    """Return what differs from the baseline's params files; None where a list of values cannot tell it."""
    found: dict[str, Mapping[str, Any]] = {}
    for path in sorted({*params_files(project), *(override.file for override in draft.overrides)}):
        former, text = staging.store.read(baseline, staging.full(path)), staging.read(path)
        if former == text:
            continue
        before = flatten(read_values(former or b"{}", source=path))
        after = flatten(read_values(text or b"{}", source=path))
        if not before.keys() <= after.keys():
            return None
        found[staging.full(path)] = changes(before, after)
    return found

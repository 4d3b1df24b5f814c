"""An experiment, from its beginning to a commit that dvc's own commands understand."""

from __future__ import annotations

import functools
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

from sbcflow.errors import ConflictError, ParamsError, RepositoryError
from sbcflow.experiment.begin import FOLDER, OnError, check_on_error, first_facts, inside
from sbcflow.experiment.code import check_untracked
from sbcflow.experiment.draft import Draft, Override, begin, replay
from sbcflow.experiment.dvc.artifacts import Artifact, cache_artifact, check_overlap
from sbcflow.experiment.dvc.project import DVC_YAML, read_project
from sbcflow.experiment.git.names import ExperimentRef
from sbcflow.experiment.git.refs import delete_ref
from sbcflow.experiment.git.store import Store, storing, unwritten
from sbcflow.experiment.journal import Journal, metric_line
from sbcflow.experiment.metrics import Series, check_step, check_timestamp, check_value
from sbcflow.experiment.metrics import check_name as check_metric
from sbcflow.experiment.params.overrides import apply_overrides, flatten_overrides, parse_assignments
from sbcflow.experiment.persist import Saved, persist
from sbcflow.experiment.restore import finish, locate, restore, saved_draft, tip_record
from sbcflow.experiment.states import Call, State, advance

PARAMS_FILE = "params.yaml"


P = ParamSpec("P")
R = TypeVar("R")


class _Opening(Generic[P, R]):
    """A class method that begins an experiment: on one that has begun, the table of transitions decides."""

    def __init__(self, function: Callable[Concatenate[type[Any], P], R]) -> None:
        self._function = function
        self.__doc__ = function.__doc__

    def __get__(self, instance: Experiment | None, owner: type[Any]) -> Callable[P, R]:
        @functools.wraps(self._function)
        def opening(*args: P.args, **kwargs: P.kwargs) -> R:
            if instance is not None:
                advance(instance.name, instance.state, Call(self._function.__name__))
            return self._function(owner, *args, **kwargs)

        return opening


class Experiment:
    """One experiment: begun by ``init`` or ``resume``, ended by ``save`` or ``discard``.

    Every call is in its journal before it returns: a process that is killed loses none of them. A handle
    serves the threads of one process. As a context manager it is saved on a clean exit; an exception marks
    it failed and keeps its journal, to be resumed, or discards it (``on_error="discard"``).
    """

    _journal: Journal
    _store: Store
    _draft: Draft

    def __init__(self, name: str = "(none)") -> None:
        """Make a handle without an experiment, in the state Uninitialized; use ``init`` or ``resume``."""
        self._name = name
        self._state = State.UNINITIALIZED
        self._saved: Saved | None = None
        self._on_error: OnError = "keep"
        self._lock = threading.RLock()

    @_Opening
    def init(
        cls: type[Experiment],  # noqa: N805
        repo: Path | str = ".",
        name: str | None = None,
        baseline: str = "HEAD",
        params: Mapping[str, Any] | None = None,
        *,
        metrics_file: str | None = None,
        folder: str = FOLDER,
        on_error: OnError = "keep",
    ) -> Experiment:
        """Begin an experiment; everything is checked before anything is written.

        Args:
            repo: a folder in the Git repository; DVC's project is the nearest ``.dvc`` at or above it.
            name: its name, by default a readable one that is free.
            baseline: the revision it is compared with and starts from, resolved now for good.
            params: values to set at once, as by ``set_params``.
            metrics_file: a JSON file for the last values of metrics, from DVC's root; by default the one
                that dvc.yaml declares, where that is exactly one in Git, else ``<folder>/metrics.json``.
            folder: where metrics, plots and their dvc.yaml go in the commit, from DVC's root.
            on_error: what an exception inside a ``with`` block does to it.

        Raises:
            RepositoryError: no Git repository, no commit, no DVC, an unknown baseline, or a full disk.
            ExperimentNameError: the name is not allowed, or taken on this baseline.
            ParamsError: a param that the baseline lacks, or of another type.
        """
        store = Store(repo)
        facts = first_facts(store, name, baseline, metrics_file, folder)
        self = cls(facts["name"])
        self._on_error = check_on_error(on_error)
        self._store, self._draft = store, begin(facts)
        override = self._checked(Override(PARAMS_FILE, flatten_overrides(params))) if params else None
        with storing(f"experiment {self.name}: init"):
            self._hold(Journal.create(store, facts))
            try:
                if override is not None:
                    self._note("params", **vars(override))
            except BaseException:
                self._journal.remove()
                raise
        self._state = advance(self.name, self._state, Call.INIT)
        return self

    @_Opening
    def resume(
        cls: type[Experiment],  # noqa: N805
        name: str,
        repo: Path | str = ".",
        baseline: str | None = None,
        *,
        on_error: OnError = "keep",
    ) -> Experiment:
        """Continue an experiment: from the journal of a process that died, or from its last checkpoint.

        The journal holds every call that returned. Without one here (on another machine, say) the last
        checkpoint is what there is. One that was completed, or saved, is returned in that state.

        Raises:
            ExperimentNameError: there is none of this name, or several (give the ``baseline``).
            ConflictError: a living process works on it, or somebody moved its reference.
            RepositoryError: dvc made it, not sbcflow; or there is no such repository.
        """
        store = Store(repo)
        ref = locate(store, name, baseline)
        self = cls(ref.name)
        self._on_error = check_on_error(on_error)
        self._store = store
        with storing(f"experiment {ref.name}: resume"):
            journal = Journal.reopen(store, ref)
            if journal is not None and journal.sealed is not None:
                finish(store, ref, journal)
                journal = None
            if journal is None and tip_record(store, ref)[1].state is State.PERSISTED:
                self._read_saved(ref)
            else:
                self._continue(journal or restore(store, ref))
        return self

    # What it is

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return self._state

    @property
    def ref(self) -> str:
        """The Git reference that holds it once it is saved, or has a checkpoint."""
        return str(self._draft.ref)

    @property
    def baseline(self) -> str:
        """The full sha of the commit it is compared with."""
        return self._draft.ref.baseline

    @property
    def sha(self) -> str | None:
        """The commit its reference holds, if any yet."""
        return self._draft.tip

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of each metric."""
        return {name: series.value for name, series in self._draft.series.items()}

    @property
    def steps(self) -> dict[str, int]:
        """The last step of each metric."""
        return {name: series.step for name, series in self._draft.series.items()}

    @property
    def params(self) -> dict[str, Any]:
        """The values that were set, by dotted key; those of other files than params.yaml as ``file:key``."""
        return {
            key if override.file == PARAMS_FILE else f"{override.file}:{key}": value
            for override in self._draft.overrides
            for key, value in override.values.items()
        }

    @property
    def failed(self) -> str | None:
        """Why it failed, if it did."""
        return self._draft.failed

    # What can be asked of it

    def set_params(
        self,
        *values: Mapping[str, Any] | str,
        file: str = PARAMS_FILE,
        new: bool = False,
        change_type: bool = False,
        **named: Any,  # noqa: ANN401
    ) -> None:
        """Set params: the baseline's file with these values, comments and order kept.

        ``values`` are mappings (nested, or with dotted keys) or words ``key=value`` as on a command line;
        names are keys too. ``file`` is a path from DVC's root.

        Raises:
            ParamsError: the file has no such key and ``new`` is false; or the value's type is another and
                ``change_type`` is false. Nothing is set then.
        """
        with self._calling(Call.SET_PARAMS):
            override = self._checked(Override(inside(file, "file"), _merged(values, named), new, change_type))
            if override.values:
                self._note("params", **vars(override))

    def log_metric(
        self,
        name: str,
        value: float,
        step: int | None = None,
        timestamp: float | datetime | None = None,
        *,
        allow_nan: bool = False,
    ) -> None:
        """Log a value of a metric.

        Args:
            name: what it measures; slashes group (``train/loss``).
            value: a number, or an array of one.
            step: at which step; by default the one after the last. A metric logged with steps, or more
                than once, has a plot.
            timestamp: when, in seconds since the epoch or as a datetime with a time zone; by default now.
            allow_nan: take NaN and infinities too.

        Raises:
            MetricError: the name, value, step or timestamp is not allowed. Nothing is logged then.
        """
        with self._lock:
            self._enter(Call.LOG_METRIC)
            self._log({name: value}, step, timestamp, allow_nan)

    def log_metrics(
        self,
        values: Mapping[str, float],
        step: int | None = None,
        timestamp: float | datetime | None = None,
        *,
        allow_nan: bool = False,
    ) -> None:
        """Log one value each of several metrics, all or none, as by ``log_metric``."""
        with self._lock:
            self._enter(Call.LOG_METRICS)
            self._log(values, step, timestamp, allow_nan)

    def log_artifact(self, path: Path | str, name: str | None = None) -> Artifact:
        """Add a file or folder as data: its content to DVC's cache, a reference to it into the commit.

        Args:
            path: relative to the folder that was given as ``repo``.
            name: where it belongs, from DVC's root; needed for what lies outside the project.

        Raises:
            ArtifactError: it is missing, tracked by Git, or cannot be put into the cache.
            RepositoryError: a bare repository has no worktree, hence no cache.
        """
        with self._calling(Call.LOG_ARTIFACT):
            if self._store.workdir is None:
                raise RepositoryError(f"{path}: a bare repository has no cache for artifacts")
            tree = self._store.commit(self._draft.base).tree
            root = PurePosixPath(self._draft.root)
            artifact = cache_artifact(
                self._store.workdir / root,
                self._store.folder / path,
                name,
                tracked=lambda file: self._store.has(tree, root / file),
                ignored=lambda file: self._store.repository.path_is_ignored(str(root / file)),
            )
            outs = read_project(self._store.read(tree, root / DVC_YAML) or b"").out_paths()
            check_overlap(artifact.path, self._draft.artifacts, outs)
            self._note("artifact", **vars(artifact))
            return artifact

    def log_code(self, tracked: bool = True, *, include_untracked: Iterable[Path | str] = ()) -> None:
        """Say which of the worktree's changes are committed as code changes.

        By default, and without this call, those of tracked files, as they are when it is saved.

        Args:
            tracked: whether changes of tracked files are.
            include_untracked: other files that are, by name, relative to the folder given as ``repo``.

        Raises:
            RepositoryError: a file is missing, or outside the worktree.
        """
        with self._calling(Call.LOG_CODE):
            names = [check_untracked(self._store, path) for path in include_untracked]
            self._note("code", tracked=bool(tracked), include_untracked=names)

    def make_checkpoint(self, message: str | None = None) -> Saved:
        """Commit it as it stands, as the child of the checkpoint before, the first one of the baseline.

        Raises:
            ConflictError: somebody else moved its reference.
            RepositoryError: the disk is full, say. What was kept before is not lost.
        """
        with self._calling(Call.MAKE_CHECKPOINT):
            saved = persist(self._store, self._draft, self._journal, State.ACTIVE, message)
            self._note("checkpoint", sha=saved.sha)
            return saved

    def fail(self, reason: str) -> None:
        """Mark it as failed; it can still be saved, and its commit says so."""
        with self._calling(Call.FAIL):
            self._note("failed", reason=reason)

    def complete(self) -> None:
        """Freeze it: from here on it can be saved or discarded, and no more."""
        with self._calling(Call.COMPLETE):
            self._note("complete")

    def save(self, message: str | None = None) -> Saved:
        """Commit it for good; again, it does nothing and returns the same.

        Raises:
            ConflictError: somebody else moved its reference.
            ParamsError: a params file in the worktree changed so that a value cannot be set.
            RepositoryError: the disk is full, say. Nothing is lost, and it can be tried again.
        """
        with self._calling(Call.SAVE):
            if self._saved is None:
                self._saved = persist(self._store, self._draft, self._journal, State.PERSISTED, message)
                self._draft.tip = self._saved.sha
                self._journal.close()
            return self._saved

    def discard(self) -> None:
        """Drop it: its reference, its checkpoints and its journal.

        Raises:
            ConflictError: somebody else moved its reference.
        """
        with self._calling(Call.DISCARD), storing(f"experiment {self.name}: discard"):
            if self._draft.tip is not None:
                delete_ref(self._store, self._draft.ref, self._draft.tip)
            self._journal.remove()

    def close(self) -> None:
        """Let go of it without an end: ``resume`` continues it, here or in another process."""
        with self._lock:
            if self._state in (State.ACTIVE, State.COMPLETED):
                self._journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._state not in (State.ACTIVE, State.COMPLETED) or not self._journal.is_ours():
            return
        if error is None:
            self.save()
        elif self._on_error == "discard":
            self.discard()
        else:
            self._note("failed", reason=f"{type(error).__name__}: {error}")
            self.close()

    def __repr__(self) -> str:
        return f"<Experiment {self.name}: {self.state}>"

    def _repr_html_(self) -> str:
        from sbcflow.experiment.html import card

        return card(self.name, str(self.state), self.failed, self.params, self.metrics)

    # How it is done

    @contextmanager
    def _calling(self, call: Call) -> Iterator[None]:
        """Let one call happen, where the table allows it; the state moves if it succeeds."""
        with self._lock:
            state = self._enter(call)
            yield
            self._state = state

    def _enter(self, call: Call) -> State:
        """Return the state that a call leads to, if it may be made on this handle."""
        state = advance(self._name, self._state, call)
        if self._state is not State.PERSISTED and not self._journal.is_ours():
            raise ConflictError(
                f"experiment {self.name}: closed, or begun by another process; "
                f"Experiment.resume({self.name!r}) continues it"
            )
        return state

    def _note(self, event: str, **facts: object) -> None:
        with storing(f"experiment {self.name}: {event}"):
            self._journal.append(event, **facts)
        self._draft.apply({"event": event, **facts})

    def _hold(self, journal: Journal) -> None:
        self._journal = journal
        weakref.finalize(self, journal.close)

    def _checked(self, override: Override) -> Override:
        """Return an override whose values the file takes, as far as can be told before it is saved."""
        earlier = [other for other in self._draft.overrides if other.file == override.file]
        tree = self._store.commit(self._draft.base).tree
        text = self._store.read(tree, PurePosixPath(self._draft.root) / override.file)
        if text is None and not any(other.new for other in (*earlier, override)):
            raise ParamsError(f"{override.file}: no such file in the baseline; new=True starts one")
        text = text or b""
        for other in (*earlier, override):
            text = apply_overrides(
                text, other.values, source=other.file, new=other.new, change_type=other.change_type
            )
        return override

    def _log(
        self,
        values: Mapping[str, float],
        step: int | None,
        timestamp: float | datetime | None,
        allow_nan: bool,
    ) -> None:
        now = time.time() if timestamp is None else check_timestamp(timestamp)
        stepped = step is not None
        rows = []
        for name, value in values.items():
            former = self._draft.series.get(name) or self._fresh(name, values)
            number = check_value(name, value, allow_nan=allow_nan)
            rows.append((name, check_step(step) if step is not None else former.step + 1, number))
        lines = "".join([metric_line(name, at, number, now, stepped) for name, at, number in rows])
        try:
            self._journal.write(lines.encode())
        except OSError as error:
            raise unwritten(f"experiment {self.name}: logging", error) from error
        for name, at, number in rows:
            self._draft.count(name, number, at, stepped)

    def _fresh(self, name: str, values: Mapping[str, float]) -> Series:
        check_metric(name, {*self._draft.series, *values} - {name})
        return Series(0.0, -1, 0)

    def _read_saved(self, ref: ExperimentRef) -> None:
        draft = self._draft = saved_draft(self._store, ref)
        self._saved = Saved(ref.name, str(ref), draft.tip or "", {})
        for call in (Call.RESUME, Call.SAVE):
            self._state = advance(ref.name, self._state, call)

    def _continue(self, journal: Journal) -> None:
        """Go on from a journal; a checkpoint that its process had begun is there, or it is not."""
        draft = self._draft = replay(journal)
        self._hold(journal)
        self._state = advance(self.name, self._state, Call.RESUME)
        tip = self._store.tip(draft.ref)
        if tip is not None and tip == draft.pending:
            self._note("checkpoint", sha=tip)
        if tip != draft.tip:
            journal.close()
            raise ConflictError(
                f"experiment {self.name}: somebody moved {draft.ref} to {tip}, from {draft.tip}; to go on "
                f"from there, remove {journal.path}, and with it what was logged here alone"
            )
        journal.staged_ref.unlink(missing_ok=True)
        if draft.completed:
            self._state = advance(self.name, self._state, Call.COMPLETE)


def _merged(values: Iterable[Mapping[str, Any] | str], named: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for value in (*values, named):
        merged |= parse_assignments([value]) if isinstance(value, str) else flatten_overrides(value)
    return merged

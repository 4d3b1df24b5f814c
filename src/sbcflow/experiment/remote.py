"""Experiments shared through Git remotes, and their data through DVC's.

References go through the Git command line, with the user's credentials and hooks, in one atomic move.
Data goes through DVC's own transfer, without its locks; before the references when it is pushed, so that
nobody is shown an experiment whose data is still on its way.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pygit2

from sbcflow.errors import ConflictError, ExperimentNameError, RemoteError, RepositoryError
from sbcflow.experiment.artifacts import POINTER_SUFFIX, Cache, open_cache
from sbcflow.experiment.find import SHORT, Found, find, named, nearest
from sbcflow.experiment.journal import is_in_use, journal_path
from sbcflow.experiment.names import NAMESPACE, ExperimentRef, parse_ref
from sbcflow.experiment.store import DVC_FOLDER, Store
from sbcflow.provenance import REPOSITORY_VARIABLES

PUSHED = re.compile(r"(?P<flag>[ +*=!-])\t[^\t:]*:(?P<ref>[^\t]+)\t(?P<summary>.*)")
FETCH_REFUSED = re.compile(r" ! \[rejected\]\s+(?P<ref>\S+)\s+->.*")
MOVED_FLAGS = frozenset(" +*")
OTHER_WORK = ("[rejected] (non-fast-forward)", "[rejected] (fetch first)", "[rejected] (stale info)")
FOLLOWS_FROM_OTHERS = "(atomic push failed)"
DVC_LOGGERS = ("dvc", "dvc_data", "dvc_objects")
LEGACY = "md5-dos2unix"
MD5 = re.compile(rb"\bmd5: ([0-9a-f]{32}(?:\.dir)?)\b")

# Ids of objects by where they belong: a DVC remote's objects, None for the default remote.
Used = dict[Any, set[Any]]


@dataclass(frozen=True)
class Transferred:
    """What a push or a pull did.

    Attributes:
        names: the experiments whose reference moved. data: how many data files were moved.
        note: what was left out and why, in one line; None where nothing was.
    """

    names: list[str]
    data: int = 0
    note: str | None = None


def push(
    remote: str = "origin",
    names: Sequence[str] | None = None,
    repo: Path | str = ".",
    baseline: str | None = None,
    force: bool = False,
    data: bool = True,
) -> Transferred:
    """Push experiments to a Git remote, all or none, and their data to the default DVC remote.

    Args:
        remote: its name, or a URL.
        names: which experiments; None for all.
        repo: a folder of the repository.
        baseline: a revision, for only those that start from it.
        force: whether to replace other work that the remote holds under these names.
        data: whether to push data.

    Raises:
        ExperimentNameError: there is no such experiment.
        RemoteError: the remote is unknown or out of reach, refuses, or holds other work under a name; data
            cannot be pushed; or there is nothing to push.
    """
    store = Store(repo)
    _check_remote(store, remote)
    chosen = _chosen(store, names, baseline)
    moved = _move_data(store, chosen, push=True) if data else _Moved()
    refs = _patterns(chosen) if names is None else [str(ref) for ref, _ in chosen]
    specs = [f"{'+' if force else ''}{ref}:{ref}" for ref in refs]
    done = _git(store, ["push", "--atomic", "--porcelain", "--no-follow-tags", "--", remote, *specs])
    lines = [match for line in done.stdout.splitlines() if (match := PUSHED.fullmatch(line))]
    if done.returncode != 0:
        refused = {_name(line["ref"]): line["summary"] for line in lines if line["flag"] == "!"}
        raise RemoteError(_push_refused(remote, refused) or f"push to {remote}: {_reason(done.stderr)}")
    names_moved = [_name(line["ref"]) for line in lines if line["flag"] in MOVED_FLAGS]
    return Transferred(sorted(names_moved), moved.files, moved.note)


def pull(
    remote: str = "origin",
    names: Sequence[str] | None = None,
    repo: Path | str = ".",
    force: bool = False,
    data: bool = True,
) -> Transferred:
    """Pull experiments from a Git remote, all or none, and their data from the default DVC remote.

    Worktree, index and HEAD stay. One that a process here works on is left out, which the note says. One
    that is ahead of the remote's stays as it is.

    Args:
        remote: its name, or a URL.
        names: which experiments; None for all that the remote has.
        repo: a folder of the repository.
        force: whether to replace other work that is here under these names.
        data: whether to pull data.

    Raises:
        ConflictError: a process here works on one that was asked for by name.
        ExperimentNameError: the remote has no such experiment.
        RemoteError: the remote is unknown or out of reach, or other work is here under a name; or data
            cannot be pulled, when the references are here already.
    """
    store = Store(repo)
    _check_remote(store, remote)
    theirs = _theirs(store, remote)
    chosen, used = _not_in_use(store, theirs if names is None else _by_name(theirs, names, remote))
    if used and names is not None:
        raise ConflictError(f"experiment {', '.join(used)}: a process here works on it: pull it afterwards")
    before = dict(store.experiment_refs())
    new = [(ref, oid) for ref, oid in chosen if _is_new(store, before.get(ref), oid, force)]
    if new:
        _fetch(store, remote, [ref for ref, _ in new], force)
    moved = _move_data(store, chosen, push=False) if data else _Moved()
    if used:
        moved.notes.append(f"left out, as processes here work on them: {', '.join(used)}")
    return Transferred(sorted(ref.name for ref, _ in new), moved.files, moved.note)


def known_remotes(store: Store) -> list[str]:
    """Return the names of the repository's Git remotes."""
    return sorted(name for name in store.repository.remotes.names() if name is not None)


def _check_remote(store: Store, remote: str) -> None:
    known = known_remotes(store)
    is_url = ("/" in remote or ":" in remote) and not remote.startswith("-")
    if remote not in known and not is_url:
        there = f"there are: {', '.join(known)}" if known else "there is none: git remote add"
        raise RemoteError(f"no Git remote {remote!r}; {there}")


def _chosen(store: Store, names: Sequence[str] | None, baseline: str | None) -> list[Found]:
    if names is not None:
        chosen = dict(find(store, name, baseline) for name in names)
    else:
        sha = None if baseline is None else str(store.commit(baseline).id)
        chosen = {ref: oid for ref, oid in store.experiment_refs() if sha in (None, ref.baseline)}
    if not chosen:
        where = "" if baseline is None else f" on baseline {baseline}"
        raise RemoteError(f"{store.folder}: no experiments{where}: nothing to push")
    return list(chosen.items())


def _patterns(chosen: Iterable[Found]) -> list[str]:
    """Return patterns for whole baselines: a command line has no room for thousands of references."""
    return sorted({f"{str(ref).removesuffix(ref.name)}*" for ref, _ in chosen})


def _theirs(store: Store, remote: str) -> list[Found]:
    done = _git(store, ["ls-remote", "--refs", "--", remote, f"{NAMESPACE}*"])
    if done.returncode != 0:
        raise RemoteError(f"pull from {remote}: {_reason(done.stderr)}")
    pairs = (line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line)
    return [(ref, pygit2.Oid(hex=sha)) for sha, name in pairs if (ref := parse_ref(name)) is not None]


def _by_name(theirs: list[Found], names: Sequence[str], remote: str) -> list[Found]:
    chosen: dict[ExperimentRef, pygit2.Oid] = {}
    for name in names:
        found = named(theirs, name)
        if len(found) > 1:
            choices = ", ".join(f"{ref.name}@{ref.baseline[:SHORT]}" for ref, _ in found)
            raise ExperimentNameError(f"several experiments on {remote} are named {name!r}: choose {choices}")
        if not found:
            near = nearest(name, [ref.name for ref, _ in theirs])
            raise ExperimentNameError(f"no experiment {name!r} on {remote}{near}")
        chosen |= dict(found)
    return list(chosen.items())


def _not_in_use(store: Store, found: list[Found]) -> tuple[list[Found], list[str]]:
    """Return the experiments that no living process works on, and the names of the others."""
    used = [ref for ref, _ in found if is_in_use(journal_path(store, ref))]
    return [pair for pair in found if pair[0] not in used], [ref.name for ref in used]


def _is_new(store: Store, ours: pygit2.Oid | None, theirs: pygit2.Oid, force: bool) -> bool:
    if ours is None or ours == theirs or force:
        return ours != theirs
    return theirs not in store.repository or not store.repository.descendant_of(ours, theirs)


def _fetch(store: Store, remote: str, refs: list[ExperimentRef], force: bool) -> None:
    options = ["--atomic", "--no-tags", "--no-prune", "--no-write-fetch-head", "--no-auto-maintenance"]
    specs = "".join(f"{'+' if force else ''}{ref}:{ref}\n" for ref in refs)
    command = ["fetch", *options, "--no-recurse-submodules", "--stdin", "--", remote]
    done = _git(store, command, specs)
    if done.returncode == 0:
        return
    matches = (FETCH_REFUSED.fullmatch(line) for line in done.stderr.splitlines())
    if refused := [_name(match["ref"]) for match in matches if match]:
        raise RemoteError(
            f"pull from {remote}: experiment {', '.join(refused)}: other work is here under the name: "
            "rename yours, or pull with force to replace it"
        )
    raise RemoteError(f"pull from {remote}: {_reason(done.stderr)}")


def _push_refused(remote: str, refused: dict[str, str]) -> str | None:
    other = [name for name, summary in refused.items() if summary in OTHER_WORK]
    if other:
        return (
            f"push to {remote}: experiment {', '.join(other)}: {remote} holds other work under the name: "
            "pull it, or push with force to replace it"
        )
    told = [f"{name}: {why}" for name, why in refused.items() if FOLLOWS_FROM_OTHERS not in why]
    return f"push to {remote}: {'; '.join(told)}" if told else None


def _commits(store: Store, chosen: Iterable[Found]) -> list[str]:
    """Return the commits of experiments, their checkpoints included, each once."""
    commits: dict[str, None] = {}
    for ref, oid in chosen:
        walker = store.repository.walk(oid)
        if ref.baseline in store.repository:
            walker.hide(pygit2.Oid(hex=ref.baseline))
        commits |= dict.fromkeys(str(commit.id) for commit in walker)
    return list(commits)


def _git(store: Store, arguments: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
    surroundings = {key: value for key, value in os.environ.items() if key not in REPOSITORY_VARIABLES}
    surroundings |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        return subprocess.run(
            ["git", "-C", str(store.folder), *arguments],
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            env=surroundings,
            check=False,
        )
    except OSError as error:
        raise RemoteError(f"git cannot be run: {error.strerror}") from None


def _reason(stderr: str) -> str:
    """Return what Git said last before it gave up; what follows is advice."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    fatal = next((at for at, line in enumerate(lines) if line.startswith("fatal:")), len(lines) - 1)
    return "; ".join(lines[max(0, fatal - 1) : fatal + 1]) or "git failed without a word"


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]


@dataclass
class _Moved:
    """How many data files were moved, the ids of those that are nowhere, and what else was left out."""

    files: int = 0
    absent: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    @property
    def note(self) -> str | None:
        return "; ".join(self.notes) or None


def _move_data(store: Store, chosen: Sequence[Found], push: bool) -> _Moved:
    """Push or pull what DVC says is the data of experiments' commits."""
    root = _dvc_root(store, chosen)
    if root is None:
        notes = [f"no data was moved: no worktree with a DVC project at {store.folder} or above"]
        return _Moved(notes=notes if chosen else [])
    with _one_line("push" if push else "pull"):
        from dvc.config import Config
        from dvc.repo import Repo

        moved = _Moved()
        if not Config(str(root / DVC_FOLDER))["remote"]:
            _note_without_remote(moved, _count_pointed(store, open_cache(root), chosen, push), push)
            return moved
        with Repo(str(root)) as project:
            for home, objects in _used(project, _commits(store, chosen), push, moved).items():
                _move(project, home, objects, push, moved)
        if moved.absent:
            lost = f"{len(moved.absent)} data files are neither in DVC's cache here nor on its remote"
            moved.notes.append(lost)
        return moved


def _dvc_root(store: Store, chosen: Iterable[Found]) -> Path | None:
    for _, tip in chosen if store.workdir is not None else ():
        with suppress(RepositoryError):
            root = Path(store.workdir or "", store.dvc_root(store.commit(str(tip))))
            if (root / DVC_FOLDER).is_dir():
                return root
    return None


def _count_pointed(store: Store, cache: Cache, chosen: Iterable[Found], push: bool) -> int:
    """Count the data that experiments have beyond their baselines', to be pushed or to be pulled.

    For a repository without any DVC remote: DVC itself needs 12 ms to read a commit.
    """
    # What a lock names and the cache lacks may be a file of Git's.
    kinds = (POINTER_SUFFIX, "dvc.lock") if push else (POINTER_SUFFIX,)
    found: set[bytes] = set()
    for ref, tip in chosen:
        if ref.baseline in store.repository:
            base, top = store.commit(ref.baseline).tree, store.commit(str(tip)).tree
            paths = (delta.new_file.path for delta in base.diff_to_tree(top).deltas)
            for path in paths:
                if path.endswith(kinds):
                    found |= set(MD5.findall(store.read(top, path) or b""))
    return sum(Path(cache.oid_to_path(md5.decode())).exists() == push for md5 in found)


def _used(project: Any, commits: list[str], push: bool, moved: _Moved) -> Used:  # noqa: ANN401
    """Return the data of commits; a folder's listing that is not here is pulled to tell what it holds."""
    from dvc.exceptions import DvcException

    used: Used = defaultdict(set)
    for name in project.brancher(revs=commits, workspace=False):
        try:
            outs = [out for out in project.index.outs if out.use_cache and (out.can_push or not push)]
        except DvcException as error:
            moved.notes.append(f"DVC cannot read {name[:SHORT]}: {' '.join(str(error).split())}")
            continue
        for out in outs:
            was_here = _is_listed(out)
            for home, objects in out.get_used_objs(force=True, push=push).items():
                # Data of DVC 2 has other hashes, and lies elsewhere.
                used[home] |= {item for item in objects if home is None or item.name == home.hash_name}
            if not _is_listed(out):
                moved.absent.add(out.hash_info.value)
            elif not was_here:
                moved.files += 1
    return used


def _is_listed(out: Any) -> bool:  # noqa: ANN401
    """Whether it can be told here what an out holds: a file does, a folder if its listing is here."""
    return not out.is_dir_checksum or out.cache.exists(out.hash_info.value)


def _move(project: Any, home: Any, objects: set[Any], push: bool, moved: _Moved) -> None:  # noqa: ANN401
    for name in sorted({item.name for item in objects}):
        ids = {item for item in objects if item.name == name}
        cache = project.cache.legacy if name == LEGACY else project.cache.local
        remote = home if home is not None else _default_remote(project, name)
        if remote is None:
            _note_without_remote(moved, sum(cache.exists(item.value) == push for item in ids), push)
        else:
            _transfer(cache, remote, ids, push, moved)


def _default_remote(project: Any, hash_name: str) -> Any:  # noqa: ANN401
    from dvc.config import NoRemoteError

    try:
        return project.cloud.get_remote_odb(hash_name=hash_name)
    except NoRemoteError:
        return None


def _transfer(cache: Any, remote: Any, ids: set[Any], push: bool, moved: _Moved) -> None:  # noqa: ANN401
    from dvc_data.hashfile.transfer import transfer

    absent: set[Any] = set()
    source, target = (cache, remote) if push else (remote, cache)
    result = transfer(
        source,
        target,
        ids,
        verify=remote.verify and not push,
        cache_odb=cache,
        validate_status=lambda status: absent.update(status.missing),
    )
    if result.failed:
        raise OSError(None, f"{len(result.failed)} of {len(ids)} data files failed")
    moved.files += len(result.transferred)
    moved.absent |= {item.value for item in absent}


def _note_without_remote(moved: _Moved, count: int, push: bool) -> None:
    if count:
        what = "stay in DVC's cache here" if push else "are not here"
        moved.notes.append(
            f"{count} files or folders of data {what}: DVC has no default remote: dvc remote add --default"
        )


@contextmanager
def _one_line(verb: str) -> Iterator[None]:
    """Turn what DVC raises, and logs instead of raising, into an error of one line."""
    heard = _Listener()
    loggers = [logging.getLogger(name) for name in DVC_LOGGERS]
    before = [(logger, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(heard)
        logger.propagate = False
    try:
        yield
    except Exception as error:  # what the libraries of clouds raise has no common base
        told = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise RemoteError(f"{verb} of data: {': '.join(filter(None, (told, heard.last)))}") from error
    finally:
        for logger, propagate in before:
            logger.removeHandler(heard)
            logger.propagate = propagate


class _Listener(logging.Handler):
    """Keeps the last failure that DVC logs, which it does with a traceback where it could have raised."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.last = " ".join(f"{record.getMessage()}{f': {error}' if error else ''}".split())

"""Data of experiments, to and from DVC's remotes: by DVC's own transfer, without its locks."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pygit2

from sbcflow.errors import RemoteError, RepositoryError
from sbcflow.experiment.dvc.artifacts import POINTER_SUFFIX
from sbcflow.experiment.dvc.cache import Cache, open_cache
from sbcflow.experiment.frames.find import SHORT, Found
from sbcflow.experiment.git.store import DVC_FOLDER, Store

DVC_LOGGERS = ("dvc", "dvc_data", "dvc_objects")
LEGACY = "md5-dos2unix"
MD5 = re.compile(rb"\bmd5: ([0-9a-f]{32}(?:\.dir)?)\b")

# Ids of objects by where they belong: a DVC remote's objects, None for the default remote.
Used = dict[Any, set[Any]]


@dataclass
class Moved:
    """How many data files were moved, the ids of those that are nowhere, and what else was left out."""

    files: int = 0
    absent: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    @property
    def note(self) -> str | None:
        return "; ".join(self.notes) or None


def move_data(store: Store, chosen: Sequence[Found], push: bool) -> Moved:
    """Push or pull what DVC says is the data of experiments' commits.

    Raises:
        RemoteError: it cannot be moved.
    """
    root = _dvc_root(store, chosen)
    if root is None:
        notes = [f"no data was moved: no worktree with a DVC project at {store.folder} or above"]
        return Moved(notes=notes if chosen else [])
    with _one_line("push" if push else "pull"):
        from dvc.config import Config
        from dvc.repo import Repo

        moved = Moved()
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


def _commits(store: Store, chosen: Iterable[Found]) -> list[str]:
    """Return the commits of experiments, their checkpoints included, each once."""
    commits: dict[str, None] = {}
    for ref, oid in chosen:
        walker = store.repository.walk(oid)
        if ref.baseline in store.repository:
            walker.hide(pygit2.Oid(hex=ref.baseline))
        commits |= dict.fromkeys(str(commit.id) for commit in walker)
    return list(commits)


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


def _used(project: Any, commits: list[str], push: bool, moved: Moved) -> Used:  # noqa: ANN401
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


def _move(project: Any, home: Any, objects: set[Any], push: bool, moved: Moved) -> None:  # noqa: ANN401
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


def _transfer(cache: Any, remote: Any, ids: set[Any], push: bool, moved: Moved) -> None:  # noqa: ANN401
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


def _note_without_remote(moved: Moved, count: int, push: bool) -> None:
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

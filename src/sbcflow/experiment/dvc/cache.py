"""DVC's cache, and files copied into it durably; no lock of DVC's is taken.

Nothing appears in the cache under its final name that is not whole and durable. What is hashed is the copy,
so that data which changes meanwhile cannot spoil the cache.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, Protocol

from sbcflow.errors import ArtifactError
from sbcflow.experiment.git.store import DVC_FOLDER
from sbcflow.files import sync_folder

# So many files are open until all of them are durable: one pass of the disk serves them.
BATCH = 64
CHUNK = 2**20
# Linux: let a new file share another's blocks, copied only when one of them is written to.
FICLONE = 0x40049409
NO_ANONYMOUS_FILES = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT})


class Cache(Protocol):
    """What is used of DVC's cache, a ``dvc_data.hashfile.db.local.LocalHashFileDB``."""

    path: str
    CACHE_MODE: int

    def oid_to_path(self, oid: str) -> str: ...
    def makedirs(self, path: str) -> None: ...
    def check(self, oid: str) -> Any: ...  # noqa: ANN401
    def delete(self, oid: str) -> None: ...


def open_cache(root: Path) -> Cache:
    """Return the project's cache as DVC configures it.

    A ``dvc.repo.Repo`` would do, but it makes folders in the worktree and opens a database.

    Raises:
        ArtifactError: the worktree has no DVC project.
    """
    from dvc.cachemgr import CacheManager
    from dvc.config import Config
    from dvc.fs import localfs
    from dvc_data.hashfile.state import StateNoop

    folder = root / DVC_FOLDER
    if not folder.is_dir():
        raise ArtifactError(f"{root}: no {DVC_FOLDER} folder in the worktree: data needs DVC's cache")
    config = Config(str(folder))
    project = SimpleNamespace(config=config, fs=localfs, state=StateNoop(), local_dvc_dir=str(folder))
    cache: Cache = CacheManager(project).local
    return cache


@dataclass(frozen=True)
class Content:
    """What a file in the cache holds; the size is in bytes."""

    md5: str
    size: int


@dataclass(frozen=True)
class _Copy:
    """A private copy of a file, beside the cache's objects; ``path`` is None where it has no name."""

    descriptor: int
    path: Path | None
    content: Content


def add_files(cache: Cache, files: list[Path]) -> list[Content]:
    """Put files into the cache, durably; return what they held, in order.

    Raises:
        OSError: a file cannot be read, or the cache not be written. What is in it already is whole.
    """
    added: list[Content] = []
    for start in range(0, len(files), BATCH):
        with ExitStack() as stack:
            sources = [stack.enter_context(file.open("rb")) for file in files[start : start + BATCH]]
            copies = [stack.enter_context(_copied(cache, source)) for source in sources]
            _put_all(cache, {copy.content.md5: copy for copy in copies})
            added += [copy.content for copy in copies]
    return added


def add_listing(cache: Cache, listing: bytes) -> str:
    """Put the listing of a folder into the cache, after all its files; return its name there.

    Raises:
        OSError: the cache cannot be written.
    """
    with _copied(cache, io.BytesIO(listing)) as copy:
        name = f"{copy.content.md5}.dir"
        _put_all(cache, {name: copy})
        return name


def _put_all(cache: Cache, copies: dict[str, _Copy]) -> None:
    new = {oid: copy for oid, copy in copies.items() if not _has(cache, oid, copy.content.size)}
    for copy in new.values():  # Linux starts to write what is said to be needed no more
        os.posix_fadvise(copy.descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    for copy in new.values():
        os.fsync(copy.descriptor)
    places = {oid: Path(cache.oid_to_path(oid)) for oid in new}
    for oid, copy in new.items():
        cache.makedirs(str(places[oid].parent))
        _put(copy, places[oid])
    for folder in {place.parent for place in places.values()}:
        sync_folder(folder)
    sync_folder(Path(cache.path))


def _has(cache: Cache, oid: str, size: int) -> bool:
    """Whether the cache holds an object; one that is spoilt is removed, as DVC does."""
    from dvc_objects.errors import ObjectFormatError

    try:
        if cache.check(oid).size == size:
            return True
        cache.delete(oid)
    except (FileNotFoundError, ObjectFormatError):
        pass
    return False


def _put(copy: _Copy, place: Path) -> None:
    """Give a copy its final name; where another process was faster, its content is the same."""
    if copy.path is not None:
        copy.path.replace(place)
        return
    folder = os.open(place.parent, os.O_RDONLY)
    try:
        # Only with a folder's descriptor does Python follow the link that names the open file.
        with suppress(FileExistsError):
            os.link(f"/proc/self/fd/{copy.descriptor}", place.name, dst_dir_fd=folder)
    finally:
        os.close(folder)


@contextmanager
def _copied(cache: Cache, source: BinaryIO) -> Iterator[_Copy]:
    """Copy a file and hash the copy; it is gone afterwards, unless it got a name in the cache."""
    descriptor, path = _open_temporary(cache)
    try:
        content = _copy(source, descriptor)
        os.fchmod(descriptor, cache.CACHE_MODE)
        yield _Copy(descriptor, path, content)
    finally:
        os.close(descriptor)
        if path is not None:
            path.unlink(missing_ok=True)


def _open_temporary(cache: Cache) -> tuple[int, Path | None]:
    """Open a new file: where it can be one without a name, which a killed process cannot leave behind."""
    # Among the objects: what is left behind there, dvc gc removes.
    folder = Path(cache.oid_to_path("00"))
    cache.makedirs(str(folder))
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600), None
    except (AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in NO_ANONYMOUS_FILES:
            raise
    path = folder / f"{secrets.token_hex(8)}.tmp"
    return os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600), path


def _copy(source: BinaryIO, descriptor: int) -> Content:
    """Fill an empty file with a source's content; return what it then holds."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(descriptor, "r+b", buffering=0, closefd=False) as target:
        cloned = _clone(source, descriptor)
        while chunk := (target if cloned else source).read(CHUNK):
            digest.update(chunk)
            if not cloned:
                _write(descriptor, chunk)
    return Content(digest.hexdigest(), os.fstat(descriptor).st_size)


def _clone(source: BinaryIO, descriptor: int) -> bool:
    try:
        fcntl.ioctl(descriptor, FICLONE, source.fileno())
    except OSError:
        return False
    return True


def _write(descriptor: int, chunk: bytes) -> None:
    written = os.write(descriptor, chunk)
    while written < len(chunk):
        written += os.write(descriptor, chunk[written:])

"""Data of an experiment: its content goes into DVC's cache, a pointer to it into the commit.

The worktree stays as it is: no ``.dvc`` file, no line in ``.gitignore``, no link in place of the data. No
lock of DVC's is taken. Nothing appears in the cache under its final name that is not whole and durable, and
what is hashed is the copy, so that data which changes meanwhile cannot spoil the cache.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any, BinaryIO, Protocol

from sbcflow.errors import ArtifactError
from sbcflow.experiment.store import DVC_FOLDER, NO_SPACE
from sbcflow.files import sync_folder

POINTER_SUFFIX = ".dvc"
RESERVED_FOLDERS = frozenset({".git", DVC_FOLDER})
RESERVED_NAMES = frozenset({"dvc.yaml", "dvc.lock", ".gitignore", ".dvcignore"})
PATTERN_CHARACTERS = "\\[]!*#?"
# So many files are open until all of them are durable: one pass of the disk serves them.
BATCH = 64
CHUNK = 2**20
# Linux: let a new file share another's blocks, copied only when one of them is written to.
FICLONE = 0x40049409
NO_ANONYMOUS_FILES = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT})

Ignore = Callable[[str, list[str], list[str]], tuple[list[str], list[str]]]


class Cache(Protocol):
    """What is used of DVC's cache, a ``dvc_data.hashfile.db.local.LocalHashFileDB``."""

    path: str
    CACHE_MODE: int

    def oid_to_path(self, oid: str) -> str: ...
    def makedirs(self, path: str) -> None: ...
    def check(self, oid: str) -> Any: ...  # noqa: ANN401
    def delete(self, oid: str) -> None: ...


@dataclass(frozen=True)
class Artifact:
    """Data in DVC's cache.

    Attributes:
        path: where it belongs, relative to the DVC project, with slashes.
        md5: of the content, with ``.dir`` for a folder. size: in bytes, of all files.
        nfiles: how many files a folder holds, None for a file. isexec: whether a file is executable.
    """

    path: str
    md5: str
    size: int
    nfiles: int | None = None
    isexec: bool = False

    @property
    def pointer_path(self) -> str:
        """Where the pointer lies, relative to the DVC project."""
        return self.path + POINTER_SUFFIX

    @property
    def gitignore_path(self) -> str:
        """Where the ``.gitignore`` beside the data lies, relative to the DVC project."""
        return str(PurePosixPath(self.path).with_name(".gitignore"))


def _never(_: str) -> bool:
    return False


def cache_artifact(
    root: Path,
    path: Path,
    name: str | None = None,
    tracked: Callable[[str], bool] = _never,
    ignored: Callable[[str], bool] = _never,
) -> Artifact:
    """Copy a file, or a folder without what ``.dvcignore`` leaves out, into DVC's cache.

    ``root`` is the DVC project's folder. Data inside it is recorded where it lies, or as ``name``; data from
    outside needs a ``name``, a path in the project. ``tracked`` and ``ignored`` say whether Git has, or
    ignores, a path of the project.

    Raises:
        ArtifactError: the data is missing, unreadable, neither file nor folder, or a link that leads out of
            the project; DVC could not track it under that path; or it cannot be written (a full disk).
    """
    root = root.resolve()
    source = _located(path)
    target = _target(root, source, name)
    _check_target(target, tracked, ignored)
    with _one_line(path):
        cache = open_cache(root)
        _check_source(source, _homes(root, source, cache))
        ignore = _dvcignore(root)
        _check_not_ignored(ignore, root / target, source.is_dir(), target)
        if source.is_dir():
            return _cache_folder(cache, root, source, target, ignore)
        content = _add(cache, [source])[0]
        executable = bool(source.stat().st_mode & (stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH))
        return Artifact(target, content.md5, content.size, isexec=executable)


def pointer(artifact: Artifact) -> bytes:
    """Return the content of the artifact's ``.dvc`` file, as ``dvc add`` writes it."""
    from dvc.utils.serialize import dumps_yaml

    out: dict[str, Any] = {"md5": artifact.md5, "size": artifact.size}
    if artifact.nfiles is not None:
        out["nfiles"] = artifact.nfiles
    if artifact.isexec:
        out["isexec"] = True
    out |= {"hash": "md5", "path": PurePosixPath(artifact.path).name}
    return dumps_yaml({"outs": [out]}).encode()


def ignore(gitignore: bytes | None, artifact: Artifact) -> bytes | None:
    """Return the ``.gitignore`` beside an artifact with a line for it, or None where it has one already."""
    from pathspec import GitIgnoreSpec

    name = PurePosixPath(artifact.path).name
    before = gitignore or b""
    spec = GitIgnoreSpec.from_lines(before.decode(errors="surrogateescape").splitlines())
    if spec.match_file(name) or (artifact.nfiles is not None and spec.match_file(f"{name}/")):
        return None
    escaped = "".join(f"\\{letter}" if letter in PATTERN_CHARACTERS else letter for letter in name)
    newline = b"" if before.endswith(b"\n") or not before else b"\n"
    return before + newline + f"/{escaped}\n".encode()


def _located(path: Path) -> Path:
    """Return where data really lies; where its last name is a link, the link."""
    absolute = Path(os.path.abspath(path))  # noqa: PTH100 (a link's '..' is not to be followed)
    return absolute.parent.resolve() / absolute.name


def _target(root: Path, source: Path, name: str | None) -> str:
    inside = source.is_relative_to(root)
    if inside and RESERVED_FOLDERS.intersection(source.relative_to(root).parts):
        raise ArtifactError(f"{source}: is Git's or DVC's own: not data of an experiment")
    if name is None and not inside:
        raise ArtifactError(
            f"{source}: is outside of the DVC project {root}: give it a name, a path inside the project"
        )
    target = PurePosixPath(name) if name is not None else PurePosixPath(source.relative_to(root).as_posix())
    shown = f"artifact {str(target)!r}"
    if target.is_absolute() or ".." in target.parts or not target.parts:
        raise ArtifactError(f"{shown}: must be a path below the DVC project's folder, such as models/a.bin")
    if RESERVED_FOLDERS.intersection(target.parts) or target.name in RESERVED_NAMES:
        raise ArtifactError(f"{shown}: is a name of Git's or DVC's own: take another")
    if target.suffix == POINTER_SUFFIX:
        raise ArtifactError(f"{shown}: DVC would read it as a pointer: take a name without {POINTER_SUFFIX}")
    if not str(target).isprintable() or any(part != part.strip() for part in target.parts):
        raise ArtifactError(f"{shown}: must be printable, without spaces around a name")
    return str(target)


def _check_target(target: str, tracked: Callable[[str], bool], ignored: Callable[[str], bool]) -> None:
    if tracked(target):
        raise ArtifactError(
            f"artifact {target!r}: Git tracks it, DVC then refuses it: git rm --cached it first"
        )
    for above in map(str, PurePosixPath(target).parents):
        if tracked(above + POINTER_SUFFIX):
            raise ArtifactError(
                f"artifact {target!r}: lies in the data of {above}{POINTER_SUFFIX}: log {above} instead"
            )
    if ignored(target + POINTER_SUFFIX):
        raise ArtifactError(
            f"artifact {target!r}: Git ignores {target}{POINTER_SUFFIX}, so DVC would refuse it: "
            "give it a name elsewhere"
        )


def _check_source(source: Path, homes: tuple[Path, ...]) -> None:
    """Refuse what is neither a file nor a folder, and a link out of the places that data may lie in."""
    real = source.resolve(strict=True)
    if source.is_symlink() and not any(real.is_relative_to(home) for home in homes):
        raise ArtifactError(f"{source}: a link to {real}, outside of the project: log that, with a name")
    mode = real.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ArtifactError(f"{source}: neither a file nor a folder")


def _check_not_ignored(ignore: Ignore, target: Path, is_folder: bool, shown: str) -> None:
    folders, files = ([target.name], []) if is_folder else ([], [target.name])
    if ignore(str(target.parent), list(folders), list(files)) != (folders, files):
        raise ArtifactError(f"artifact {shown!r}: .dvcignore leaves it out: give it a name elsewhere")


def _homes(root: Path, source: Path, cache: Cache) -> tuple[Path, ...]:
    # DVC itself may have replaced data by links into its cache.
    return (root, source, Path(cache.path).resolve())


def open_cache(root: Path) -> Cache:
    """Return the project's cache as DVC configures it.

    A ``dvc.repo.Repo`` would do, but it makes folders in the worktree and opens a database.
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


def _dvcignore(root: Path) -> Ignore:
    from dvc.fs import localfs
    from dvc.ignore import DvcIgnoreFilter

    found: Ignore = DvcIgnoreFilter(localfs, str(root))
    return found


def _cache_folder(cache: Cache, root: Path, source: Path, target: str, ignore: Ignore) -> Artifact:
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.meta import Meta
    from dvc_data.hashfile.tree import Tree

    keys = sorted(_keys(source, root / target, ignore, _homes(root, source, cache)))
    tree, size = Tree(), 0  # type: ignore[no-untyped-call]
    contents = _add(cache, [source.joinpath(*key) for key in keys])
    for key, content in zip(keys, contents, strict=True):
        tree.add(key, Meta(size=content.size), HashInfo("md5", content.md5))
        size += content.size
    listing = _add_listing(cache, tree.as_bytes())
    return Artifact(target, listing, size, nfiles=len(keys))


def _keys(source: Path, target: Path, ignore: Ignore, homes: tuple[Path, ...]) -> Iterator[tuple[str, ...]]:
    """Yield each file of a folder, by the parts of its path, without what DVC ignores under its target."""
    for folder, folders, files in os.walk(source, onerror=_raise):
        key = Path(folder).relative_to(source).parts
        folders[:], kept = ignore(str(target.joinpath(*key)), folders, files)
        _check_folder(Path(folder), folders, kept)
        for name in kept:
            _check_source(Path(folder, name), homes)
            yield (*key, name)


def _check_folder(folder: Path, folders: list[str], files: list[str]) -> None:
    if ".dvcignore" in files:
        raise ArtifactError(f"{folder}: holds a .dvcignore, which DVC refuses inside of data")
    for name in folders:
        if (folder / name).is_symlink():
            raise ArtifactError(f"{folder / name}: a link to a folder, which DVC would leave out of the data")
    for name in files:
        if not name.isprintable() and not _is_text(name):
            raise ArtifactError(f"{folder / name!r}: the name is not UTF-8")


def _is_text(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _raise(error: OSError) -> None:
    raise error


@dataclass(frozen=True)
class _Copy:
    """A private copy of a file, beside the cache's objects; ``path`` is None where it has no name."""

    descriptor: int
    path: Path | None
    md5: str
    size: int


def _add(cache: Cache, files: list[Path]) -> list[_Copy]:
    """Put files into the cache, durably; return what they held, in order."""
    added: list[_Copy] = []
    for start in range(0, len(files), BATCH):
        with ExitStack() as stack:
            sources = [stack.enter_context(file.open("rb")) for file in files[start : start + BATCH]]
            copies = [stack.enter_context(_copied(cache, source)) for source in sources]
            _put_all(cache, {copy.md5: copy for copy in copies})
            added += copies
    return added


def _add_listing(cache: Cache, listing: bytes) -> str:
    """Put the listing of a folder into the cache, after all its files; return its name there."""
    with _copied(cache, io.BytesIO(listing)) as copy:
        name = f"{copy.md5}.dir"
        _put_all(cache, {name: copy})
        return name


def _put_all(cache: Cache, copies: dict[str, _Copy]) -> None:
    new = {oid: copy for oid, copy in copies.items() if not _has(cache, oid, copy.size)}
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
        md5, size = _copy(source, descriptor)
        os.fchmod(descriptor, cache.CACHE_MODE)
        yield _Copy(descriptor, path, md5, size)
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


def _copy(source: BinaryIO, descriptor: int) -> tuple[str, int]:
    """Fill an empty file with a source's content; return the md5 and the size of what it then holds."""
    digest = hashlib.md5(usedforsecurity=False)
    with open(descriptor, "r+b", buffering=0, closefd=False) as target:
        cloned = _clone(source, descriptor)
        while chunk := (target if cloned else source).read(CHUNK):
            digest.update(chunk)
            if not cloned:
                _write(descriptor, chunk)
    return digest.hexdigest(), os.fstat(descriptor).st_size


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


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Turn what the system, or DVC, says into an error of one line."""
    from dvc.exceptions import DvcException

    try:
        yield
    except FileNotFoundError as error:
        raise ArtifactError(f"{error.filename or path}: there is no such file or folder") from None
    except OSError as error:
        full = error.errno in NO_SPACE
        reason = "the disk of DVC's cache is full" if full else f"{error.filename or ''}: {error.strerror}"
        raise ArtifactError(f"{path}: cannot be put into DVC's cache: {reason.removeprefix(': ')}") from error
    except (DvcException, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ArtifactError(f"{path}: cannot be put into DVC's cache: {reason}") from error

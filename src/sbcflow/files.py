"""Files of a run: written whole or not at all, read back with errors that name them.

Every write goes to a hidden sibling that replaces its target in one rename, so a reader never sees
half a file, and a target linked into DVC's cache is replaced and never written through. A writer
locks its sibling (flock), and the kernel drops the lock with the process: what lies there unlocked
was left by a writer that was killed (``remove_leftovers``). Where a file system has no such locks,
writers go on without them and nothing is taken for a leftover.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from sbcflow.errors import ArtifactError
from sbcflow.locks import closing

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

FULL = (errno.ENOSPC, errno.EDQUOT)
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
ZIP_FILE_MODE = 0o644 << 16
ZIP_UNIX = 3
TOKEN_BYTES = 6
LEFTOVER = re.compile(rf"[.].+[.][0-9a-f]{{{2 * TOKEN_BYTES}}}[.]tmp", re.DOTALL)


@contextmanager
def replacing(path: Path | str) -> Iterator[BinaryIO]:
    """Yield a binary file that becomes ``path`` when the block ends, durable and in one rename.

    When the block or the rename fails, ``path`` keeps what it had and nothing is left behind.
    Missing parent folders are made; modes follow the umask.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary, stream = _new_file(target)
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
            # Before the file is closed: its lock ends with that.
            os.replace(temporary, target)  # noqa: PTH105
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        # The system does not say which file a full disk cut off.
        if isinstance(error, OSError) and error.errno in FULL and error.filename is None:
            error.filename = str(target)
        raise
    sync_folder(target.parent)


@contextmanager
def replacing_folder(path: Path | str) -> Iterator[Path]:
    """Yield an empty folder that takes the place of the folder ``path`` when the block ends.

    No rename exchanges two folders: a process killed between the two renames leaves ``path`` missing
    rather than mixed. When the block fails, ``path`` keeps what it had and nothing is left behind.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh, descriptor = _new_folder(target)
    with closing(descriptor):
        try:
            yield fresh
            _put_in_place(fresh, target)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
    sync_folder(target.parent)


def temporary_sibling(path: Path) -> Path:
    """Return a new hidden name beside ``path``; hidden names are no part of a run (manifest, validate)."""
    return path.with_name(f".{path.name}.{secrets.token_hex(TOKEN_BYTES)}.tmp")


def remove_leftovers(folder: Path | str) -> list[Path]:
    """Remove what killed writers left anywhere under ``folder``; return what was removed.

    A file or folder counts by its name (``temporary_sibling``), and only where its lock is free: a
    living writer's is kept, and so is one that cannot be locked. Symbolic links are not followed.
    """
    removed: list[Path] = []
    for parent, folders, names in os.walk(folder):
        found = sorted(name for name in (*folders, *names) if LEFTOVER.fullmatch(name))
        folders[:] = [name for name in folders if name not in found]
        removed += [path for name in found if _remove_unless_held(path := Path(parent, name))]
    return removed


def write_bytes(path: Path | str, value: bytes) -> None:
    """Write ``value`` as ``path``, whole or not at all."""
    with replacing(path) as stream:
        stream.write(value)


def write_text(path: Path | str, value: str) -> None:
    """Write ``value`` as UTF-8, line ends as they are, whole or not at all."""
    write_bytes(path, value.encode("utf-8"))


def write_json(path: Path | str, value: object) -> None:
    """Write ``value`` as JSON with sorted keys, whole or not at all.

    Raises:
        ArtifactError: as ``json_bytes``.
    """
    try:
        content = json_bytes(value)
    except ArtifactError as error:
        raise ArtifactError(f"{path}: not written: {error}") from None
    write_bytes(path, content)


def json_bytes(value: object) -> bytes:
    """Return the bytes that ``write_json`` writes for ``value``: equal values, equal bytes.

    Raises:
        ArtifactError: it holds something that JSON has no form for, NaN and infinities included.
    """
    try:
        text = json.dumps(value, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=False)
        return f"{text}\n".encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(f"has no form in JSON: {error}") from None


def read_json(path: Path | str) -> Any:  # noqa: ANN401
    """Read a JSON file.

    Raises:
        ArtifactError: the file is missing or is not JSON (NaN is none).
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise ArtifactError(f"{path}: {_reason(error)}") from None
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: not JSON, truncated or altered: {error}") from None


def sha256_of(path: Path | str) -> str:
    """Return the SHA-256 of a file's bytes, 64 lower-case hex digits.

    Raises:
        ArtifactError: the file is missing or cannot be read.
    """
    try:
        with Path(path).open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ArtifactError(f"{path}: {_reason(error)}") from None


def write_npz(path: Path | str, **arrays: ArrayLike) -> None:
    """Write arrays as an npz whose bytes depend on the arrays alone: no times, no pickles, no deflate.

    Raises:
        ValueError: an array holds Python objects.
    """
    import numpy as np

    with replacing(path) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=ZIP_EPOCH)
            entry.create_system, entry.external_attr = ZIP_UNIX, ZIP_FILE_MODE
            with archive.open(entry, "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(arrays[name], order="C"), allow_pickle=False)


def read_npz(path: Path | str) -> dict[str, NDArray[Any]]:
    """Read every array of an npz; pickles are refused, the archive's checksums are checked.

    Raises:
        ArtifactError: the file is missing, truncated or altered, or is no npz of plain arrays.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError as error:
        raise ArtifactError(f"{path}: {_reason(error)}") from None
    except Exception as error:
        # A damaged byte can surface as nearly any exception of zipfile or of numpy's header parser.
        raise ArtifactError(f"{path}: not a sound npz, truncated or altered: {_one_line(error)}") from None


def sync_folder(folder: Path) -> None:
    """Make renames in ``folder`` durable, where the platform can open a folder."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _new_file(target: Path) -> tuple[Path, BinaryIO]:
    """Make a file beside ``target``, locked for as long as it is open."""
    while True:
        temporary = temporary_sibling(target)
        # "x" and not mkstemp: its 0600 would hide the file from others in a shared folder.
        stream = temporary.open("xb")
        if _hold(stream.fileno(), temporary):
            return temporary, stream
        stream.close()


def _new_folder(target: Path) -> tuple[Path, int]:
    """Make a folder beside ``target``, locked for as long as the descriptor is open."""
    while True:
        temporary = temporary_sibling(target)
        temporary.mkdir()
        with suppress(FileNotFoundError):
            descriptor = os.open(temporary, os.O_RDONLY)
            if _hold(descriptor, temporary):
                return temporary, descriptor
            os.close(descriptor)


def _hold(descriptor: int, path: Path) -> bool:
    """Lock what was just made at ``path``; False where it is gone: a remover came before the lock."""
    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _put_in_place(fresh: Path, target: Path) -> None:
    """Put one folder in the place of another; where the second rename fails, the first is undone."""
    former = temporary_sibling(target)
    with _holding_folder(target):
        try:
            if target.exists():
                target.rename(former)
            fresh.rename(target)
        except BaseException:
            with suppress(OSError):
                former.rename(target)
            raise
    shutil.rmtree(former, ignore_errors=True)


@contextmanager
def _holding_folder(path: Path) -> Iterator[None]:
    """Lock a folder, where it is there and can be, under whatever name it has while the block runs."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        yield
        return
    with closing(descriptor):
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _remove_unless_held(path: Path) -> bool:
    is_folder = path.is_dir()
    # To be locked on NFS a file must be open for writing; a folder cannot, there.
    flags = (os.O_RDONLY if is_folder else os.O_RDWR) | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        with closing(os.open(path, flags)) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Under the lock: a writer that has only made it finds it gone, and makes another.
            shutil.rmtree(path) if is_folder else path.unlink()
    except OSError:
        return False
    return True


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not allowed")


def _reason(error: OSError) -> str:
    return "no such file" if isinstance(error, FileNotFoundError) else str(error.strerror)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__

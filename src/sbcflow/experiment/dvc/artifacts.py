"""Data of an experiment: its content goes into DVC's cache, a pointer to it into the commit.

The worktree stays as it is: no ``.dvc`` file, no line in ``.gitignore``, no link in place of the data.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from sbcflow.errors import ArtifactError
from sbcflow.experiment.dvc.cache import Cache, add_files, add_listing, open_cache
from sbcflow.experiment.git.store import DVC_FOLDER, NO_SPACE

POINTER_SUFFIX = ".dvc"
RESERVED_FOLDERS = frozenset({".git", DVC_FOLDER})
RESERVED_NAMES = frozenset({"dvc.yaml", "dvc.lock", ".gitignore", ".dvcignore"})
PATTERN_CHARACTERS = "\\[]!*#?"
EXECUTABLE = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH

# What ``.dvcignore`` leaves of a folder's folders and files.
Ignore = Callable[[str, list[str], list[str]], tuple[list[str], list[str]]]


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
        content = add_files(cache, [source])[0]
        return Artifact(target, content.md5, content.size, isexec=bool(source.stat().st_mode & EXECUTABLE))


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


def check_overlap(path: str, others: Iterable[str], outs: Iterable[str]) -> None:
    """Make sure that an artifact shares no file with others of its experiment, nor with outs of stages.

    It may be one of ``others``, which it then replaces, or exactly an out of a stage. All are paths from the
    DVC project's folder.

    Raises:
        ArtifactError: one lies inside of the other; DVC could not tell whose the file is.
    """
    advice = "each file can be data of one of them only"
    for kind, paths in (("artifact", others), ("the stage's out", outs)):
        for other in paths:
            if path in _above(other):
                raise ArtifactError(f"artifact {path!r}: holds {kind} {other!r}: {advice}")
            if other in _above(path):
                raise ArtifactError(f"artifact {path!r}: lies in {kind} {other!r}: {advice}")


def _above(path: str) -> list[str]:
    return [str(folder) for folder in PurePosixPath(path).parents]


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
    contents = add_files(cache, [source.joinpath(*key) for key in keys])
    for key, content in zip(keys, contents, strict=True):
        tree.add(key, Meta(size=content.size), HashInfo("md5", content.md5))
        size += content.size
    listing = add_listing(cache, tree.as_bytes())
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
        # What Python could not decode of a name it keeps as surrogates.
        if any("\udc80" <= letter <= "\udcff" for letter in name):
            raise ArtifactError(f"{str(folder / name)!r}: the name is not UTF-8")


def _raise(error: OSError) -> None:
    raise error


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

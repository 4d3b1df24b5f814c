"""Code changes: what differs in the worktree from the commit it started from, read and never written."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pygit2
from pygit2.enums import FileMode

from sbcflow.errors import RepositoryError
from sbcflow.experiment.git.store import Store
from sbcflow.experiment.git.tree import File

GIT_FOLDER = ".git"


def tracked_changes(store: Store, start: str) -> dict[str, File | None]:
    """Return the tracked files whose content in the worktree differs from the commit ``start``.

    Paths are relative to the worktree, with slashes; None stands for a file that is gone. Git's filters
    apply as on ``git add``. Submodules are left as they are. A bare repository has no changes.

    Raises:
        RepositoryError: a merge is unfinished.
    """
    if store.workdir is None:
        return {}
    index = store.repository.index
    index.read(False)
    if index.conflicts is not None:
        raise RepositoryError(
            f"{store.workdir}: a merge is unfinished: resolve its conflicts, or log_code(False)"
        )
    tree = store.commit(start).tree
    deltas = [*index.diff_to_tree(tree).deltas, *index.diff_to_workdir().deltas]
    paths = {file.path for delta in deltas for file in (delta.old_file, delta.new_file)}
    return {
        path: _file(store, path) if path in index else None for path in paths if not _is_module(index, path)
    }


def untracked_files(store: Store, names: Iterable[str]) -> dict[str, File | None]:
    """Return files of the worktree that Git does not track, by the paths ``check_untracked`` gave.

    Raises:
        RepositoryError: one is gone.
    """
    files: dict[str, File | None] = {}
    for name in names:
        files[name] = _file(store, name)
        if files[name] is None:
            raise RepositoryError(f"{name}: include_untracked names it, and it is gone from the worktree")
    return files


def check_untracked(store: Store, name: str | Path) -> str:
    """Return the path of a file in the worktree, relative to it; ``name`` is relative to the store's folder.

    Raises:
        RepositoryError: there is no such file, it lies elsewhere, or there is no worktree.
    """
    if store.workdir is None:
        raise RepositoryError(f"{name}: cannot be included: a bare repository has no worktree")
    path = Path(os.path.normpath(store.folder / name))
    if not path.is_relative_to(store.workdir) or GIT_FOLDER in path.relative_to(store.workdir).parts:
        raise RepositoryError(f"{name}: cannot be included: it lies outside the worktree {store.workdir}")
    if not path.is_symlink() and not path.is_file():
        raise RepositoryError(f"{name}: cannot be included: no such file (folders are included file by file)")
    return path.relative_to(store.workdir).as_posix()


def _file(store: Store, path: str) -> File | None:
    """Write the blob of a file of the worktree; None where the file is gone."""
    assert store.workdir is not None
    full = store.workdir / path
    try:
        mode = full.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(mode):
        return File(store.repository.create_blob(os.fsencode(full.readlink())), FileMode.LINK)
    if not stat.S_ISREG(mode):
        return None
    oid = _filtered(store, path) or store.repository.create_blob_fromworkdir(path)
    return File(oid, FileMode.BLOB_EXECUTABLE if mode & stat.S_IXUSR else FileMode.BLOB)


def _filtered(store: Store, path: str) -> pygit2.Oid | None:
    """Write a blob through a filter program (Git LFS, say), which only Git itself can run."""
    if not store.repository.get_attr(path, "filter"):
        return None
    assert store.workdir is not None
    done = subprocess.run(
        ["git", "hash-object", "-w", "--", path],
        cwd=store.workdir,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RepositoryError(f"{path}: its filter failed: {last}")
    return pygit2.Oid(hex=done.stdout.strip())


def _is_module(index: pygit2.Index, path: str) -> bool:
    return path in index and index[path].mode == FileMode.COMMIT

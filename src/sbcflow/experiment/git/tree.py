"""A tree of Git with some files changed: only the folders on their way are written anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pygit2
from pygit2.enums import FileMode

Changes = Mapping[str, "File | None"]


@dataclass(frozen=True)
class File:
    """The content of a file, by the id of its blob, and its mode (executable and link are kept)."""

    oid: pygit2.Oid
    mode: FileMode = FileMode.BLOB


def edit_tree(
    repository: pygit2.Repository, base: pygit2.Tree | None, changes: Changes
) -> tuple[pygit2.Oid | None, list[pygit2.Oid]]:
    """Return the id of ``base`` with ``changes``, and the ids of the trees written for it, innermost first.

    ``changes`` maps a path, with slashes, to its new file, or to None where it is removed. A folder left
    without files is left out, as Git has no empty ones; the id is None where nothing at all remains.
    """
    builder = repository.TreeBuilder(base) if base is not None else repository.TreeBuilder()
    written: list[pygit2.Oid] = []
    for name, inner in _by_folder(changes).items():
        if isinstance(inner, dict):
            former = base[name] if base is not None and name in base else None
            folder = former if isinstance(former, pygit2.Tree) else None
            oid, below = edit_tree(repository, folder, inner)
            written += below
            if oid is None and folder is None:
                continue  # nothing there to be removed
            _put(builder, name, None if oid is None else File(oid, FileMode.TREE))
        else:
            _put(builder, name, inner)
    if len(builder) == 0:
        return None, written
    oid = builder.write()
    return oid, [*written, oid]


def _put(builder: pygit2.TreeBuilder, name: str, file: File | None) -> None:
    if file is not None:
        builder.insert(name, file.oid, file.mode)
    elif builder.get(name) is not None:
        builder.remove(name)


def _by_folder(changes: Changes) -> dict[str, dict[str, File | None] | File | None]:
    """Return the changes of a folder: of its own files, and of each folder in it as a mapping."""
    grouped: dict[str, dict[str, File | None] | File | None] = {}
    for path, file in sorted(changes.items(), key=_removals_first):
        name, slash, rest = path.partition("/")
        if not slash:
            grouped[name] = file
            continue
        inner = grouped.get(name)
        if not isinstance(inner, dict):
            if file is None and name in grouped:
                continue  # gone with its folder
            inner = grouped[name] = {}
        inner[rest] = file
    return grouped


def _removals_first(change: tuple[str, File | None]) -> tuple[bool, str]:
    # A file that takes a folder's name, or the reverse: the one that stays is put last.
    path, file = change
    return file is not None, path

"""The files of a commit before it is made: a tree of Git, and changes laid over it."""

from __future__ import annotations

import pygit2
from pygit2.enums import FileMode

from sbcflow.experiment.git.store import Store
from sbcflow.experiment.git.tree import File, edit_tree


class Staging:
    """A tree and the changes to it. Paths are of DVC's project, whose root lies at ``root`` in the tree."""

    def __init__(self, store: Store, base: pygit2.Tree, root: str) -> None:
        """Start from the tree ``base``, with no change."""
        self.store, self.base = store, base
        self.prefix = "" if root == "." else f"{root}/"
        self.changes: dict[str, File | None] = {}

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file as it stands with the changes, or None where there is none."""
        full = self.full(path)
        if full not in self.changes:
            return self.store.read(self.base, full)
        file = self.changes[full]
        return None if file is None else self.store.repository[file.oid].peel(pygit2.Blob).data

    def read_base(self, path: str) -> bytes | None:
        """Return the bytes of a file of the tree without the changes, or None where there is none."""
        return self.store.read(self.base, self.full(path))

    def write(self, path: str, content: bytes) -> None:
        """Change a file, or add it."""
        self.put(path, self.store.repository.create_blob(content))

    def put(self, path: str, oid: pygit2.Oid) -> None:
        """Change a file, or add it: the content is in the repository already. Its mode stays."""
        full = self.full(path)
        former = self.changes[full] if full in self.changes else self._entry(full)
        self.changes[full] = File(oid, FileMode.BLOB if former is None else former.mode)

    def remove(self, path: str) -> None:
        """Remove a file, if there is one."""
        self.changes[self.full(path)] = None

    def reset(self, path: str) -> None:
        """Take a change of a file back."""
        self.changes.pop(self.full(path), None)

    def clear(self, folder: str) -> None:
        """Remove every file of a folder."""
        full = self.full(folder)
        try:
            tree = self.base[full]
        except KeyError:
            return
        if isinstance(tree, pygit2.Tree):
            self.changes |= dict.fromkeys(_files(tree, f"{full}/"))

    def changed(self) -> frozenset[str]:
        """Return the paths, within the project, whose content differs from the tree's."""
        return frozenset(
            path.removeprefix(self.prefix)
            for path, file in self.changes.items()
            if path.startswith(self.prefix) and file != self._entry(path)
        )

    def write_tree(self) -> tuple[pygit2.Oid, list[pygit2.Oid]]:
        """Write the tree, and return its id and those of all that a commit of it needs anew."""
        oid, trees = edit_tree(self.store.repository, self.base, self.changes)
        assert oid is not None, "DVC's own folder is in every tree"
        return oid, [*(file.oid for file in self.changes.values() if file is not None), *trees]

    def _entry(self, full: str) -> File | None:
        try:
            entry = self.base[full]
        except KeyError:
            return None
        return File(entry.id, FileMode(entry.filemode)) if isinstance(entry, pygit2.Blob) else None

    def full(self, path: str) -> str:
        """Return a path of the project as a path of Git's tree."""
        return f"{self.prefix}{path}"


def _files(tree: pygit2.Tree, prefix: str) -> list[str]:
    found: list[str] = []
    for entry in tree:
        path = f"{prefix}{entry.name}"
        found += _files(entry, f"{path}/") if isinstance(entry, pygit2.Tree) else [path]
    return found

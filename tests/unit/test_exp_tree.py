"""Trees of Git edited: against a plain dictionary of paths, and folder by folder."""

from __future__ import annotations

import pygit2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pygit2.enums import FileMode

from sbcflow.experiment.git.tree import File, edit_tree

Files = dict[str, bytes]
NAMES = st.sampled_from(["a", "b", "c.txt"])
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)
FILES = st.dictionaries(PATHS, st.binary(max_size=3), max_size=6)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> pygit2.Repository:
    return pygit2.init_repository(str(tmp_path_factory.mktemp("trees") / "bare.git"), bare=True)


def put(files: Files, path: str, content: bytes) -> None:
    """Add a file to a dictionary as to a folder: it takes the place of a folder, or of files above it."""
    for other in list(files):
        if other.startswith(f"{path}/") or path.startswith(f"{other}/"):
            del files[other]
    files[path] = content


def sane(files: Files) -> Files:
    result: Files = {}
    for path, content in files.items():
        put(result, path, content)
    return result


def write(repository: pygit2.Repository, files: Files) -> pygit2.Tree | None:
    index = pygit2.Index()
    for path, content in files.items():
        index.add(pygit2.IndexEntry(path, repository.create_blob(content), FileMode.BLOB))
    return repository[index.write_tree(repository)].peel(pygit2.Tree) if files else None


def read(tree: pygit2.Tree, prefix: str = "") -> Files:
    files: Files = {}
    for entry in tree:
        path = f"{prefix}{entry.name}"
        files |= read(entry, f"{path}/") if isinstance(entry, pygit2.Tree) else {path: entry.data}
    return files


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=FILES, changes=FILES, removed=st.sets(PATHS, max_size=3))
def test_an_edited_tree_is_the_tree_of_the_edited_files(
    repository: pygit2.Repository, before: Files, changes: Files, removed: set[str]
) -> None:
    before, changes = sane(before), sane(changes)
    folders = {
        "/".join(path.split("/")[:depth]) for path in before for depth in (1, 2) if path.count("/") >= depth
    }
    removed -= changes.keys() | folders
    expected = {path: content for path, content in before.items() if path not in removed}
    edits: dict[str, File | None] = dict.fromkeys(removed)
    for path, content in changes.items():
        put(expected, path, content)
        edits[path] = File(repository.create_blob(content))
    oid, _ = edit_tree(repository, write(repository, before), edits)
    direct = write(repository, expected)
    assert oid == (None if direct is None else direct.id)


def test_only_folders_on_the_way_are_written(repository: pygit2.Repository) -> None:
    base = write(repository, {"a/b/c": b"1", "a/d": b"2", "e/f": b"3"})
    assert base is not None
    oid, written = edit_tree(repository, base, {"a/b/c": File(repository.create_blob(b"4"))})
    assert oid is not None
    tree = repository[oid].peel(pygit2.Tree)
    assert read(tree) == {"a/b/c": b"4", "a/d": b"2", "e/f": b"3"}
    assert written == [tree["a/b"].id, tree["a"].id, oid]
    assert tree["e"].id == base["e"].id


def test_modes_are_kept(repository: pygit2.Repository) -> None:
    blob = repository.create_blob(b"x")
    oid, _ = edit_tree(
        repository,
        None,
        {"run": File(blob, FileMode.BLOB_EXECUTABLE), "link": File(blob, FileMode.LINK), "file": File(blob)},
    )
    assert oid is not None
    tree = repository[oid].peel(pygit2.Tree)
    assert [entry.filemode for entry in tree] == [FileMode.BLOB, FileMode.LINK, FileMode.BLOB_EXECUTABLE]

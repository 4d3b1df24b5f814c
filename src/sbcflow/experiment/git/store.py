"""The Git repository that experiments live in: what is read from it, and what is added to it.

Objects and references are added; worktree, index, HEAD, stash and locks are left as they are.
"""

from __future__ import annotations

import errno
import getpass
import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

import pygit2

from sbcflow.errors import RepositoryError
from sbcflow.experiment.git.names import ExperimentRef, parse_ref

STATE_FOLDER = "sbcflow"
DVC_FOLDER = ".dvc"
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})


class Store:
    """A Git repository, opened.

    Attributes:
        repository: the opened repository. common_dir: its Git folder, the main one where several worktrees
        share it. workdir: the worktree, None in a bare repository. folder: what was asked for, made absolute.
    """

    def __init__(self, path: Path | str = ".") -> None:
        """Open the repository that ``path`` lies in.

        Raises:
            RepositoryError: there is none, or its format or its owner keep it from being opened.
        """
        self.folder = Path(path).resolve()
        self.repository = _open(self.folder)
        self.common_dir = _common_dir(Path(self.repository.path))
        workdir = self.repository.workdir
        self.workdir = Path(workdir) if workdir is not None and not self.repository.is_bare else None

    @property
    def state_folder(self) -> Path:
        """The folder of journals, inside the Git folder; there only while one is kept."""
        return self.common_dir / STATE_FOLDER

    def commit(self, revision: str) -> pygit2.Commit:
        """Return the commit that a revision names.

        Raises:
            RepositoryError: there is no such commit, or no commit at all.
        """
        try:
            return self.repository.revparse_single(revision).peel(pygit2.Commit)
        except (KeyError, ValueError, pygit2.GitError):
            if self.repository.head_is_unborn and revision == "HEAD":
                raise RepositoryError(f"{self.folder}: no commit yet: commit something first") from None
            raise RepositoryError(f"{self.folder}: no commit {revision!r}") from None

    def head(self) -> str | None:
        """Return the sha that the worktree stands at; None in a bare repository."""
        return None if self.workdir is None else str(self.commit("HEAD").id)

    def dvc_root(self, commit: pygit2.Commit) -> PurePosixPath:
        """Return where DVC's project lies in the tree of a commit: the nearest ``.dvc`` above the folder.

        Raises:
            RepositoryError: the commit has none.
        """
        for root in self._candidates():
            if _entry(commit.tree, root / DVC_FOLDER) is not None:
                return root
        raise RepositoryError(
            f"{self.folder}: no DVC at {str(commit.id)[:7]}: run dvc init, and commit the {DVC_FOLDER} folder"
        )

    def _candidates(self) -> Iterator[PurePosixPath]:
        if self.workdir is None or not self.folder.is_relative_to(self.workdir):
            yield PurePosixPath(".")
            return
        asked = PurePosixPath(self.folder.relative_to(self.workdir).as_posix())
        yield asked
        yield from asked.parents

    def read(self, tree: pygit2.Tree, path: str | PurePosixPath) -> bytes | None:
        """Return the bytes of a file of a tree, or None where the tree has no such file."""
        entry = _entry(tree, path)
        return entry.data if isinstance(entry, pygit2.Blob) else None

    def has(self, tree: pygit2.Tree, path: str | PurePosixPath) -> bool:
        """Whether a tree has a file or a folder at a path."""
        return _entry(tree, path) is not None

    def object_paths(self, oids: Iterable[pygit2.Oid]) -> list[str]:
        """Return where objects lie that have files of their own."""
        objects = f"{self.common_dir}/objects"
        return [f"{objects}/{sha[:2]}/{sha[2:]}" for sha in map(str, oids)]

    def experiment_refs(self) -> list[tuple[ExperimentRef, pygit2.Oid]]:
        """Return every experiment and the tip of its commits, in the order of their references."""
        found = []
        for reference in self.repository.references.iterator():
            parsed = parse_ref(reference.name)
            if parsed is not None and isinstance(reference.target, pygit2.Oid):
                found.append((parsed, reference.target))
        return sorted(found, key=lambda pair: str(pair[0]))

    def tip(self, ref: ExperimentRef) -> str | None:
        """Return the sha that an experiment's reference holds, or None where there is no such reference."""
        reference = self.repository.references.get(str(ref))
        return None if reference is None else str(reference.target)

    def signature(self, role: str) -> pygit2.Signature:
        """Return who acts now, as Git would say: role is ``AUTHOR`` or ``COMMITTER``.

        Git's variables come first, then its configuration. Where neither knows, the system's user does: a
        job on a cluster shall not lose its results for want of a name.
        """
        config = self.repository.config
        name = os.environ.get(f"GIT_{role}_NAME") or _setting(config, "user.name") or _user()
        email = os.environ.get(f"GIT_{role}_EMAIL") or _setting(config, "user.email")
        now = time.localtime()
        return pygit2.Signature(
            name, email or f"{_user()}@{socket.gethostname()}", int(time.time()), now.tm_gmtoff // 60
        )


@contextmanager
def storing(what: str) -> Iterator[None]:
    """Turn a failure to write into an error of one line.

    Raises:
        RepositoryError: the disk is full, the Git folder may not be written, or Git's library failed.
    """
    try:
        yield
    except (OSError, pygit2.GitError) as error:
        raise unwritten(what, error) from error


def unwritten(what: str, error: OSError | pygit2.GitError) -> RepositoryError:
    """Return the error of one line that says what could not be written, and why."""
    number = error.errno if isinstance(error, OSError) else None
    reason = (
        f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
    )
    if number in NO_SPACE or any(os.strerror(full) in reason for full in NO_SPACE):
        reason = "the disk is full"
    return RepositoryError(f"{what} failed: {reason}; nothing that was kept before is lost")


def sync_files(paths: Iterable[Path | str]) -> None:
    """Make the content of files durable; one that is missing (an object that lies in a pack) is durable.

    All writes are started before the first is waited for, so that one pass of the disk serves them all.
    Folders are left to the file system, as by Git.
    """
    descriptors = []
    try:
        for path in paths:
            with suppress(FileNotFoundError):
                descriptors.append(os.open(path, os.O_RDONLY))
                _start_writing(descriptors[-1])
        for descriptor in descriptors:
            os.fsync(descriptor)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _start_writing(descriptor: int) -> None:
    # Linux starts to write a file's pages when told that they are needed no more.
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _open(folder: Path) -> pygit2.Repository:
    try:
        found = pygit2.discover_repository(str(folder))
        if found is None:
            raise KeyError
        return pygit2.Repository(found)
    except KeyError:
        raise RepositoryError(f"{folder}: not a Git repository (nor any folder above it)") from None
    except (pygit2.GitError, ValueError) as error:
        raise RepositoryError(f"{folder}: {_unsupported(str(error))}") from None


def _unsupported(message: str) -> str:
    if "refstorage" in message:
        return "its references are kept as a reftable; only Git's default, files, is supported"
    if "sha256" in message or "object format" in message:
        return "its objects are named by SHA-256; only Git's default, SHA-1, is supported"
    return f"Git's library cannot open it: {message}"


def _common_dir(git_dir: Path) -> Path:
    pointer = git_dir / "commondir"
    if not pointer.exists():
        return git_dir.resolve()
    return (git_dir / pointer.read_text(encoding="utf-8").strip()).resolve()


def _entry(tree: pygit2.Tree, path: str | PurePosixPath) -> pygit2.Object | None:
    try:
        return tree[str(path)]
    except KeyError:
        return None


def _setting(config: pygit2.Config, name: str) -> str | None:
    return config[name] if name in config else None  # noqa: SIM401 (a pygit2.Config has no get)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"

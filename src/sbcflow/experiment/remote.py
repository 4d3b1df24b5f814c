"""Experiments shared through Git remotes, and their data through DVC's.

References go through the Git command line, with the user's credentials and hooks, in one atomic move. Data
goes before the references when it is pushed, so that nobody is shown an experiment whose data is still on
its way.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pygit2

from sbcflow.errors import ConflictError, ExperimentNameError, RemoteError
from sbcflow.experiment.dvc.remote_data import Moved, move_data
from sbcflow.experiment.frames.find import SHORT, Found, find, named, nearest
from sbcflow.experiment.git.names import NAMESPACE, ExperimentRef, parse_ref
from sbcflow.experiment.git.store import Store
from sbcflow.experiment.journal import is_in_use, journal_path
from sbcflow.provenance import REPOSITORY_VARIABLES

PUSHED = re.compile(r"(?P<flag>[ +*=!-])\t[^\t:]*:(?P<ref>[^\t]+)\t(?P<summary>.*)")
FETCH_REFUSED = re.compile(r" ! \[rejected\]\s+(?P<ref>\S+)\s+->.*")
MOVED_FLAGS = frozenset(" +*")
OTHER_WORK = ("[rejected] (non-fast-forward)", "[rejected] (fetch first)", "[rejected] (stale info)")
FOLLOWS_FROM_OTHERS = "(atomic push failed)"


@dataclass(frozen=True)
class Transferred:
    """What a push or a pull did.

    Attributes:
        names: the experiments whose reference moved. data: how many data files were moved.
        note: what was left out and why, in one line; None where nothing was.
    """

    names: list[str]
    data: int = 0
    note: str | None = None


def push(
    remote: str = "origin",
    names: Sequence[str] | None = None,
    repo: Path | str = ".",
    baseline: str | None = None,
    force: bool = False,
    data: bool = True,
) -> Transferred:
    """Push experiments to a Git remote, all or none, and their data to the default DVC remote.

    Args:
        remote: its name, or a URL.
        names: which experiments; None for all.
        repo: a folder of the repository.
        baseline: a revision, for only those that start from it.
        force: whether to replace other work that the remote holds under these names.
        data: whether to push data.

    Raises:
        ExperimentNameError: there is no such experiment.
        RemoteError: the remote is unknown or out of reach, refuses, or holds other work under a name; data
            cannot be pushed; or there is nothing to push.
    """
    store = Store(repo)
    _check_remote(store, remote)
    chosen = _chosen(store, names, baseline)
    moved = move_data(store, chosen, push=True) if data else Moved()
    refs = _patterns(chosen) if names is None else [str(ref) for ref, _ in chosen]
    specs = [f"{'+' if force else ''}{ref}:{ref}" for ref in refs]
    done = _git(store, ["push", "--atomic", "--porcelain", "--no-follow-tags", "--", remote, *specs])
    lines = [match for line in done.stdout.splitlines() if (match := PUSHED.fullmatch(line))]
    if done.returncode != 0:
        refused = {_name(line["ref"]): line["summary"] for line in lines if line["flag"] == "!"}
        raise RemoteError(_push_refused(remote, refused) or f"push to {remote}: {_reason(done.stderr)}")
    names_moved = [_name(line["ref"]) for line in lines if line["flag"] in MOVED_FLAGS]
    return Transferred(sorted(names_moved), moved.files, moved.note)


def pull(
    remote: str = "origin",
    names: Sequence[str] | None = None,
    repo: Path | str = ".",
    force: bool = False,
    data: bool = True,
) -> Transferred:
    """Pull experiments from a Git remote, all or none, and their data from the default DVC remote.

    Worktree, index and HEAD stay. One that a process here works on is left out, which the note says. One
    that is ahead of the remote's stays as it is.

    Args:
        remote: its name, or a URL.
        names: which experiments; None for all that the remote has.
        repo: a folder of the repository.
        force: whether to replace other work that is here under these names.
        data: whether to pull data.

    Raises:
        ConflictError: a process here works on one that was asked for by name.
        ExperimentNameError: the remote has no such experiment.
        RemoteError: the remote is unknown or out of reach, or other work is here under a name; or data
            cannot be pulled, when the references are here already.
    """
    store = Store(repo)
    _check_remote(store, remote)
    theirs = _theirs(store, remote)
    chosen, used = _not_in_use(store, theirs if names is None else _by_name(theirs, names, remote))
    if used and names is not None:
        raise ConflictError(f"experiment {', '.join(used)}: a process here works on it: pull it afterwards")
    before = dict(store.experiment_refs())
    new = [(ref, oid) for ref, oid in chosen if _is_new(store, before.get(ref), oid, force)]
    if new:
        _fetch(store, remote, [ref for ref, _ in new], force)
    moved = move_data(store, chosen, push=False) if data else Moved()
    if used:
        moved.notes.append(f"left out, as processes here work on them: {', '.join(used)}")
    return Transferred(sorted(ref.name for ref, _ in new), moved.files, moved.note)


def known_remotes(store: Store) -> list[str]:
    """Return the names of the repository's Git remotes."""
    return sorted(name for name in store.repository.remotes.names() if name is not None)


def _check_remote(store: Store, remote: str) -> None:
    known = known_remotes(store)
    is_url = ("/" in remote or ":" in remote) and not remote.startswith("-")
    if remote not in known and not is_url:
        there = f"there are: {', '.join(known)}" if known else "there is none: git remote add"
        raise RemoteError(f"no Git remote {remote!r}; {there}")


def _chosen(store: Store, names: Sequence[str] | None, baseline: str | None) -> list[Found]:
    if names is not None:
        chosen = dict(find(store, name, baseline) for name in names)
    else:
        sha = None if baseline is None else str(store.commit(baseline).id)
        chosen = {ref: oid for ref, oid in store.experiment_refs() if sha in (None, ref.baseline)}
    if not chosen:
        where = "" if baseline is None else f" on baseline {baseline}"
        raise RemoteError(f"{store.folder}: no experiments{where}: nothing to push")
    return list(chosen.items())


def _patterns(chosen: Iterable[Found]) -> list[str]:
    """Return patterns for whole baselines: a command line has no room for thousands of references."""
    return sorted({f"{str(ref).removesuffix(ref.name)}*" for ref, _ in chosen})


def _theirs(store: Store, remote: str) -> list[Found]:
    done = _git(store, ["ls-remote", "--refs", "--", remote, f"{NAMESPACE}*"])
    if done.returncode != 0:
        raise RemoteError(f"pull from {remote}: {_reason(done.stderr)}")
    pairs = (line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line)
    return [(ref, pygit2.Oid(hex=sha)) for sha, name in pairs if (ref := parse_ref(name)) is not None]


def _by_name(theirs: list[Found], names: Sequence[str], remote: str) -> list[Found]:
    chosen: dict[ExperimentRef, pygit2.Oid] = {}
    for name in names:
        found = named(theirs, name)
        if len(found) > 1:
            choices = ", ".join(f"{ref.name}@{ref.baseline[:SHORT]}" for ref, _ in found)
            raise ExperimentNameError(f"several experiments on {remote} are named {name!r}: choose {choices}")
        if not found:
            near = nearest(name, [ref.name for ref, _ in theirs])
            raise ExperimentNameError(f"no experiment {name!r} on {remote}{near}")
        chosen |= dict(found)
    return list(chosen.items())


def _not_in_use(store: Store, found: list[Found]) -> tuple[list[Found], list[str]]:
    """Return the experiments that no living process works on, and the names of the others."""
    used = [ref for ref, _ in found if is_in_use(journal_path(store, ref))]
    return [pair for pair in found if pair[0] not in used], [ref.name for ref in used]


def _is_new(store: Store, ours: pygit2.Oid | None, theirs: pygit2.Oid, force: bool) -> bool:
    if ours is None or ours == theirs or force:
        return ours != theirs
    return theirs not in store.repository or not store.repository.descendant_of(ours, theirs)


def _fetch(store: Store, remote: str, refs: list[ExperimentRef], force: bool) -> None:
    options = ["--atomic", "--no-tags", "--no-prune", "--no-write-fetch-head", "--no-auto-maintenance"]
    specs = "".join(f"{'+' if force else ''}{ref}:{ref}\n" for ref in refs)
    command = ["fetch", *options, "--no-recurse-submodules", "--stdin", "--", remote]
    done = _git(store, command, specs)
    if done.returncode == 0:
        return
    matches = (FETCH_REFUSED.fullmatch(line) for line in done.stderr.splitlines())
    if refused := [_name(match["ref"]) for match in matches if match]:
        raise RemoteError(
            f"pull from {remote}: experiment {', '.join(refused)}: other work is here under the name: "
            "rename yours, or pull with force to replace it"
        )
    raise RemoteError(f"pull from {remote}: {_reason(done.stderr)}")


def _push_refused(remote: str, refused: dict[str, str]) -> str | None:
    other = [name for name, summary in refused.items() if summary in OTHER_WORK]
    if other:
        return (
            f"push to {remote}: experiment {', '.join(other)}: {remote} holds other work under the name: "
            "pull it, or push with force to replace it"
        )
    told = [f"{name}: {why}" for name, why in refused.items() if FOLLOWS_FROM_OTHERS not in why]
    return f"push to {remote}: {'; '.join(told)}" if told else None


def _git(store: Store, arguments: list[str], text: str = "") -> subprocess.CompletedProcess[str]:
    surroundings = {key: value for key, value in os.environ.items() if key not in REPOSITORY_VARIABLES}
    surroundings |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        return subprocess.run(
            ["git", "-C", str(store.folder), *arguments],
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            env=surroundings,
            check=False,
        )
    except OSError as error:
        raise RemoteError(f"git cannot be run: {error.strerror}") from None


def _reason(stderr: str) -> str:
    """Return what Git said last before it gave up; what follows is advice."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    fatal = next((at for at, line in enumerate(lines) if line.startswith("fatal:")), len(lines) - 1)
    return "; ".join(lines[max(0, fatal - 1) : fatal + 1]) or "git failed without a word"


def _name(reference: str) -> str:
    return reference.rpartition("/")[2]

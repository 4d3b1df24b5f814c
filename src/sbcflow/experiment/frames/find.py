"""An experiment by its name, its reference, or its name and the start of its baseline's sha."""

from __future__ import annotations

import difflib
import re

import pygit2

from sbcflow.errors import ExperimentNameError
from sbcflow.experiment.frames.where import shown
from sbcflow.experiment.git.names import ExperimentRef, parse_ref
from sbcflow.experiment.git.store import Store
from sbcflow.experiment.journal import journaled

SHA_PREFIX = re.compile(r"[0-9a-f]{4,40}")
SHORT = 7

Found = tuple[ExperimentRef, pygit2.Oid]


def find(store: Store, name: str, baseline: str | None = None) -> Found:
    """Return the reference of an experiment, and the commit that it holds.

    Args:
        store: the repository.
        name: its name, ``<name>@<first digits of its baseline's sha>``, or its reference, ``refs/exps/...``.
        baseline: a revision that it starts from, where several experiments have the name.

    Raises:
        ExperimentNameError: there is no such experiment, or there are several.
        RepositoryError: there is no such baseline.
    """
    sha = None if baseline is None else str(store.commit(baseline).id)
    every = [pair for pair in store.experiment_refs() if sha in (None, pair[0].baseline)]
    found = named(every, name)
    if len(found) > 1:
        choices = ", ".join(f"{ref.name}@{ref.baseline[:SHORT]}" for ref, _ in found)
        raise ExperimentNameError(
            f"several experiments are named {name!r}: choose {choices}, or give baseline="
        )
    if not found:
        raise ExperimentNameError(_unknown(store, name, sha, [ref.name for ref, _ in every]))
    return found[0]


def named(every: list[Found], name: str) -> list[Found]:
    """Return those among ``every`` that a name, a reference or a name and a baseline's digits mean."""
    ref = parse_ref(name)
    found = [pair for pair in every if pair[0] == ref or pair[0].name == name]
    plain, _, digits = name.rpartition("@")
    if found or not SHA_PREFIX.fullmatch(digits):
        return found
    return [pair for pair in every if pair[0].name == plain and pair[0].baseline.startswith(digits)]


def nearest(name: str, names: list[str]) -> str:
    """Return what to say of the names that are like one that is unknown."""
    near = difflib.get_close_matches(name, dict.fromkeys(names), n=3)
    return f"; the nearest: {', '.join(near)}" if near else f"; there are {shown(names)}"


def _unknown(store: Store, name: str, sha: str | None, names: list[str]) -> str:
    where = "" if sha is None else f" on baseline {sha[:SHORT]}"
    if any(ref.name == name and sha in (None, ref.baseline) for ref, _ in journaled(store)):
        return f"experiment {name!r}{where} has not been saved yet: resume it, and save or discard it"
    return f"no experiment {name!r}{where}{nearest(name, names)}"

"""The journal: one file an experiment, whole lines, one writer."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pygit2
import pytest

from sbcflow.errors import ConflictError, ExperimentNameError
from sbcflow.experiment.git.names import ExperimentRef
from sbcflow.experiment.git.store import Store
from sbcflow.experiment.journal import Journal, MetricRow, is_in_use, journal_path, journaled, metric_line

REF = ExperimentRef("0" * 40, "one")
FACTS = {"baseline": REF.baseline, "name": REF.name}
SHA = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    pygit2.init_repository(str(tmp_path))
    return Store(tmp_path)


def events_of(journal: Journal) -> list[Mapping[str, Any]]:
    return [entry for entry in journal.entries() if not isinstance(entry, MetricRow)]


def test_events_and_rows_come_back_in_order(store: Store) -> None:
    journal = Journal.create(store, FACTS)
    journal.append("params", values={"start": date(2026, 5, 27), "at": datetime(2026, 5, 27, 12), "n": [1]})
    journal.write((metric_line("a/b", 3, 0.5, 1.25, True) + metric_line("c", 0, 7, 2, False)).encode())
    journal.append("complete")
    events, rows = events_of(journal), list(journal.metric_rows())
    assert [event["event"] for event in events] == ["init", "params", "complete"]
    assert events[0]["name"] == "one" and events[0]["pid"] == os.getpid()
    assert events[1]["values"] == {"start": date(2026, 5, 27), "at": datetime(2026, 5, 27, 12), "n": [1]}
    assert rows == [
        (b"a/b", True, b"3\t0.5\t1.250\n"),
        (b"c", False, b"0\t7\t2.000\n"),
    ]


def test_a_journal_has_one_holder(store: Store) -> None:
    journal = Journal.create(store, FACTS)
    assert is_in_use(journal.path)
    with pytest.raises(ConflictError, match=f"in use: process {os.getpid()} on"):
        Journal.reopen(store, REF)
    with pytest.raises(ExperimentNameError, match="the name is taken: process"):
        Journal.create(store, FACTS)
    journal.close()
    assert not is_in_use(journal.path)
    with pytest.raises(ExperimentNameError, match="not saved; resume or discard it"):
        Journal.create(store, FACTS)
    again = Journal.reopen(store, REF)
    assert again is not None and again.is_ours() and not journal.is_ours()


@pytest.mark.parametrize("left", [b"", b'{"event": "in'])
def test_what_a_process_left_that_was_killed_as_it_began_is_nobodys(store: Store, left: bytes) -> None:
    path = journal_path(store, REF)
    path.parent.mkdir()
    path.write_bytes(left)
    assert Journal.reopen(store, REF) is None
    assert not path.exists()
    path.write_bytes(left)
    assert [event["event"] for event in events_of(Journal.create(store, FACTS))] == ["init"]


def test_a_half_line_is_cut_off(store: Store) -> None:
    journal = Journal.create(store, FACTS)
    journal.close()
    with journal.path.open("ab") as stream:
        stream.write(metric_line("a", 0, 1.0, 0, True).encode() + b"m\ta\t1\t1\t" + b"9" * 10_000)
    again = Journal.reopen(store, REF)
    assert again is not None
    assert list(again.metric_rows()) == [(b"a", True, b"0\t1.0\t0.000\n")]
    again.append("complete")
    assert events_of(again)[-1]["event"] == "complete"


def test_a_sealed_journal_says_which_commit(store: Store) -> None:
    journal = Journal.create(store, FACTS)
    assert journal.sealed is None
    journal.write(metric_line("a", 0, 1.0, 0, True).encode() * 100)
    journal.seal(SHA)
    assert journal.path.read_text() == f"{SHA}\n"
    journal.close()
    again = Journal.reopen(store, REF)
    assert again is not None and again.sealed == SHA
    assert journal.path.read_text() == f"{SHA}\n"


def test_a_journal_whose_seal_was_cut_short_is_sealed(store: Store) -> None:
    journal = Journal.create(store, FACTS)
    journal.close()
    content = journal.path.read_bytes()
    journal.path.write_bytes(f"{SHA}\n".encode() + content[41:])
    again = Journal.reopen(store, REF)
    assert again is not None and again.sealed == SHA


def test_removing_leaves_no_folder_that_was_not_there(store: Store) -> None:
    Journal.create(store, FACTS).remove()
    assert not store.state_folder.exists()
    store.state_folder.mkdir()
    Journal.create(store, FACTS).remove()
    assert store.state_folder.exists()


def test_all_journals_are_found_by_name(store: Store) -> None:
    for name in ("one", "t@o"):
        Journal.create(store, FACTS | {"name": name}).close()
    assert [ref for ref, _ in journaled(store)] == [REF, ExperimentRef(REF.baseline, "t@o")]

"""``kill -9`` in an experiment's life: what was acknowledged is there, and nothing is in the way.

The victims are children of ``exp_victim.py``. A kill is aimed at a call: it comes some time after the call
began, and that time is drawn over the call's duration, or over the whole life's.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import pygit2
import pytest
from exp_project import git
from exp_victim import DEPTH, LR, Row, life, rows

from sbcflow.errors import ExperimentNameError
from sbcflow.experiment import Experiment, State
from sbcflow.experiment.frames.table import read_rows
from sbcflow.experiment.git.store import Store

PHASES = {
    "init": "init",
    "set_params": "set_params",
    "log_metric": "log",
    "log_metrics": "log",
    "make_checkpoint": "make_checkpoint",
    "save": "save",
}
PLOTS = "experiment/plots"
SEALED = re.compile(rb"[0-9a-f]{40}\n")


@dataclass
class Life:
    """What a victim said: the calls it began, those that returned and their shas, the rows it logged."""

    name: str
    kind: str
    killed: bool
    begun: list[float] = field(default_factory=list)
    done: list[float] = field(default_factory=list)
    n_rows: int = 0
    shas: list[str] = field(default_factory=list)
    rows_at_sha: list[int] = field(default_factory=list)

    @property
    def acknowledged(self) -> set[str]:
        return {call for call, _ in life(self.kind)[: len(self.done)]}

    @property
    def rows(self) -> list[Row]:
        """The rows that were acknowledged."""
        return list(rows(self.kind))[: self.n_rows]

    @property
    def phase(self) -> str:
        """What it was doing when it was killed."""
        return (
            PHASES[life(self.kind)[len(self.begun) - 1][0]] if len(self.begun) > len(self.done) else "between"
        )

    def durations(self) -> list[float]:
        return [done - begun for begun, done in zip(self.begun, self.done, strict=False)]


class Victim:
    """The process whose children live and are killed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def live(
        self, name: str, kind: str, *, call: int = 0, wait: float | None = None, change: int | None = None
    ) -> Life:
        """Let a child live until ``wait`` seconds after a call began, or until it makes its n-th change."""
        assert self._process.stdin is not None and self._process.stdout is not None
        asked = {"name": name, "kind": kind, "call": call, "wait": wait, "change": change}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        said, code = json.loads(self._process.stdout.readline())
        assert code in (0, -9), f"the victim failed by itself: {said}"
        lived = Life(name, kind, code == -9)
        for line in said.splitlines():
            if line == "row":
                lived.n_rows += 1
                continue
            word, given, at = json.loads(line)
            (lived.begun if word == "begin" else lived.done).append(at)
            if word == "done" and given is not None:
                lived.shas.append(given)
                lived.rows_at_sha.append(lived.n_rows)
        return lived


@contextmanager
def victim_of(repo: Path) -> Iterator[Victim]:
    command = [sys.executable, str(Path(__file__).with_name("exp_victim.py")), str(repo)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Victim(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0


class Scene:
    """A repository as a kill leaves it, read without sbcflow."""

    def __init__(self, repo: Path) -> None:
        self.repo = repo
        self.index = self._index()
        self.baseline = git(repo, "rev-parse", "HEAD")
        self.folder = repo / ".git/refs/exps" / self.baseline[:2] / self.baseline[2:]

    def _index(self) -> tuple[bytes, int, int]:
        path = self.repo / ".git/index"
        return path.read_bytes(), path.stat().st_ino, path.stat().st_mtime_ns

    def check_nothing_in_the_way(self) -> None:
        assert [str(path) for path in (self.repo / ".git").rglob("*.lock")] == []
        assert git(self.repo, "--no-optional-locks", "status", "--porcelain") == ""
        assert self._index() == self.index
        assert git(self.repo, "rev-parse", "--symbolic-full-name", "HEAD") == "refs/heads/main"
        assert git(self.repo, "rev-parse", "HEAD") == self.baseline

    def tip(self, name: str) -> str | None:
        """The sha in the reference's file, of which every byte must be right."""
        path = self.folder / name
        if not path.exists():
            return None
        assert SEALED.fullmatch(path.read_bytes()), path.read_bytes()
        return path.read_text().strip()

    def journal(self, name: str) -> bytes | None:
        path = self.repo / ".git/sbcflow" / f"{name}@{self.baseline}.journal"
        return path.read_bytes() if path.exists() else None

    def chain(self, sha: str | None) -> list[str]:
        """The commits from ``sha`` to the baseline, the newest first; every tree and blob of them is read."""
        chain: list[str] = []
        fresh = pygit2.Repository(str(self.repo))
        while sha is not None and sha != self.baseline:
            commit = fresh[sha].peel(pygit2.Commit)
            assert read_all(commit.tree) > 5
            assert len(commit.parents) == 1
            chain.append(sha)
            sha = str(commit.parents[0].id)
        return chain

    def rows_of(self, sha: str | None) -> dict[str, list[tuple[int, float]]]:
        """The rows of metrics in a commit's plots, by metric."""
        if sha is None:
            return {}
        tree = pygit2.Repository(str(self.repo))[sha].peel(pygit2.Commit).tree
        if PLOTS not in tree:
            return {}
        found = {}
        for blob in tree[PLOTS]:
            lines = [line.split("\t") for line in blob.data.decode().splitlines()[1:]]
            found[blob.name.removesuffix(".tsv")] = [(int(line[0]), float(line[1])) for line in lines]
        return found


def read_all(tree: pygit2.Tree) -> int:
    """Read every file of a tree; return how many there are."""
    return sum(read_all(item) if isinstance(item, pygit2.Tree) else len(item.data) >= 0 for item in tree)


def by_metric(logged: list[Row]) -> dict[str, list[tuple[int, float]]]:
    return {
        metric: [(step, value) for name, step, value in logged if name == metric]
        for metric in dict.fromkeys(name for name, _, _ in logged)
    }


def rows_in(journal: bytes) -> dict[str, list[tuple[int, float]]]:
    """The rows of metrics in the whole lines of a journal, by metric."""
    words = [line.split(b"\t") for line in journal.split(b"\n")[:-1] if line.startswith(b"m\t")]
    return by_metric([(word[1].decode(), int(word[3]), float(word[4])) for word in words])


def check_holds(found: dict[str, list[tuple[int, float]]], logged: list[Row], at_most: int) -> None:
    """All acknowledged rows are there, in order, and at most some of the call that was cut off."""
    acknowledged = by_metric(logged)
    assert found.keys() >= acknowledged.keys()
    for metric, there in found.items():
        assert there[: len(acknowledged.get(metric, []))] == acknowledged.get(metric, [])
    assert sum(map(len, found.values())) <= len(logged) + at_most


def check_left(scene: Scene, lived: Life) -> None:
    """Check what a kill left, before anything else has run."""
    scene.check_nothing_in_the_way()
    named = [row.ref.name for row in read_rows(Store(scene.repo), unsaved=True)]
    assert named.count(lived.name) == 1 or "init" not in lived.acknowledged, "all experiments can be listed"
    tip, journal = scene.tip(lived.name), scene.journal(lived.name)
    chain = scene.chain(tip)
    for sha, n_rows in zip(lived.shas, lived.rows_at_sha, strict=True):
        assert sha in chain, "an acknowledged commit is in the reference's history"
        assert scene.rows_of(sha) == by_metric(lived.rows[:n_rows])
    if "save" in lived.acknowledged:
        assert tip == lived.shas[-1]
    if "init" not in lived.acknowledged:
        assert tip is None
        return
    if journal is not None and not SEALED.match(journal):
        check_holds(rows_in(journal), lived.rows, at_most=2)
    else:
        last = tip if journal is None else journal[:40].decode()
        assert scene.chain(last)
        check_holds(scene.rows_of(last), lived.rows, at_most=0)


def take_up(scene: Scene, lived: Life) -> None:
    """Take the experiment up again, and save it."""
    if "init" in lived.acknowledged:
        experiment = Experiment.resume(lived.name, scene.repo)
    else:
        try:
            experiment = Experiment.init(scene.repo, lived.name)
        except ExperimentNameError:
            experiment = Experiment.resume(lived.name, scene.repo)
    params = {"lr": LR} if "init" in lived.acknowledged else {}
    params |= {"depth": DEPTH} if "set_params" in lived.acknowledged else {}
    assert params.items() <= experiment.params.items()
    last: dict[str, Any] = {metric: there[-1][1] for metric, there in by_metric(lived.rows).items()}
    assert all(experiment.metrics[metric] >= value for metric, value in last.items())
    assert set(lived.shas) <= set(scene.chain(experiment.sha))
    was_active = experiment.state is State.ACTIVE
    if was_active:
        experiment.log_metric("after", 0.125, step=1)
    saved = experiment.save()
    assert scene.tip(lived.name) == saved.sha
    assert set(lived.shas) <= set(scene.chain(saved.sha))
    found = scene.rows_of(saved.sha)
    assert found.pop("after", None) == ([(1, 0.125)] if was_active else None)
    check_holds(found, lived.rows, at_most=2)
    assert list((scene.repo / ".git/sbcflow").iterdir()) == []


def check_end(scene: Scene, lives: list[Life]) -> None:
    """In the end every experiment is there, once, and nothing else is."""
    scene.check_nothing_in_the_way()
    assert list((scene.repo / ".git/sbcflow").iterdir()) == []
    assert sorted(row.ref.name for row in read_rows(Store(scene.repo))) == sorted(
        ["warm-up", *(lived.name for lived in lives)]
    )
    assert git(scene.repo, "fsck", "--strict", "--no-dangling") == ""
    git(scene.repo, "gc", "--quiet", "--prune=now")
    assert git(scene.repo, "fsck", "--strict", "--unreachable") == ""


def kill_at_random(
    repo: Path, kind: str, n_kills: int, aims: list[int | None], wanted: Mapping[str, int], seed: int
) -> None:
    """Kill lives, aimed at one of ``aims`` in turn (a call, or the whole life).

    At least ``n_kills`` of them, and on until each phase was hit as often as is wanted.
    """
    draw = random.Random(seed)
    scene, hits, lives = Scene(repo), Counter[str](), []
    took = [deque([0.0], maxlen=9) for _ in life(kind)]
    with victim_of(repo) as victim:
        while hits.total() < n_kills or any(hits[phase] < count for phase, count in wanted.items()):
            aim = aims[len(lives) % len(aims)]
            span = sum(map(median, took)) if aim is None else median(took[aim])
            measure = len(lives) < 5
            wait = None if measure else draw.uniform(0, span)
            lived = victim.live(f"n{len(lives)}", kind, call=aim or 0, wait=wait)
            check_left(scene, lived)
            take_up(scene, lived)
            lives.append(lived)
            hits[lived.phase] += lived.killed
            for times, seconds in zip(took, lived.durations(), strict=False):
                times.append(seconds)
            assert len(lives) < 4 * n_kills, f"a phase is hardly hit: {hits}"
    check_end(scene, lives)


def test_200_kills_from_init_to_save(repo: Path) -> None:
    calls = [call for call, _ in life("checkpoints")]
    aimed = [calls.index(call) for call in ("init", "set_params", "log_metric", "make_checkpoint", "save")]
    wanted = dict.fromkeys(PHASES.values(), 10)
    kill_at_random(repo, "checkpoints", 200, [None, *aimed, None, None, len(calls) - 1], wanted, seed=20)


def test_60_kills_of_bursts_without_a_checkpoint(repo: Path) -> None:
    save = len(life("bursts")) - 1
    kill_at_random(repo, "bursts", 60, [None, save, save, save], {"save": 30, "log": 5}, seed=21)


@pytest.mark.parametrize("kind", ["plain", "short"])
def test_a_kill_before_every_change(repo: Path, kind: str) -> None:
    scene, lives = Scene(repo), []
    with victim_of(repo) as victim:
        while not lives or lives[-1].killed:
            lived = victim.live(f"n{len(lives)}", kind, change=len(lives))
            check_left(scene, lived)
            take_up(scene, lived)
            lives.append(lived)
    check_end(scene, lives)
    assert Counter(lived.phase for lived in lives)["save"] >= 20

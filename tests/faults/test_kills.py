"""``kill -9`` of the whole process tree, anywhere in ``dvc repro`` of a sweep: nothing that was done is lost.

A round begins a sweep of twelve, from nothing or over the results of other settings. It is killed and
started again until its kills are used up; then it has to end right. ``--kills`` is how many in all.
"""

from __future__ import annotations

import hashlib
import random
import re
import shutil
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fault_project import CLEAN, CORES, N_TRAIN, RUN, Sweep, Table
from lives import Life, wait_for

from sbcflow import manifest
from sbcflow.files import read_json, sha256_of
from sbcflow.sweep.summary import SEAL, seal
from sbcflow.validate import validate

pytestmark = pytest.mark.faults

N_CONFIGS = 12
SEED = 20
# What a kill waits for, and the seconds over which it is then drawn.
AIMS = {
    "start": 1.0,
    "plan": 1.2,
    "fits": 1.5,
    "gather": 1.8,
    "gather writes": 0.15,
    "commit": 1.0,
}
ROUND = (
    "fits",
    "start",
    "fits",
    "plan",
    "fits",
    "gather",
    "gather writes",
    "commit",
    "gather writes",
    "commit",
)
WANTED = {"fits", "gather writes", "commit"}
# Settings, configs a job, and whether the sweep begins from nothing or over the results of the round before.
ROUNDS = (("other", 1, False), ("former", 4, True), ("other", 4, False), ("former", 1, True))
SETTINGS = {"former": 40, "other": 41}  # scoring.n_test
CACHED = re.compile(r"files/md5/([0-9a-f]{2})/([0-9a-f]{30})(?:\.dir)?")


@pytest.fixture(scope="module")
def twelve(finished: Sweep, tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """The sweep with twelve configs, to be killed."""
    sweep = finished.copy(tmp_path_factory.mktemp("twelve"))
    sweep.set_param("train_sweep.n_configs", N_CONFIGS)
    assert sweep.with_jobs_of(N_CONFIGS // CORES).repro("train_sweep") == N_CONFIGS - N_TRAIN
    return sweep


@pytest.fixture(scope="module")
def right(twelve: Sweep, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Table]:
    """The table of each settings, from sweeps that nobody killed, with other batches."""
    other = twelve.copy(tmp_path_factory.mktemp("other")).with_jobs_of(N_CONFIGS)
    other.set_param("scoring.n_test", SETTINGS["other"])
    assert other.snakemake("train_sweep") == N_CONFIGS
    tables = {name: sweep.table() for name, sweep in {"former": twelve, "other": other}.items()}
    assert tables["former"] != tables["other"]
    return tables


@dataclass
class Tally:
    """What is counted over all rounds."""

    phases: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    rounds: int = 0

    @property
    def kills(self) -> int:
        return self.phases.total()

    def is_enough(self, n_kills: int) -> bool:
        """Return whether there were so many kills, and each phase that counts was hit."""
        return self.kills >= n_kills and self.phases.keys() >= WANTED


@dataclass
class Round:
    """One sweep from its beginning to its end, and what has to hold all the time."""

    sweep: Sweep
    right: dict[str, Table]
    settings: str
    draw: random.Random
    tally: Tally
    done: dict[str, tuple[int, int]] = field(default_factory=dict)
    lost: Counter[str] = field(default_factory=Counter)

    def begin(self, from_nothing: bool) -> None:
        """Set the sweep to be made, over what the last round left, or over nothing at all."""
        self.sweep.set_param("scoring.n_test", SETTINGS[self.settings])
        # Else DVC remembers the round before last, and has nothing run.
        shutil.rmtree(self.sweep.path / ".dvc/cache/runs", ignore_errors=True)
        if from_nothing:
            for name in (RUN, "logs", ".dvc/cache"):
                shutil.rmtree(self.sweep.path / name)
            (self.sweep.path / "dvc.lock").unlink()
        self.sweep.forget()

    @property
    def seeds(self) -> dict[str, str]:
        """The seed of each config of the plan."""
        return {row["config_id"]: row["config_seed"] for row in self.right[self.settings]}

    def finished(self) -> dict[str, tuple[int, int]]:
        """The fits of the plan that are done."""
        return {name: stat for name, stat in self.sweep.summaries().items() if name in self.seeds}

    def live(self, aim: str) -> bool:
        """Run the stage until a random moment after what is aimed at; return whether it was killed."""
        begun, log = self.sweep.begun(), self.sweep.path / "logs/smoke-train/gather.log"
        former = _changed(log)
        if aim == "fits":
            self.sweep.hold(more=self.draw.randrange(4))
        life = Life(self.sweep, "dvc", "repro", "train_sweep")

        def arrived() -> bool:
            if aim == "fits" and not life.reached("gather"):
                return self.held(begun)
            # The gather opens its log after its imports, when its real work begins.
            return _changed(log) != former if aim == "gather writes" else life.reached(aim)

        wait_for(lambda: arrived() or life.ended())
        time.sleep(self.draw.uniform(0, AIMS[aim]))
        if not life.kill():
            assert life.process.returncode == 0, life.said
            return False
        self.sweep.release()
        inside = life.phase == "gather" and _changed(log) != former
        self.tally.phases["gather writes" if inside else life.phase] += 1
        self.check_left(begun)
        return True

    def held(self, begun: Counter[str]) -> bool:
        """Return whether a fit that began since then waits: no more may get done."""
        done = self.finished().keys()
        return any(seed not in {self.seeds[name] for name in done} for seed in self.sweep.begun() - begun)

    def check_left(self, begun: Counter[str]) -> None:
        """Check what a kill left: whole files, right tables, nothing gone but what was in flight."""
        for path in self.sweep.run_dir.glob("configs/*/summary.json"):
            summary = read_json(path)
            assert summary[SEAL] == seal(summary)
            assert sha256_of(path.with_name("draws.npz")) == summary["draws_sha256"]
        assert self.sweep.table() in (None, *self.right.values())
        path = self.sweep.run_dir / "manifest.json"
        assert not path.exists() or manifest.read(path)
        now = self.finished()
        assert {name: now.get(name) for name in self.done} == self.done, "a finished fit stays as it is"
        unfinished = {self.seeds[name] for name in self.seeds.keys() - now.keys()}
        lost = Counter(seed for seed in self.sweep.begun() - begun if seed in unfinished)
        assert lost.total() <= CORES
        self.lost += lost
        self.done = now
        self.tally.lost += lost.total()

    def check_end(self) -> None:
        """Run the stage to its end, which has to be that of a sweep that nobody killed."""
        done = self.sweep.run("dvc", "repro", "train_sweep")
        assert self.sweep.table() == self.right[self.settings]
        assert {name: self.finished()[name] for name in self.done} == self.done
        once = Counter(self.seeds.values())
        assert self.sweep.begun() == once + self.lost, "only what was in flight is fitted again"
        check_nothing_in_the_way(self.sweep, done.stdout)
        assert self.sweep.begun() == once + self.lost


def check_nothing_in_the_way(sweep: Sweep, said: str) -> None:
    """Check that no lock and no part of a file is left, and that DVC and Snakemake go on."""
    assert "Traceback" not in said
    assert sweep.leftovers() == []
    assert not validate(sweep.run_dir).problems
    assert sweep.run("dvc", "status", "train_sweep").stdout.strip() == CLEAN
    assert "didn't change, skipping" in sweep.run("dvc", "repro", "train_sweep").stdout
    assert sweep.snakemake("train_sweep") == 0
    assert sweep.run("dvc", "status", "train_sweep").stdout.strip() == CLEAN
    assert list((sweep.path / ".snakemake/locks").iterdir()) == []
    check_locks_of_the_dead(read_json(sweep.path / ".dvc/tmp/rwlock"))
    check_cache(sweep.path / ".dvc/cache")


def check_locks_of_the_dead(locks: dict[str, dict]) -> None:
    """DVC never takes a dead reader from its list of locks; but such a one is in nobody's way."""
    readers = [reader for readers in locks.get("read", {}).values() for reader in readers]
    assert not locks.get("write")
    assert not any(Path(f"/proc/{reader['pid']}").exists() for reader in readers)


def check_cache(cache: Path) -> None:
    """Check that each object in DVC's cache is what its name says."""
    for path in cache.glob("files/md5/*/*"):
        if named := CACHED.fullmatch(path.relative_to(cache).as_posix()):
            assert hashlib.md5(path.read_bytes()).hexdigest() == "".join(named.groups()), path


def test_kills_anywhere_in_a_sweep_cost_only_what_was_in_flight(
    twelve: Sweep, right: dict[str, Table], n_kills: int
) -> None:
    draw, tally = random.Random(SEED), Tally()
    while not tally.is_enough(n_kills):
        settings, size, from_nothing = ROUNDS[tally.rounds % len(ROUNDS)]
        one = Round(twelve.with_jobs_of(size), right, settings, draw, tally)
        one.begin(from_nothing)
        for aim in ROUND:
            if tally.is_enough(n_kills) or not one.live(aim):
                break
        one.sweep.release()
        one.check_end()
        tally.rounds += 1
    print(f"{tally.kills} kills in {tally.rounds} rounds: {dict(tally.phases)}; {tally.lost} fits lost")


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0

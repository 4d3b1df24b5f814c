"""Many processes in one repository at once, beside DVC and beside Git's own housekeeping."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pygit2
import yaml
from exp_project import DVC_YAML, PARAMS, commit_all, git

from sbcflow.experiment.frames.table import read_rows
from sbcflow.experiment.git.store import Store

N_WORKERS, N_SAVES = 8, 200
N_CHAINS, N_CHECKPOINTS = 25, 4
BEGIN = """\
import json, sys, time
from sbcflow.errors import ExperimentNameError
from sbcflow.experiment.lifecycle import Experiment
repo, worker = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
"""
# The last save of each waits until DVC has gone on to its second stage, however fast the others were.
SAVE = """\
from pathlib import Path
for i in range(200):
    while i == 199 and not (Path(repo).parent / "second.begun").exists():
        time.sleep(0.01)
    with Experiment.init(repo, f"w{worker}-{i}", params={"lr": worker + i / 1000}) as experiment:
        experiment.set_params(depth=i)
        experiment.log_metrics({"worker": worker, "deep/number": i})
        for step in range(3):
            experiment.log_metric("loss", worker * 1000 + i + step / 4, step=step)
"""
RACE = """\
for i in range(50):
    try:
        experiment = Experiment.init(repo, f"contested-{i}", params={"depth": worker})
    except ExperimentNameError:
        continue
    experiment.log_metric("worker", worker)
    experiment.save()
    print(i)
"""
CHAIN = """\
for i in range(25):
    experiment = Experiment.init(repo, f"chain{worker}-{i}", params={"depth": i})
    shas = []
    for k in range(4):
        experiment.log_metric("loss", worker * 1000 + i + k / 8, step=k)
        shas.append(experiment.make_checkpoint().sha)
        time.sleep(0.02)
    print(json.dumps([experiment.name, [*shas, experiment.save().sha]]))
"""
# A stage runs until it is released; the three follow one another, so that DVC writes dvc.lock in between.
HOLD = """\
import sys, time
from pathlib import Path
name = sys.argv[1]
Path(f"../{name}.begun").touch()
while not Path(f"../{name}.released").exists():
    time.sleep(0.02)
Path(f"{name}.txt").write_text(name)
"""
STAGES = ("first", "second", "third")
GC = "git gc --quiet && git repack -d --quiet"
PACK_REFS = "git pack-refs --all --prune && sleep 0.02"
MOVED_MEANWHILE = re.compile(
    r"error: cannot lock ref '.*': is at [0-9a-f]{40} but expected [0-9a-f]{40}"
    r"|error: Could not stat '.*/tmp_object_.*'"
)


@contextmanager
def workers(repo: Path, n_workers: int, work: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Start processes that do the same work, all at once when they are ready; wait for them."""
    started = [
        subprocess.Popen(
            [sys.executable, "-c", BEGIN + work, str(repo), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(n_workers)
    ]
    for worker in started:
        assert worker.stdout is not None and worker.stdout.readline() == "ready\n"
    for worker in started:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    yield started
    assert [worker.wait(120) for worker in started] == [0] * n_workers


def said(started: list[subprocess.Popen[str]]) -> list[list[Any]]:
    """What each worker prints, line by line, to its end."""
    return [
        [json.loads(line) for line in worker.communicate(timeout=120)[0].splitlines()] for worker in started
    ]


def untouched(repo: Path) -> tuple[object, ...]:
    """What no saving may change: HEAD, the branch, the index to the byte and the inode, the stash."""
    index = repo / ".git/index"
    refs = git(repo, "for-each-ref", "refs/heads", "refs/stash", "refs/tags")
    status = git(repo, "--no-optional-locks", "status", "--porcelain")
    head = (repo / ".git/HEAD").read_bytes()
    return head, refs, index.read_bytes(), index.stat().st_ino, index.stat().st_mtime_ns, status


def files(commit: pygit2.Commit, *paths: str) -> list[str]:
    return [commit.tree[path].data.decode() for path in paths]


def n_saved(repo: Path) -> int:
    return sum(path.is_file() for path in (repo / ".git/refs/exps").glob("*/*/*"))


def check_whole(repo: Path, n_experiments: int) -> None:
    assert len(Store(repo).experiment_refs()) == len(read_rows(Store(repo))) == n_experiments
    assert list((repo / ".git/sbcflow").iterdir()) == []
    assert list((repo / ".git").rglob("*.lock")) == []
    assert git(repo, "fsck", "--strict", "--no-dangling") == ""


def add_held_stages(repo: Path) -> None:
    text, before = DVC_YAML, "hold.py"
    for name in STAGES:
        text += f"  {name}:\n    cmd: python hold.py {name}\n    deps: [{before}]\n    outs: [{name}.txt]\n"
        before = f"{name}.txt"
    (repo / "dvc.yaml").write_text(text)
    (repo / "hold.py").write_text(HOLD)
    (repo / ".gitignore").write_text("".join(f"/{name}.txt\n" for name in STAGES))
    commit_all(repo, "stages that run until they are released")


def wait_for(condition: Any, patience: float = 120) -> None:
    give_up = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def check_saves(repo: Path) -> None:
    """Each of the commits has its own params, metrics and plot, and the baseline as its parent."""
    found = {ref.name: oid for ref, oid in Store(repo).experiment_refs()}
    fresh, baseline = pygit2.Repository(str(repo)), git(repo, "rev-parse", "HEAD")
    for worker in range(N_WORKERS):
        for i in range(N_SAVES):
            commit = fresh[found.pop(f"w{worker}-{i}")].peel(pygit2.Commit)
            params, metrics, plot = files(commit, "params.yaml", "metrics.json", "experiment/plots/loss.tsv")
            locked = yaml.safe_load(files(commit, "dvc.lock")[0])["stages"]["train"]["params"]
            assert locked == {"params.yaml": {"lr": worker + i / 1000, "depth": i}}
            losses = [worker * 1000 + i + step / 4 for step in range(3)]
            assert params == f"lr: {worker + i / 1000}  # learning rate\ndepth: {i}\n"
            assert json.loads(metrics) == {"worker": worker, "deep": {"number": i}, "loss": losses[-1]}
            assert [float(line.split("\t")[1]) for line in plot.splitlines()[1:]] == losses
            assert [str(parent.id) for parent in commit.parents] == [baseline]
    assert found == {}


@contextmanager
def reproducing(repo: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the held stages; whatever happens, in the end they are released."""
    command = [sys.executable, "-m", "dvc", "repro", "--quiet", "third"]
    process = subprocess.Popen(command, cwd=repo, stderr=subprocess.PIPE, text=True)
    try:
        wait_for((repo.parent / "first.begun").exists)
        yield process
    finally:
        for name in STAGES:
            (repo.parent / f"{name}.released").touch()
        told = process.communicate(timeout=60)[1]
    assert (process.returncode, told) == (0, "")


def test_1600_saves_of_8_processes_while_dvc_repro_runs(repo: Path) -> None:
    add_held_stages(repo)
    before = untouched(repo)
    with reproducing(repo) as repro:
        assert untouched(repo) == before and not (repo.parent / "second.begun").exists()
        with workers(repo, N_WORKERS, SAVE) as started:
            wait_for(lambda: n_saved(repo) >= 400)
            (repo.parent / "first.released").touch()
            wait_for((repo.parent / "second.begun").exists)
            assert n_saved(repo) < N_WORKERS * N_SAVES, "DVC wrote its lock while there was saving"
            (repo.parent / "second.released").touch()
            said(started)
        assert repro.poll() is None, "the stages were running all the time"
        assert not (repo / "third.txt").exists()
    assert (repo / "third.txt").read_text() == "third"
    after = untouched(repo)
    assert after[:-1] == before[:-1] and after[-1] == " M dvc.lock", "the lock is what DVC itself has written"
    check_whole(repo, N_WORKERS * N_SAVES)
    check_saves(repo)


def test_one_of_8_processes_wins_each_of_50_names(repo: Path) -> None:
    before = untouched(repo)
    with workers(repo, N_WORKERS, RACE) as started:
        won = said(started)
    assert Counter(i for names in won for i in names) == Counter(range(50)), "each name is won once"
    assert sum(map(bool, won)) > 1, "there was a race"
    check_whole(repo, 50)
    fresh = pygit2.Repository(str(repo))
    for ref, oid in Store(repo).experiment_refs():
        winner = next(w for w, names in enumerate(won) if int(ref.name.removeprefix("contested-")) in names)
        params, metrics = files(fresh[oid].peel(pygit2.Commit), "params.yaml", "metrics.json")
        assert params == PARAMS.replace("depth: 3", f"depth: {winner}")
        assert json.loads(metrics) == {"worker": winner}
    assert untouched(repo) == before


@contextmanager
def looping(repo: Path, command: str) -> Iterator[Path]:
    """Run a command over and over; yields a file that gets a line for each time. It must not fail once.

    That a reference moved meanwhile, or a temporary file is gone, Git says of its own work, too, and goes on.
    """
    turns, stop = repo.parent / f"{command.split()[1]}.turns", repo.parent / "stop"
    loop = f"set -e; while [ ! -e {stop} ]; do {command}; echo >> {turns}; done"
    process = subprocess.Popen(["bash", "-c", loop], cwd=repo, stderr=subprocess.PIPE, text=True)
    try:
        yield turns
    finally:
        stop.touch()
        told = process.communicate(timeout=60)[1]
    assert process.returncode == 0, told
    assert [line for line in told.splitlines() if not MOVED_MEANWHILE.fullmatch(line)] == []


def test_checkpoints_of_4_processes_while_git_packs(repo: Path) -> None:
    before = untouched(repo)
    with looping(repo, GC) as gcs, looping(repo, PACK_REFS) as packs, workers(repo, 4, CHAIN) as started:
        chains = dict(line for lines in said(started) for line in lines)
        turns = [len(path.read_text()) for path in (gcs, packs)]
    assert min(turns) >= 3, f"Git hardly ran: {turns}"
    check_whole(repo, 4 * N_CHAINS)
    found = {ref.name: str(oid) for ref, oid in Store(repo).experiment_refs()}
    fresh, baseline = pygit2.Repository(str(repo)), git(repo, "rev-parse", "HEAD")
    for name, shas in chains.items():
        worker, i = map(int, name.removeprefix("chain").split("-"))
        assert found.pop(name) == shas[-1] and len(shas) == len(set(shas)) == N_CHECKPOINTS + 1
        for k, (parent, sha) in enumerate(zip([baseline, *shas], shas, strict=False)):
            commit = fresh[sha].peel(pygit2.Commit)
            assert [str(above.id) for above in commit.parents] == [parent]
            (params, plot) = files(commit, "params.yaml", "experiment/plots/loss.tsv")
            assert params == PARAMS.replace("depth: 3", f"depth: {i}")
            losses = [worker * 1000 + i + step / 8 for step in range(min(k + 1, N_CHECKPOINTS))]
            assert [float(line.split("\t")[1]) for line in plot.splitlines()[1:]] == losses
    assert found == {}
    assert untouched(repo) == before

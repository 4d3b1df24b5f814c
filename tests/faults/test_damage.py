"""Damage to what a sweep stands on: what happens, what the user reads, and the way back.

docs/faults.md is the table of these tests. In all of them a table is right or not there.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_project import CLEAN, N_TRAIN, RUN, Sweep, Table
from lives import Life, send, wait_for
from mounts import own_mounts

from sbcflow.validate import validate

pytestmark = pytest.mark.faults

N_MORE = N_TRAIN + 2
REFUSED = 255  # of dvc; snakemake says 1
DECADES = 1e9  # seconds
OTHER_JAX = """\
import importlib.metadata as metadata
true_version = metadata.version
metadata.version = lambda name: "99.0.0" if name == "jax" else true_version(name)
"""
REPRO = ("dvc", "repro", "train_sweep")
SNAKEMAKE = ("snakemake", "train_sweep")


@pytest.fixture(scope="module")
def more(finished: Sweep, tmp_path_factory: pytest.TempPathFactory) -> Table:
    """The right table with two configs more."""
    sweep = finished.copy(tmp_path_factory.mktemp("more")).with_jobs_of(2)
    sweep.set_param("train_sweep.n_configs", N_MORE)
    assert sweep.snakemake("train_sweep") == N_MORE - N_TRAIN
    return sweep.table()


def errors(said: str) -> list[str]:
    """Return the error lines of a run, which must have no traceback."""
    assert "Traceback (most recent call last)" not in said, said
    return re.findall(r"^error: .*", said, re.M)


def check_ends_right(sweep: Sweep, right: Table, n_fits: int) -> None:
    """Run the stage: it fits what it has to and no more, and leaves what it always leaves."""
    sweep.forget()
    assert sweep.repro("train_sweep") == n_fits
    assert sweep.begun().total() == n_fits
    check_right(sweep, right)


def check_right(sweep: Sweep, right: Table) -> None:
    assert sweep.table() == right
    assert sweep.leftovers() == []
    assert not validate(sweep.run_dir).problems
    assert sweep.run("dvc", "status", "train_sweep").stdout.strip() == CLEAN


def _cut_summary(sweep: Sweep) -> str:
    path = sweep.config(1) / "summary.json"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return "summary.json: not JSON, truncated or altered: .*"


def _alter_draws(sweep: Sweep) -> str:
    _flip(sweep.config(1) / "draws.npz")
    return "draws.npz: is missing or altered: summary.json holds another sha256"


def _copy_anothers_summary(sweep: Sweep) -> str:
    shutil.copy(sweep.config(2) / "summary.json", sweep.config(1) / "summary.json")
    return f"summary.json: does not carry its config's key {sweep.config(1).name[5:]}[0-9a-f]{{56}}"


def _copy_anothers_folder(sweep: Sweep) -> str:
    shutil.copy(sweep.config(2) / "draws.npz", sweep.config(1) / "draws.npz")
    return _copy_anothers_summary(sweep)


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [_cut_summary, _alter_draws, _copy_anothers_summary, _copy_anothers_folder]
)
def test_a_damaged_fit_is_refused_by_name(sweep: Sweep, damage: Callable[[Sweep], str]) -> None:
    right, folder = sweep.table(), f"{RUN}/configs/{sweep.config(1).name}"
    complaint = damage(sweep)
    done = sweep.run(*REPRO, check=False)
    assert done.returncode == REFUSED
    (line,) = errors(done.stdout)
    assert re.fullmatch(rf"error: {folder}/{complaint}; to fit it again: rm -r {folder}", line), line
    assert sweep.table() is None
    sweep.run("bash", "-c", line.rpartition("to fit it again: ")[2])
    check_ends_right(sweep, right, n_fits=1)


def _empty_table(sweep: Sweep) -> None:
    sweep.aggregate.write_bytes(b"")


def _another_number(sweep: Sweep) -> None:
    header, first, *rest = sweep.aggregate.read_text().splitlines(keepends=True)
    sweep.aggregate.write_text("".join([header, first.replace("0.", "0.9", 1), *rest]))


def _another_experiment(sweep: Sweep) -> None:
    path = sweep.run_dir / "manifest.json"
    path.write_text(path.read_text().replace('"experiment_id": "20', '"experiment_id": "21', 1))


def _half_the_files(sweep: Sweep) -> None:
    """As the gather of another sweep, killed half way, would leave them."""
    shutil.rmtree(sweep.run_dir / "dvclive")
    shutil.copytree(sweep.config(0), sweep.run_dir / "configs/0007-00000000")
    (sweep.run_dir / ".aggregate.csv.0123456789ab.tmp").write_text("config_id,")


@pytest.mark.parametrize("damage", [_empty_table, _another_number, _another_experiment, _half_the_files])
def test_what_a_gather_makes_is_made_again(sweep: Sweep, damage: Callable[[Sweep], None]) -> None:
    right = sweep.table()
    damage(sweep)
    check_ends_right(sweep, right, n_fits=0)


def test_a_missing_manifest_is_a_new_experiment(sweep: Sweep) -> None:
    right, path = sweep.table(), sweep.run_dir / "manifest.json"
    former = json.loads(path.read_text())["experiment_id"]
    path.unlink()
    sweep.run("dvc", "checkout", "--quiet", "--force")
    assert json.loads(path.read_text())["experiment_id"] == former, "DVC has it"
    path.unlink()
    time.sleep(1.1)  # an experiment_id holds whole seconds
    check_ends_right(sweep, right, n_fits=0)
    fresh = json.loads(path.read_text())["experiment_id"]
    assert fresh != former
    done = sweep.run("snakemake", "--allowed-rules", "evaluate", "--", "evaluate_layered", check=False)
    assert done.returncode == 1
    (line,) = errors(done.stdout)
    assert f"names the train sweep {former}, but smoke-train is {fresh}" in line
    assert "fit_corrections:" in sweep.run("dvc", "status").stdout, "dvc repro makes what follows again"


@pytest.mark.parametrize("shift", [DECADES, -DECADES], ids=["future", "past"])
def test_touched_files_change_nothing(sweep: Sweep, shift: float) -> None:
    right, then = sweep.table(), time.time() + shift
    for path in sweep.path.rglob("*"):
        if path.is_file() and ".git" not in path.parts:
            os.utime(path, (then, then))
    done = sweep.run("dvc", "repro")
    assert done.stdout.count("didn't change, skipping") == 4
    assert sweep.snakemake("train_sweep") == 0
    check_right(sweep, right)


def test_a_byte_that_changed_without_its_time_is_named(sweep: Sweep) -> None:
    """DVC looks at time and size first; the seal and the checksums do not."""
    right, draws = sweep.table(), sweep.config(1) / "draws.npz"
    sweep.run("dvc", "status")
    stat = draws.stat()
    _flip(draws)
    os.utime(draws, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert "didn't change, skipping" in sweep.run(*REPRO).stdout
    done = sweep.run("sbcflow", "validate", RUN, check=False)
    assert done.returncode == 1 and f"{draws.relative_to(sweep.path)}: was changed" in done.stdout
    done = sweep.run(*SNAKEMAKE, check=False)
    assert done.returncode == 1
    (line,) = errors(done.stdout)
    assert "draws.npz: is missing or altered" in line
    sweep.run("bash", "-c", line.rpartition("to fit it again: ")[2])
    check_ends_right(sweep, right, n_fits=1)


def test_a_folder_that_cannot_be_written(sweep: Sweep, more: Table) -> None:
    right = sweep.table()
    sweep.set_param("train_sweep.n_configs", N_MORE)
    with own_mounts(sweep) as there:
        there.run("mount", "--bind", "-o", "ro", RUN, RUN)
        for command, code, words in (
            (REPRO, REFUSED, f"ERROR: failed to reproduce 'train_sweep': .*Read-only file system: '.*{RUN}"),
            (SNAKEMAKE, 1, f"Write-protected output files for rule gather:\n.*{RUN}/aggregate.csv"),
        ):
            done = there.run(*command, check=False)
            assert done.returncode == code
            assert errors(done.stdout) == [] and re.search(words, done.stdout), done.stdout
        assert there.sweep.table() == right
    assert sweep.begun().total() == 0
    check_ends_right(sweep, more, n_fits=N_MORE - N_TRAIN)


def test_fits_that_cannot_be_written(sweep: Sweep, more: Table) -> None:
    sweep.set_param("train_sweep.n_configs", N_MORE)
    with own_mounts(sweep) as there:
        there.run("mount", "--bind", "-o", "ro", f"{RUN}/configs", f"{RUN}/configs")
        done = there.run(*SNAKEMAKE, check=False)
    assert done.returncode == 1
    lines = errors(done.stdout)
    wrong = rf"error: 1 of 1 fits failed: (000\d-\w{{8}}): {RUN}/configs/\1.*: Read-only file system"
    assert len(lines) == N_MORE - N_TRAIN and all(re.fullmatch(wrong, line) for line in lines), lines
    check_ends_right(sweep, more, n_fits=N_MORE - N_TRAIN)


def test_a_full_disk_in_mid_sweep(sweep: Sweep, more: Table) -> None:
    sweep.set_param("train_sweep.n_configs", N_MORE)
    sweep = sweep.with_jobs_of(2)
    with own_mounts(sweep) as there:
        there.run("sh", "-c", f"cp -a {RUN} .. && mount -t tmpfs none runs && mv ../smoke-train runs/")
        used, one_fit = _used(there.sweep.path / "runs"), _size(next(there.sweep.run_dir.glob("configs/*")))
        there.run("mount", "-o", f"remount,size={used + one_fit * 3 // 2}k", "runs")
        done = there.run(*REPRO, check=False)
        assert done.returncode == REFUSED
        (line,) = errors(done.stdout)
        wrong = rf"error: 1 of 2 fits failed: (0005-\w{{8}}): {RUN}/configs/\1.*: No space left on device"
        assert re.fullmatch(wrong, line), line
        assert len(there.sweep.summaries()) == N_TRAIN + 1
        there.run("mount", "-o", "remount,size=20m", "runs")
        assert "6 of 6 fits done" in there.run(*REPRO).stdout
        assert sweep.begun() == Counter({row["config_seed"]: 1 for row in more[4:]}) + Counter(
            [more[5]["config_seed"]]
        )
        assert there.sweep.table() == more
        assert there.sweep.leftovers() == []
        assert not validate(there.sweep.run_dir).problems


def test_a_full_disk_in_the_gather(sweep: Sweep) -> None:
    right = sweep.table()
    with own_mounts(sweep) as there:
        there.run(
            "sh", "-c", f"cp -a {RUN} .. && mount -t tmpfs -o size=1m none runs && mv ../smoke-train runs/"
        )
        there.run("sh", "-c", "cat /dev/zero > runs/ballast", check=False)
        done = there.run(*SNAKEMAKE, check=False)
        assert done.returncode == 1
        (line,) = errors(done.stdout)
        assert re.fullmatch(rf"error: {RUN}.*No space left on device", line), line
        assert there.sweep.table() in (None, right)
        there.run("rm", "runs/ballast")
        assert there.run(*REPRO).returncode == 0
        assert there.sweep.table() == right
    assert sweep.begun().total() == 0


def _used(folder: Path) -> int:
    """Return the kB in use on a mount."""
    stat = os.statvfs(folder)
    return (stat.f_blocks - stat.f_bfree) * stat.f_frsize // 1024


def _size(folder: Path) -> int:
    """Return the kB that the files of a folder take on a mount of pages of 4 kB."""
    return sum(4 * -(-path.stat().st_size // 4096) for path in folder.iterdir())


def test_two_repros_at_once(sweep: Sweep, more: Table) -> None:
    first = begin_two_fits(sweep)
    done = sweep.run(*REPRO, check=False)
    assert done.returncode == REFUSED
    assert re.search(
        r"^ERROR: failed to reproduce 'train_sweep': '.*' is busy, it is being blocked by:\n  \(PID",
        done.stdout,
    ), done.stdout
    sweep.release()
    assert first.end() == 0
    assert set(sweep.begun().values()) == {1}
    check_right(sweep, more)


def test_two_snakemakes_at_once(sweep: Sweep, more: Table) -> None:
    """Without DVC nothing keeps them apart: a fit that both begin is done twice, and is the same."""
    first = begin_two_fits(sweep, *SNAKEMAKE)
    second = Life(sweep, *SNAKEMAKE)
    wait_for(lambda: sweep.begun().total() == 4)
    sweep.release()
    assert (first.end(), second.end()) == (0, 0)
    assert errors(first.said) == errors(second.said) == []
    assert sweep.table() == more
    check_ends_right(sweep, more, n_fits=0)


def begin_two_fits(sweep: Sweep, *command: str) -> Life:
    """Start a sweep of two configs more, and wait until both are in flight, where they stay."""
    sweep.set_param("train_sweep.n_configs", N_MORE)
    sweep.hold()
    life = Life(sweep, *(command or REPRO))
    wait_for(lambda: sweep.begun().total() == N_MORE - N_TRAIN)
    return life


def test_a_killed_snakemake_leaves_fits_that_go_on(sweep: Sweep, more: Table) -> None:
    """They end after the next run has: over its files, with the same numbers."""
    first = begin_two_fits(sweep)
    orphans = [pid for pid, words in first.processes().items() if "fit.py" in words]
    send(first.process_of("bin/snakemake"), signal.SIGKILL)
    assert first.end() == REFUSED
    # A shell that DVC starts for the stage either becomes snakemake (bash) or waits for it (dash).
    assert re.search(r"exited with (-9|137)$", first.said, re.M) and errors(first.said) == []
    for pid in orphans:
        send(pid, signal.SIGSTOP)
    sweep.release()
    check_ends_right(sweep, more, n_fits=2)
    for pid in orphans:
        send(pid, signal.SIGCONT)
    wait_for(lambda: not first.processes())
    assert sweep.table() == more
    check_ends_right(sweep, more, n_fits=0)


def test_a_killed_dvc_leaves_a_snakemake_that_goes_on(sweep: Sweep, more: Table) -> None:
    first = begin_two_fits(sweep)
    send(first.process.pid, signal.SIGKILL)
    first.end()
    second = Life(sweep, *REPRO)
    wait_for(lambda: sweep.begun().total() == 4)
    assert "had been killed. Auto removed it from the lock file." in second.said
    sweep.release()
    assert second.end() == 0
    wait_for(lambda: not first.processes())
    assert errors(first.said) == errors(second.said) == []
    assert sweep.table() == more
    check_ends_right(sweep, more, n_fits=0)


def test_a_killed_job_fails_alone(sweep: Sweep, more: Table) -> None:
    """As when memory runs out: the kernel's kill of one job."""
    life = begin_two_fits(sweep)
    jobs = [pid for pid, words in life.processes().items() if "fit.py" in words]
    send(jobs[0], signal.SIGKILL)
    sweep.release()
    assert life.end() == REFUSED
    assert errors(life.said) == [] and "Error in rule fit:" in life.said
    assert len(sweep.summaries()) == N_MORE - 1
    check_ends_right(sweep, more, n_fits=1)


def test_the_snakemake_folder_of_another_checkout(finished: Sweep, sweep: Sweep, tmp_path: Path) -> None:
    right, other = sweep.table(), finished.copy(tmp_path / "other").with_jobs_of(N_TRAIN)
    other.set_param("scoring.n_test", 41)
    assert other.snakemake("train_sweep") == N_TRAIN
    theirs = other.path / ".snakemake"
    (theirs / "locks/0.output.lock").write_text(f"{RUN}/aggregate.csv\n")
    for path in (theirs / "metadata").iterdir():
        shutil.copy(path, theirs / "incomplete" / path.name)
    shutil.rmtree(sweep.path / ".snakemake")
    shutil.copytree(theirs, sweep.path / ".snakemake")
    shutil.rmtree(sweep.config(1))
    check_ends_right(sweep, right, n_fits=1)


def test_another_version_of_jax(sweep: Sweep, tmp_path: Path) -> None:
    right = sweep.table()
    (tmp_path / "sitecustomize.py").write_text(OTHER_JAX)
    other = {"PYTHONPATH": f"{sweep.env['PYTHONPATH']}{os.pathsep}{tmp_path}"}
    assert "didn't change, skipping" in sweep.run(*REPRO, **other).stdout, "DVC knows of no libraries"
    shutil.rmtree(sweep.config(1))
    assert sweep.with_jobs_of(N_TRAIN).repro("train_sweep", **other) == N_TRAIN, (
        "a sweep in progress is begun again"
    )
    found = [json.loads(path.read_text()) for path in sweep.run_dir.glob("configs/*/summary.json")]
    assert [one["versions"]["jax"] for one in found] == ["99.0.0"] * N_TRAIN
    assert not {row["config_id"] for row in sweep.table()} & {row["config_id"] for row in right}
    sweep.restore()
    sweep.forget()
    assert sweep.snakemake("train_sweep") == 0
    check_right(sweep, right)


def test_source_that_changes_while_a_sweep_runs(sweep: Sweep) -> None:
    former = sweep.table()
    life = begin_two_fits(sweep)
    scoring = sweep.path / "src/sbcflow/scoring.py"
    scoring.write_text(f"{scoring.read_text()}\n\nA_LINE_THAT_COUNTS = 1\n")
    sweep.release()
    assert life.end() == REFUSED
    lines = errors(life.said)
    assert lines and all(re.search(r"no such file|start it again", line) for line in lines), lines
    assert sweep.table() in (None, former)
    sweep.forget()
    assert sweep.with_jobs_of(N_MORE).repro("train_sweep") == N_MORE
    assert not {row["config_id"] for row in sweep.table()} & {row["config_id"] for row in former}


def test_params_that_change_while_a_sweep_runs(sweep: Sweep, more: Table) -> None:
    """DVC records params.yaml as it is when the stage has ended."""
    life = begin_two_fits(sweep)
    sweep.set_param("scoring.n_test", 41)
    sweep.release()
    assert life.end() == REFUSED
    (line,) = errors(life.said)
    assert line == "error: params.yaml: changed while train_sweep ran; run the same command again"
    sweep.forget()
    assert sweep.with_jobs_of(N_MORE).repro("train_sweep") == N_MORE
    assert sweep.table() != more


@pytest.mark.parametrize("left", ["nothing", "a pid that somebody has"])
def test_a_lock_of_dvc_that_needs_a_hand(sweep: Sweep, left: str) -> None:
    """Killed while it wrote its list of locks; or its pid was given to another process since."""
    lock = sweep.path / ".dvc/tmp/rwlock"
    with subprocess.Popen(["sleep", "infinity"]) as somebody:
        info = {"pid": somebody.pid, "cmd": "dvc repro"}
        held = {"write": {str(sweep.run_dir): info}, "read": {}}
        lock.write_text("" if left == "nothing" else json.dumps(held))
        shutil.rmtree(sweep.config(1))
        done = sweep.run(*REPRO, check=False)
        somebody.kill()
    assert done.returncode == REFUSED
    words = "Unable to read RWLock-file" if left == "nothing" else "you can manually remove '.*rwlock'"
    assert re.search(words, done.stdout), done.stdout
    lock.unlink()
    right = sweep.table()
    check_ends_right(sweep, right, n_fits=1)

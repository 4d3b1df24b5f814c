"""How far a sweep is, told by summaries and records of jobs that were made for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sweep_examples import STARTED, ago, fit, fit_all, job, values

from sbcflow import manifest
from sbcflow.inspection import fits as fits_module
from sbcflow.inspection.fits import FitReader
from sbcflow.inspection.jobs import State
from sbcflow.inspection.status import SweepStatus, sweep_status
from sbcflow.inspection.status_text import MOST_LINES, render_status
from sbcflow.inspection.sweeps import begun_sweeps
from sbcflow.params import Params
from sbcflow.sweep.key import context_ingredients
from sbcflow.sweep.layout import aggregate_path, job_record_path, manifest_path, run_dir, summary_path
from sbcflow.sweep.plan import plan_sweep

PATIENCE = 60.0  # seconds, for what ends by itself

RUN = "pilot-train"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def params() -> Params:
    return values(train_sweep__n_configs=12)


def _states(status: SweepStatus) -> dict[int, State]:
    return {int(one.config_id[:4]): one.state for one in status.unfinished}


def test_each_state_has_its_configs(params: Params) -> None:
    plan = plan_sweep(params, "train")
    for planned in plan[:3]:
        fit(params, "train", planned)
    fit(params, "train", plan[3]).write_text("{")
    job(
        RUN,
        list(plan[4:7]),
        fitting=plan[4].config_id,
        fitting_since=ago(12),
        failed={plan[6].config_id: "no"},
    )
    job(RUN, list(plan[7:9]), fitting=plan[7].config_id, updated=ago(3600))
    job(RUN, list(plan[9:10]), state="failed", failed={plan[9].config_id: "nobody converted"})
    job(RUN, list(plan[10:11]), state="stopped", fitting=plan[10].config_id)

    status = sweep_status(params, "train")
    assert [one.config_id for one in status.fits] == [one.config_id for one in plan[:3]]
    assert _states(status) == {
        3: State.UNSOUND,
        4: State.RUNNING,
        5: State.WAITING,
        6: State.FAILED,
        7: State.LOST,
        8: State.MISSING,
        9: State.FAILED,
        10: State.MISSING,
        11: State.MISSING,
    }
    assert status.counts == {
        **dict.fromkeys((State.RUNNING, State.WAITING, State.LOST, State.UNSOUND), 1),
        **{State.DONE: 3, State.FAILED: 2, State.MISSING: 3},
    }
    assert (status.n_configs, status.n_alive) == (12, 1)


def test_a_running_fit_says_where_and_for_how_long(params: Params) -> None:
    plan = plan_sweep(params, "train")
    record = job(RUN, list(plan[:2]), fitting=plan[0].config_id, fitting_since=ago(12))
    plain = sweep_status(params, "train").plain()["unfinished"][0]
    assert plain.pop("seconds") == pytest.approx(12, abs=2)
    assert plain.pop("updated") == pytest.approx(time.time(), abs=3600)
    assert plain == {
        **{"config_id": plan[0].config_id, "state": "running", "job": record.batch_id},
        **{"host": "node2", "slurm_job": "77", "log": f"logs/{RUN}/{record.batch_id}.log"},
    }


def test_what_came_last_counts(params: Params) -> None:
    plan = plan_sweep(params, "train")
    every = {one.config_id: "nobody converted" for one in plan[:5]}
    # By name it comes after the one that was killed, which is of the same configs.
    job(RUN, list(plan[:5]), "f" * 8, state="failed", failed=every, updated=ago(900))
    fit(params, "train", plan[0])  # fitted since
    job(RUN, [plan[1]], fitting=plan[1].config_id, updated=ago(5))  # tried again now
    job(RUN, list(plan[:5]), fitting=plan[2].config_id, updated=ago(600))  # tried again, and killed
    job(RUN, [plan[3], plan[4]], "1" * 8, state="stopped", updated=ago(300))  # not reached again
    states = {index: state for index, state in _states(sweep_status(params, "train")).items() if index < 5}
    assert states == {1: State.RUNNING, 2: State.LOST, 3: State.FAILED, 4: State.FAILED}


def test_a_living_job_knows_better_than_a_later_dead_one(params: Params) -> None:
    plan = plan_sweep(params, "train")
    job(RUN, [plan[0]], "1" * 8, fitting=plan[0].config_id, updated=ago(20))
    job(RUN, [plan[0]], "2" * 8, state="failed", failed={plan[0].config_id: "no"}, updated=ago(1))
    assert _states(sweep_status(params, "train"))[0] is State.RUNNING


@pytest.mark.parametrize(("silent", "state"), [(30, State.RUNNING), (61, State.LOST)])
def test_a_job_elsewhere_is_lost_when_it_falls_silent(params: Params, silent: float, state: State) -> None:
    plan = plan_sweep(params, "train")
    job(RUN, [plan[0]], fitting=plan[0].config_id, updated=ago(silent))
    assert _states(sweep_status(params, "train"))[0] is state


JOB = """\
import sys, time
from pathlib import Path
from sbcflow.sweep.job_record import JobLog
with JobLog(Path(sys.argv[1]), sys.argv[2], sys.argv[3:]).running() as log:
    log.begin(sys.argv[3])
    print("begun", flush=True)
    time.sleep(600)
"""


def test_a_job_here_is_lost_as_soon_as_it_is_killed(params: Params) -> None:
    plan = plan_sweep(params, "train")
    batch_id = "0000-0001-00000000"
    words = [str(job_record_path(RUN, batch_id)), batch_id, plan[0].config_id, plan[1].config_id]
    with subprocess.Popen([sys.executable, "-c", JOB, *words], stdout=subprocess.PIPE) as running:
        try:
            assert running.stdout.readline() == b"begun\n"
            alive = sweep_status(params, "train")
        finally:
            running.kill()
    killed = sweep_status(params, "train")
    assert [_states(alive)[index] for index in (0, 1)] == [State.RUNNING, State.WAITING]
    assert [_states(killed)[index] for index in (0, 1)] == [State.LOST, State.MISSING]
    assert f"lost:\n  {plan[0].config_id}: its job on " in render_status(killed)
    assert "was killed, silent for 0:00:0" in render_status(killed)


NOT_RECORDS = {
    "cut": "{",
    "a list": "[]",
    "empty": "{}",
    "no time": '{"updated": "yesterday"}',
    "infinite": '{"updated": 1e999}',
    "a number for configs": '{"to_fit": 5}',
    "a state of its own": '{"state": "resting"}',
    "of another job": '{"batch_id": "0005-0006-00000000"}',
    "an extra key": '{"extra": 1}',
}


@pytest.mark.parametrize("text", NOT_RECORDS.values(), ids=NOT_RECORDS.keys())
def test_a_record_that_is_none_is_named(params: Params, text: str) -> None:
    """Alone or with all else as in a sound record."""
    plan = plan_sweep(params, "train")
    record = job(RUN, [plan[0]], fitting=plan[0].config_id)
    path = job_record_path(RUN, record.batch_id)
    sound = json.loads(path.read_text())
    assert _states(sweep_status(params, "train"))[0] is State.RUNNING
    part = json.loads(text) if text != "{" else None
    path.write_text(json.dumps({**sound, **part}) if part else text)
    status = sweep_status(params, "train")
    assert _states(status)[0] is State.MISSING
    assert len(status.problems) == 1 and status.problems[0].startswith(f"{path}: ")
    assert f"unreadable record of a job: {path}: " in render_status(status)


def test_files_that_are_not_of_jobs_are_left_alone(params: Params) -> None:
    for name in ("gather.log", "x.json", "0000-0001-00000000.log", "0000-0001-00000000.json.tmp"):
        Path("logs", RUN).mkdir(parents=True, exist_ok=True)
        Path("logs", RUN, name).write_text("{")
    (run_dir(RUN) / "configs" / "not-a-config").mkdir(parents=True)
    (run_dir(RUN) / "configs" / plan_sweep(params, "train")[0].config_id).write_text("a file")
    status = sweep_status(params, "train")
    assert (status.problems, status.counts[State.MISSING]) == ((), 12)


UNSOUND = {
    "cut": (lambda text: text[:50], "not JSON, truncated or altered"),
    "empty": (lambda _: "", "not JSON, truncated or altered"),
    "edited": (
        lambda text: text.replace('"wall_seconds": 9.0', '"wall_seconds": 8.0'),
        "seal does not match",
    ),
    "no mapping": (lambda _: "[1]", "seal does not match"),
    "infinite": (
        lambda text: text.replace('"wall_seconds": 9.0', '"wall_seconds": 1e999'),
        "seal does not match",
    ),
    "deep": (lambda _: "[" * 100_000, "not JSON, truncated or altered"),
}


@pytest.mark.parametrize(("change", "message"), UNSOUND.values(), ids=UNSOUND.keys())
def test_an_unsound_summary_is_named(params: Params, change: Any, message: str) -> None:
    path = fit(params, "train", plan_sweep(params, "train")[0])
    text = path.read_text()
    assert change(text) != text
    path.write_text(change(text))
    _check_unsound(params, path, message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": "0" * 64}, "does not carry its config's key"),
        ({"execution": None}, "tells too little of its fit: TypeError"),
        ({"timings": {"wall_seconds": "long"}}, "tells too little of its fit: ValueError"),
    ],
    ids=str,
)
def test_a_sealed_summary_of_something_else_is_named(params: Params, changes: Any, message: str) -> None:
    _check_unsound(params, fit(params, "train", plan_sweep(params, "train")[0], **changes), message)


def _check_unsound(params: Params, path: Path, message: str) -> None:
    status = sweep_status(params, "train")
    assert _states(status)[0] is State.UNSOUND
    assert f"unsound:\n  {path}: " in render_status(status)
    assert message in render_status(status)
    assert f"to fit it again: rm -r {path.parent}\n" in render_status(status)


def test_time_left_comes_from_when_fits_ended_not_from_files(params: Params) -> None:
    for planned in plan_sweep(params, "train")[:4]:
        path = fit(params, "train", planned, execution={"ended": STARTED - 20.0 * planned.index})
        os.utime(path, (0, 0))
    assert sweep_status(params, "train").seconds_left == pytest.approx(8 * 20.0)


def test_too_few_fits_tell_no_time(params: Params) -> None:
    plan = plan_sweep(params, "train")
    fit(params, "train", plan[0])
    assert sweep_status(params, "train").seconds_left is None
    assert "1 of 12 fits done, 11 missing; no job runs\n" in render_status(sweep_status(params, "train"))
    job(RUN, [plan[1]], fitting=plan[1].config_id)
    assert "10 missing; too early to tell when\n" in render_status(sweep_status(params, "train"))


def test_the_slowest_come_first_and_hosts_are_added_up(params: Params) -> None:
    plan = plan_sweep(params, "train")
    seconds = (3.0, 90.0, 7.0, 1.0, 2.0, 60.0)
    for planned, took in zip(plan, seconds, strict=False):
        host = {"host": f"node{planned.index % 2 + 1}", "cache_misses": planned.index}
        escalated = {"escalated": took > 50}
        fit(params, "train", planned, timings={"wall_seconds": took}, execution=host, diagnostics=escalated)
    job(RUN, [plan[8]], fitting=plan[8].config_id, host="node3")
    job(RUN, [plan[9]], fitting=plan[9].config_id, host="node2")

    status = sweep_status(params, "train")
    assert [fit.seconds for fit in status.slowest()] == [90.0, 60.0, 7.0, 3.0, 2.0]
    hosts = {host.host: host for host in status.hosts()}
    counted = {name: (host.n_fits, host.n_running, host.cache_misses) for name, host in hosts.items()}
    assert counted == {"node1": (3, 0, 6), "node2": (3, 1, 9), "node3": (0, 1, 0)}
    assert hosts["node1"].mean_seconds == pytest.approx(4.0)
    assert (hosts["node1"].cache_hits, hosts["node1"].compile_seconds) == (6, 1.5)
    assert hosts["node3"].mean_seconds is None


def test_the_text_has_all_of_it(params: Params) -> None:
    plan = plan_sweep(params, "train")
    for planned in plan[:4]:
        fit(params, "train", planned, diagnostics={"escalated": planned.index == 1})
    alive = job(RUN, list(plan[4:8]), fitting=plan[4].config_id, fitting_since=ago(12.3))
    failed = job(
        RUN, [plan[8]], state="failed", failed={plan[8].config_id: f"{plan[8].config_id}: no\nconverts"}
    )
    ids = [one.config_id for one in plan]
    assert render_status(sweep_status(params, "train")).splitlines() == [
        "pilot-train (train_sweep): 4 of 12 fits done, 1 running, 3 waiting, 1 failed, 3 missing; "
        "about 0:01:20 left",
        "gathered: no, not yet",
        "running        job                 host   slurm  seconds",
        f"{ids[4]}  {alive.batch_id}  node2  77     12",
        "waiting: 0005-0007",
        "failed:",
        f"  {ids[8]}: no converts (log: logs/pilot-train/{failed.batch_id}.log)",
        "missing: 0009-0011",
        "slowest        seconds  template        visitors  escalated",
        f"{ids[0]}  9.0      constant        20,000    no",
        f"{ids[1]}  9.0      reversal        20,000    yes",
        f"{ids[2]}  9.0      sparse_benefit  20,000    no",
        f"{ids[3]}  9.0      nonlinear       20,000    no",
        "host   device  fits  mean seconds  running  cache hits  misses  compile seconds",
        "node1  cpu     4     9.0           0        8           4       2.0",
        "node2  -       0     -             1        0           0       0.0",
    ]


def test_a_message_cannot_control_the_terminal_and_many_are_cut_short() -> None:
    many = values(train_sweep__n_configs=MOST_LINES + 3)
    plan = plan_sweep(many, "train")
    job(RUN, list(plan), state="failed", failed={one.config_id: "\033[2J\x07" for one in plan})
    text = render_status(sweep_status(many, "train"))
    assert "\033" not in text and "\x07" not in text
    assert text.count("(log: ") == MOST_LINES
    assert "  and 3 more; --json has them all\n" in text


def _gather(params: Params) -> None:
    rows = "".join(f"{one.config_id},1\n" for one in plan_sweep(params, "train"))
    aggregate_path(RUN).write_text(f"config_id,x\n{rows}")
    content = manifest.build(
        experiment_id="2026-05-27T12-34-56Z_abc1234",
        timestamp=datetime(2026, 5, 27, tzinfo=UTC),
        git={"sha": "0" * 40, "dirty": False, "branch": ""},
        env={"python": "3.11.0", "platform": "here"},
        params={},
        data_provenance={"kind": "synthetic", "seed": 1},
        capabilities={"sbcflow": manifest.capability("sweep", run_dir(RUN))},
    )
    manifest.write(manifest_path(RUN), content)


def test_gathered_means_the_table_of_this_plan(params: Params) -> None:
    fit_all(params)
    assert sweep_status(params, "train").not_gathered == "not yet"
    _gather(params)
    assert sweep_status(params, "train").not_gathered is None
    assert "\ngathered: yes\n" in render_status(sweep_status(params, "train"))
    larger = values(train_sweep__n_configs=13)
    assert sweep_status(larger, "train").not_gathered == "the table is of another plan"
    aggregate_path(RUN).write_text("config_id\n")
    assert "not the table that manifest.json was written for" in sweep_status(params, "train").not_gathered
    manifest_path(RUN).write_text("{")
    assert "not JSON" in sweep_status(params, "train").not_gathered
    manifest_path(RUN).unlink()
    assert "manifest.json: no such file" in sweep_status(params, "train").not_gathered


def test_a_summary_is_read_again_only_when_it_has_changed(
    params: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, plan = [], plan_sweep(params, "train")
    real = fits_module.read_sealed
    monkeypatch.setattr(fits_module, "read_sealed", lambda path: read.append(path) or real(path))
    paths = [fit(params, "train", planned) for planned in plan[:2]]
    reader = FitReader()
    assert len(sweep_status(params, "train", reader).fits) == 2
    assert len(sweep_status(params, "train", reader).fits) == 2
    assert sorted(read) == sorted(paths)
    fit(params, "train", plan[1], timings={"wall_seconds": 100.0})
    assert sweep_status(params, "train", reader).slowest()[0].seconds == 100.0
    paths[1].unlink()
    assert len(sweep_status(params, "train", reader).fits) == 1
    assert len(read) == 3


def test_nothing_is_written(params: Params, folder: Path) -> None:
    plan = plan_sweep(params, "train")
    sweep_status(params, "train")
    assert list(folder.iterdir()) == []
    fit(params, "train", plan[0])
    job(RUN, [plan[1]], fitting=plan[1].config_id)
    before = _tree(folder)
    render_status(sweep_status(params, "train"))
    assert _tree(folder) == before


def _tree(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in (folder, *folder.rglob("*"))}


def test_the_exploratory_sweep_is_shown_once_it_has_begun(params: Params) -> None:
    assert begun_sweeps(params) == ["train", "test"]
    job("pilot-prior", [plan_sweep(params, "exploratory")[0]])
    assert begun_sweeps(params) == ["train", "test", "exploratory"]
    job_record_path("pilot-prior", "0000-0000-00000000").unlink()
    assert begun_sweeps(params) == ["train", "test"]
    summary_path("pilot-prior", "0000-00000000").parent.mkdir(parents=True)
    assert begun_sweeps(params) == ["train", "test", "exploratory"]


def test_thousands_of_configs_need_no_heavy_import() -> None:
    params = values(train_sweep__n_configs=5000)
    Path("params.yaml").write_text(json.dumps(params.model_dump(mode="json")))  # JSON is YAML
    ingredients = context_ingredients(params, params.train_sweep)
    for planned in plan_sweep(params, "train")[:4990]:
        fit(params, "train", planned, ingredients=ingredients)
    done = subprocess.run([sys.executable, "-c", COMMAND, RUN], capture_output=True, text=True, check=True)
    assert "4990 of 5000 fits done, 10 missing; no job runs, about 0:01:40 left" in done.stdout
    assert done.stderr == "imported: []\n"


COMMAND = """\
import sys
from sbcflow.cli import app
try:
    app(["status", *sys.argv[1:]])
finally:
    heavy = {"jax", "numpyro", "scipy", "pandas", "dvc", "snakemake"}
    print("imported:", sorted(heavy & set(sys.modules)), file=sys.stderr)
"""


def test_a_watch_prints_a_block_a_change_and_ends_when_all_is_gathered(params: Params) -> None:
    Path("params.yaml").write_text(json.dumps(params.model_dump(mode="json")))
    with _watching("--every", "0.1") as running:
        assert _block(running)[1].startswith(f"{RUN} (train_sweep): 0 of 12 fits done, 12 missing")
        time.sleep(0.5)
        fit_all(params)
        blocks = []
        while not blocks or "12 of 12" not in blocks[-1][1]:
            blocks.append(_block(running))
        assert blocks[-1][2] == "gathered: no, not yet"
        _gather(params)
        rest = running.stdout.read()
        assert "gathered: yes\n" in rest and "\033" not in rest
        assert running.wait(PATIENCE) == 0


def test_a_watch_ends_quietly_on_an_interrupt(params: Params) -> None:
    Path("params.yaml").write_text(json.dumps(params.model_dump(mode="json")))
    with _watching("--json") as running:
        line = json.loads(running.stdout.readline())
        assert [one["counts"]["missing"] for one in line] == [12]
        running.send_signal(signal.SIGINT)
        assert running.wait(PATIENCE) == 130
        assert (running.stdout.read(), running.stderr.read()) == ("", "")


# A process that is started in the background may have been told to ignore SIGINT.
MAIN = """\
import signal
from sbcflow.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


@contextmanager
def _watching(*options: str) -> Iterator[subprocess.Popen[str]]:
    """Watch in a process of its own, which is gone at the end, and hears SIGINT whatever this one does."""
    with subprocess.Popen(
        [sys.executable, "-c", MAIN, "status", RUN, "--watch", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def _block(running: subprocess.Popen[str]) -> list[str]:
    """Read the lines of one block: its time, and all up to the empty line."""
    lines: list[str] = []
    while not lines or lines[-1]:
        lines.append(running.stdout.readline().rstrip("\n"))
        assert len(lines) < 100
    assert lines[0].startswith("-- 20")
    return lines

"""What a fit job says of itself is whole, true for as long as it runs, and found out when it was killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest

from sbcflow.errors import ArtifactError, EstimationError
from sbcflow.files import write_json
from sbcflow.sweep import job_record
from sbcflow.sweep.job_record import LOST_AFTER_SECONDS, JobLog, JobRecord, read_job_record

PATIENCE = 60
BATCH, CONFIGS = "0000-0002-1a2b3c4d", ("0000-aaaaaaaa", "0001-bbbbbbbb", "0002-cccccccc")
RECORD = JobRecord(
    BATCH,
    CONFIGS,
    fitting="0002-cccccccc",
    fitted=("0000-aaaaaaaa",),
    failed={"0001-bbbbbbbb": "no purchase in arm 2"},
    slurm_job="4711",
)
RUNNING = """
    import sys, time
    from pathlib import Path
    from sbcflow.sweep import job_record
    job_record.HEARTBEAT_SECONDS = 600
    with job_record.JobLog(Path(sys.argv[1]), "0000-0002-1a2b3c4d", ["0000-aaaaaaaa"]).running() as log:
        log.begin("0000-aaaaaaaa")
        print("running", flush=True)
        time.sleep(600)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "one.json"


@contextmanager
def _running(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a job that runs until it is stopped."""
    command = [sys.executable, "-c", textwrap.dedent(RUNNING), str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        # One that says nothing must not be listened to for ever.
        patience = threading.Timer(PATIENCE, process.kill)
        patience.start()
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "running\n"
            yield process
        finally:
            patience.cancel()
            process.kill()


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_record_comes_back_as_it_was_written(path: Path) -> None:
    write_json(path, asdict(RECORD))
    assert read_job_record(path) == RECORD


def test_the_record_follows_the_job(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "4711_3")
    before = time.time()
    with JobLog(path, BATCH, CONFIGS).running() as log:
        assert read_job_record(path) == log.record
        began = log.record
        log.begin(CONFIGS[0])
        assert read_job_record(path).fitting == CONFIGS[0]
        log.finish(CONFIGS[0])
        log.begin(CONFIGS[1])
        log.fail(CONFIGS[1], "no purchase in arm 2")
        log.begin(CONFIGS[2])
        now = read_job_record(path)
    assert (began.batch_id, began.to_fit, began.state) == (BATCH, CONFIGS, "running")
    assert (began.fitting, began.fitted, began.failed) == (None, (), {})
    assert (began.host, began.pid, began.slurm_job) == (socket.gethostname(), os.getpid(), "4711_3")
    assert before <= began.started <= began.updated <= now.updated <= time.time()
    assert (now.fitting, now.fitted) == (CONFIGS[2], CONFIGS[:1])
    assert now.failed == {CONFIGS[1]: "no purchase in arm 2"}
    assert now.started == began.started


def test_a_job_without_slurm_names_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert JobLog(path, BATCH, CONFIGS).record.slurm_job is None


def test_a_job_that_ends_well_is_done(path: Path) -> None:
    with JobLog(path, BATCH, CONFIGS[:1]).running() as log:
        log.begin(CONFIGS[0])
        log.finish(CONFIGS[0])
    found = read_job_record(path)
    assert (found.state, found.fitting, found.fitted) == ("done", None, CONFIGS[:1])


def test_a_job_with_a_fit_that_failed_has_failed(path: Path) -> None:
    with JobLog(path, BATCH, CONFIGS).running() as log:
        log.fail(CONFIGS[0], "no purchase in arm 2")
        log.finish(CONFIGS[1])
    assert read_job_record(path).state == "failed"


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (EstimationError("no"), "failed"),
        (MemoryError(), "failed"),
        (SystemExit(143), "stopped"),
        (KeyboardInterrupt(), "stopped"),
    ],
)
def test_a_job_that_is_ended_says_how_and_what_was_in_flight(
    path: Path, error: BaseException, state: str
) -> None:
    def job() -> None:
        with JobLog(path, BATCH, CONFIGS).running() as log:
            log.begin(CONFIGS[0])
            raise error

    with pytest.raises(type(error)):
        job()
    found = read_job_record(path)
    assert (found.state, found.fitting) == (state, CONFIGS[0])


def test_the_heart_beats_while_a_fit_takes_long_and_no_longer(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_record, "HEARTBEAT_SECONDS", 0.01)
    with JobLog(path, BATCH, CONFIGS).running() as log:
        log.begin(CONFIGS[0])
        said = read_job_record(path)
        _until(lambda: read_job_record(path).updated > said.updated)
        assert read_job_record(path).fitting == CONFIGS[0]
        heart = [thread for thread in threading.enumerate() if "_beat" in thread.name]
        assert heart
    assert not any(thread.is_alive() for thread in heart)
    assert read_job_record(path).state == "done"


def test_a_full_disk_stops_no_heart(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_record, "HEARTBEAT_SECONDS", 0.01)
    tried = threading.Event()

    def full(*_: object) -> None:
        tried.set()
        raise OSError("no space left on device")

    with JobLog(path, BATCH, CONFIGS).running():
        said = read_job_record(path)
        with monkeypatch.context() as patch:
            patch.setattr(job_record, "write_json", full)
            assert tried.wait(PATIENCE)
        _until(lambda: read_job_record(path).updated > said.updated)


def test_readers_never_see_half_a_record(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heartbeats and changes come from two threads: each is whole, and none takes another's back."""
    monkeypatch.setattr(job_record, "HEARTBEAT_SECONDS", 0.0)
    ids = [f"{i:04d}-aaaaaaaa" for i in range(100)]
    seen: list[int] = []
    over = threading.Event()

    def read() -> None:
        while not over.is_set():
            seen.append(len(read_job_record(path).fitted))

    with JobLog(path, BATCH, ids).running() as log:
        reader = threading.Thread(target=read)
        reader.start()
        for one in ids:
            log.finish(one)
        over.set()
        reader.join()
    assert seen == sorted(seen)
    assert read_job_record(path).fitted == tuple(ids)


def test_a_job_that_lives_is_not_lost(path: Path) -> None:
    with _running(path) as process:
        found = read_job_record(path)
        assert found.pid == process.pid
        assert not found.is_lost(found.updated + 1.0)


def test_a_job_that_was_killed_is_lost_at_once(path: Path) -> None:
    with _running(path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        found = read_job_record(path)
        assert (found.state, found.fitting) == ("running", "0000-aaaaaaaa")
        assert found.is_lost(found.updated)


def test_a_number_that_another_process_has_now_is_not_believed() -> None:
    """Process numbers come again: this process has the number, and did not begin then."""
    now = RECORD.updated
    assert RECORD.pid == os.getpid()
    assert RECORD.pid_began is not None
    assert not RECORD.is_lost(now)
    assert replace(RECORD, pid_began=RECORD.pid_began - 1).is_lost(now)


def test_where_nothing_tells_when_a_process_began_its_number_is_believed() -> None:
    assert not replace(RECORD, pid_began=None).is_lost(RECORD.updated)


def test_the_beginning_is_read_from_behind_a_process_name(tmp_path: Path) -> None:
    """A program may be called anything: here, what a careless parser would take for later columns."""
    program = tmp_path / ") S 1 (x"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "600"]) as named, subprocess.Popen(["/bin/sleep", "600"]) as plain:
        try:
            _until(lambda: program.name in Path(f"/proc/{named.pid}/stat").read_text())
            began = [job_record._beginning(pid) for pid in (os.getpid(), named.pid, plain.pid)]
        finally:
            named.kill()
            plain.kill()
    assert None not in began
    assert began == sorted(began)
    ticks = os.sysconf("SC_CLK_TCK")
    uptime = float(Path("/proc/uptime").read_text().split()[0])
    assert uptime - 60 < began[1] / ticks <= uptime


def test_a_job_elsewhere_is_lost_when_its_heart_has_stopped() -> None:
    elsewhere = replace(RECORD, host="another-node", pid=1)
    assert not elsewhere.is_lost(RECORD.updated + LOST_AFTER_SECONDS)
    assert elsewhere.is_lost(RECORD.updated + LOST_AFTER_SECONDS + 0.1)


def test_the_number_of_a_process_elsewhere_says_nothing_here() -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    assert replace(RECORD, pid=ended.pid, pid_began=None).is_lost(RECORD.updated)
    assert not replace(RECORD, pid=ended.pid, pid_began=None, host="another-node").is_lost(RECORD.updated)


def test_a_job_here_that_no_longer_tells_is_lost_too() -> None:
    assert RECORD.is_lost(RECORD.updated + LOST_AFTER_SECONDS + 0.1)


@pytest.mark.parametrize("state", ["done", "failed", "stopped"])
def test_a_job_that_has_ended_is_never_lost(state: Any) -> None:
    ended = replace(RECORD, state=state, pid_began=1, host="another-node")
    assert not ended.is_lost(RECORD.updated + 1e9)


def test_a_heart_beats_often_enough_to_miss_a_few() -> None:
    assert job_record.HEARTBEAT_SECONDS * 3 < LOST_AFTER_SECONDS


def test_no_record_is_named(path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"one\.json: no such file"):
        read_job_record(path)


@pytest.mark.parametrize("text", ["", "{", "[1", '{"pid": NaN}'])
def test_what_is_no_json_is_refused(path: Path, text: str) -> None:
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(ArtifactError, match=r"one\.json: not JSON"):
        read_job_record(path)


@pytest.mark.parametrize("value", [[], [["to_fit", 1]], "running", 3, None, {}])
def test_json_that_is_no_record_is_refused(path: Path, value: Any) -> None:
    write_json(path, value)
    with pytest.raises(ArtifactError, match=r"one\.json: not the record of a job; it holds") as error:
        read_job_record(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [field.name for field in fields(JobRecord)])
def test_a_record_that_lacks_anything_is_refused(path: Path, name: str) -> None:
    """Above all one without host or pid: by their defaults, the job would be this process."""
    write_json(path, {key: value for key, value in asdict(RECORD).items() if key != name})
    with pytest.raises(ArtifactError, match="not the record of a job; it holds"):
        read_job_record(path)


def test_a_record_with_something_more_is_refused(path: Path) -> None:
    write_json(path, {**asdict(RECORD), "mood": "good"})
    with pytest.raises(ArtifactError, match="not the record of a job; it holds"):
        read_job_record(path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("to_fit", "0000-aaaaaaaa"),
        ("to_fit", None),
        ("to_fit", [1]),
        ("fitted", {"a": "b"}),
        ("failed", ["0000-aaaaaaaa"]),
        ("failed", {"0000-aaaaaaaa": 1}),
        ("state", "asleep"),
        ("fitting", 3),
        ("host", None),
        ("pid", "many"),
        ("pid", 1.5),
        ("started", None),
        ("updated", "yesterday"),
        ("updated", [1.0]),
    ],
)
def test_a_value_of_another_kind_is_refused_by_name(path: Path, name: str, value: Any) -> None:
    write_json(path, {**asdict(RECORD), name: value})
    with pytest.raises(ArtifactError, match=rf"one\.json: not the record of a job: {name}[.:]") as error:
        read_job_record(path)
    assert "\n" not in str(error.value)


def test_a_record_is_plain_json(path: Path) -> None:
    with JobLog(path, BATCH, CONFIGS).running():
        pass
    values = json.loads(path.read_text())
    assert set(values) == {field.name for field in fields(JobRecord)}
    assert values["to_fit"] == list(CONFIGS)

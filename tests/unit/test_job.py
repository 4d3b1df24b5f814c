"""How a job ends, in processes of their own: by itself, by an error, by a signal at any moment."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PATIENCE = 60
START = """
    import sys, time, warnings
    from pathlib import Path
    from sbcflow import files
    from sbcflow.errors import EstimationError
    from sbcflow.sweep import job
    job.GRACE_SECONDS = float(sys.argv[1])
"""
STOPS = pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
NEVER = "1e9"

ASLEEP = """
with job.logged_job("job.log"):
    with files.replacing("result") as stream:
        stream.write(b"half")
        Path("ready").touch()
        time.sleep(600)
"""
IN_C = """
import hashlib, threading
with job.logged_job("job.log"):
    with files.replacing("result") as stream:
        # Minutes in one call: no handler of Python's can run before it returns.
        threading.Timer(0.5, Path("ready").touch).start()
        hashlib.pbkdf2_hmac("sha256", b"x", b"y", 2**31 - 1)
"""
CLEANING_UP = """
with job.logged_job("job.log"):
    try:
        Path("ready").touch()
        time.sleep(600)
    finally:
        Path("cleaning").touch()
        while not Path("told twice").exists():
            time.sleep(0.01)
        Path("cleaned").touch()
"""


@contextmanager
def _job(folder: Path, code: str, grace: str = NEVER) -> Iterator[subprocess.Popen[str]]:
    """Start a job in ``folder``, and give it when it has said that it is ready."""
    script = textwrap.dedent(START) + textwrap.dedent(code)
    command = [sys.executable, "-c", script, grace]
    with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        try:
            _wait_for(folder / "ready", process)
            yield process
        finally:
            process.kill()


def _wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, f"{path} was not made"
        time.sleep(0.01)


def _run(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    script = textwrap.dedent(START) + textwrap.dedent(code)
    command = [sys.executable, "-c", script, NEVER]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=PATIENCE)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@STOPS
def test_a_signal_drops_what_is_in_flight(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with _job(tmp_path, ASLEEP) as process:
        assert [n for n in _names(tmp_path) if n.endswith(".tmp")]
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == code
    # The half-written file is gone, temporary and all: the job was let clean up, and not ended by force.
    assert _names(tmp_path) == ["job.log", "ready"]
    assert said == ""
    assert (tmp_path / "job.log").read_text().endswith(f"stopped by {number.name}\n")


@STOPS
def test_a_signal_ends_a_job_whose_compiled_code_is_deaf(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with _job(tmp_path, IN_C, grace="0.2") as process:
        process.send_signal(number)
        process.wait(timeout=PATIENCE)
    assert process.returncode == code
    assert not (tmp_path / "result").exists()


def test_without_the_force_deaf_code_would_go_on(tmp_path: Path) -> None:
    """The test above could fail: this call is not one that a signal interrupts."""
    with _job(tmp_path, IN_C) as process:
        process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=1.0)


def test_a_cleanup_that_hangs_is_ended_by_force(tmp_path: Path) -> None:
    with _job(tmp_path, CLEANING_UP, grace="0.2") as process:
        process.terminate()
        process.wait(timeout=PATIENCE)
    assert process.returncode == 143
    assert "cleaned" not in _names(tmp_path)


def test_a_second_signal_does_not_cut_the_cleanup_short(tmp_path: Path) -> None:
    with _job(tmp_path, CLEANING_UP) as process:
        process.terminate()
        _wait_for(tmp_path / "cleaning", process)
        process.terminate()
        process.send_signal(signal.SIGINT)
        (tmp_path / "told twice").touch()
        process.wait(timeout=PATIENCE)
    assert process.returncode == 143
    assert "cleaned" in _names(tmp_path)


def test_code_that_survives_any_error_is_stopped_all_the_same(tmp_path: Path) -> None:
    surviving = """
        with job.logged_job("job.log"):
            try:
                Path("ready").touch()
                time.sleep(600)
            except Exception:
                Path("survived").touch()
    """
    with _job(tmp_path, surviving) as process:
        process.terminate()
        process.wait(timeout=PATIENCE)
    assert process.returncode == 143
    assert _names(tmp_path) == ["job.log", "ready"]


def test_a_job_that_ends_well(tmp_path: Path) -> None:
    done = _run(
        tmp_path,
        """
        with job.logged_job("job.log"):
            job.say("three of four")
            warnings.warn("mind the gap")
        """,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "three of four\n")
    log = (tmp_path / "job.log").read_text()
    assert re.match(r"\d{4}-\d\d-\d\d [\d:,]+ three of four\n", log)
    assert "UserWarning: mind the gap" in log


def test_a_deliberate_error_is_one_line(tmp_path: Path) -> None:
    done = _run(
        tmp_path,
        """
        with job.logged_job("job.log"):
            raise EstimationError("no purchase in arm 2")
        """,
    )
    assert (done.returncode, done.stderr) == (1, "error: no purchase in arm 2\n")
    log = (tmp_path / "job.log").read_text()
    assert log.endswith(" error: no purchase in arm 2\n")
    assert "Traceback" not in log


def test_any_other_error_leaves_its_traceback_in_both_places(tmp_path: Path) -> None:
    done = _run(
        tmp_path,
        """
        def innermost():
            raise ZeroDivisionError("no such number")
        with job.logged_job("job.log"):
            innermost()
        """,
    )
    assert done.returncode == 1
    for text in (done.stderr, (tmp_path / "job.log").read_text()):
        assert "Traceback" in text
        assert "in innermost" in text
        assert "ZeroDivisionError: no such number" in text


def test_a_new_try_begins_its_log_anew(tmp_path: Path) -> None:
    (tmp_path / "job.log").write_text("what an earlier one said\n")
    _run(tmp_path, "with job.logged_job('job.log'): job.say('again')")
    assert "earlier" not in (tmp_path / "job.log").read_text()

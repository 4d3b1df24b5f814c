"""Locks: one holder at a time, none that outlives its process."""

import re
import threading
import time

import pytest
from killed_process import SAY, process

from sbcflow.errors import ArtifactError
from sbcflow.locks import locked

LOCKING = f"""
    with locks.locked('lock') as held:
        assert held
        {SAY}
"""


def _fail(*_args):
    raise OSError("disk on fire")


def test_a_lock_is_held_alone(tmp_path):
    path = tmp_path / "deep" / "lock"
    with locked(path) as held:
        assert held
        with pytest.raises(ArtifactError) as caught, locked(path, timeout=0.1):
            pytest.fail("two hold it")
        assert str(caught.value) == f"{path}: another process has held this lock for over 0.1 s"
    with locked(path, timeout=0) as held:
        assert held


@pytest.mark.parametrize("timeout", [None, 60])
def test_a_lock_is_waited_for(tmp_path, timeout):
    order = []

    def wait():
        with locked(tmp_path / "lock", timeout=timeout):
            order.append("second")

    with locked(tmp_path / "lock"):
        second = threading.Thread(target=wait)
        second.start()
        time.sleep(0.2)
        order.append("first")
    second.join()
    assert order == ["first", "second"]


def test_a_failing_block_frees_its_lock(tmp_path):
    with pytest.raises(OSError, match="disk on fire"), locked(tmp_path / "lock"):
        _fail()
    with locked(tmp_path / "lock", timeout=0) as held:
        assert held


def test_a_lock_does_not_outlive_its_process(tmp_path):
    with (
        process(tmp_path, LOCKING),
        pytest.raises(ArtifactError, match="lock: another"),
        locked(tmp_path / "lock", timeout=0),
    ):
        pytest.fail("two hold it")
    with locked(tmp_path / "lock", timeout=0) as held:
        assert held


def test_a_lock_does_not_pass_to_programs_that_its_process_started(tmp_path):
    start = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(20)'])"
    with process(tmp_path, LOCKING.replace("assert held", f"assert held; {start}")):
        pass
    with locked(tmp_path / "lock", timeout=0) as held:
        assert held


def test_a_lock_that_cannot_be_made_is_named(tmp_path):
    message = f"^{re.escape(str(tmp_path))}: cannot be locked: "
    with pytest.raises(ArtifactError, match=message), locked(tmp_path):
        pytest.fail("a folder is no lock file")

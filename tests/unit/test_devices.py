"""Which GPU a fit takes: as it was given, one that is free, or none; a killed process gives its own back."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from sbcflow import devices
from sbcflow.devices import VISIBLE, claim_gpu, usable_gpus

PATIENCE = 60
UUIDS = ["GPU-1a", "GPU-2b", "GPU-3c"]
CLAIMING = """
    import os, sys
    from sbcflow import devices
    devices.CUDA_PLUGINS = ("json",)
    print(devices.claim_gpu(), os.environ.get("CUDA_VISIBLE_DEVICES"), "jax" in sys.modules, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """A machine with JAX's CUDA plugin and no GPU; call it to put some in."""
    tools, temporary = tmp_path / "bin", tmp_path / "tmp"
    tools.mkdir()
    temporary.mkdir()
    # "json" is there to be found, as the plugin of a machine with CUDA is.
    monkeypatch.setattr(devices, "CUDA_PLUGINS", ("no_such_plugin", "json"))
    monkeypatch.setattr(devices, "_claims", [])
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(temporary))
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("PATH", str(tools))
    # Set first, so that what claim_gpu sets is put back.
    for name in (VISIBLE, "JAX_PLATFORMS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)

    def put_in(*uuids: str, status: int = 0) -> None:
        asked = '[ "$*" = "--query-gpu=uuid --format=csv,noheader" ] || exit 9'
        lines = "\n".join(f"echo {uuid}" for uuid in uuids)
        script = tools / "nvidia-smi"
        script.write_text(f"#!/bin/sh\n{asked}\n{lines}\nexit {status}\n")
        script.chmod(0o755)

    yield put_in
    for descriptor in devices._claims:
        os.close(descriptor)


def test_a_driver_that_does_not_answer_is_no_gpu(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine("GPU-1a\n/bin/sleep 600")
    monkeypatch.setattr(devices, "QUERY_SECONDS", 0.2)
    assert usable_gpus() == []


@contextmanager
def _claiming() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a process that claims a GPU; give it with the one that it has got, and set for JAX."""
    command = [sys.executable, "-c", textwrap.dedent(CLAIMING)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        # One that says nothing must not be listened to for ever.
        patience = threading.Timer(PATIENCE, process.kill)
        patience.start()
        try:
            assert process.stdout is not None
            claimed, visible, started_jax = process.stdout.readline().split()
            assert visible == claimed
            assert started_jax == "False"
            yield process, claimed
        finally:
            patience.cancel()
            process.kill()


def _claimed(stack: ExitStack) -> str:
    return stack.enter_context(_claiming())[1]


def test_a_machine_without_gpus_has_none() -> None:
    assert usable_gpus() == []
    assert claim_gpu() is None
    assert VISIBLE not in os.environ


def test_one_gpu_is_left_to_jax(machine: Callable[..., None], tmp_path: Path) -> None:
    machine("GPU-1a")
    assert usable_gpus() == ["GPU-1a"]
    assert (claim_gpu(), claim_gpu()) == ("GPU-1a", "GPU-1a")
    assert VISIBLE not in os.environ
    assert list((tmp_path / "tmp").iterdir()) == []


def test_the_first_of_several_is_claimed(machine: Callable[..., None]) -> None:
    machine(*UUIDS)
    assert usable_gpus() == UUIDS
    assert claim_gpu() == UUIDS[0]
    assert os.environ[VISIBLE] == UUIDS[0]


def test_a_process_that_claims_again_keeps_its_own(machine: Callable[..., None]) -> None:
    machine(*UUIDS)
    assert [claim_gpu() for _ in range(4)] == [UUIDS[0]] * 4


@pytest.mark.parametrize(
    ("visible", "usable"),
    [
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("0", ["0"]),
        ("2,0", ["2", "0"]),
        ("0, 1", ["0", "1"]),
        ("0,-1,1", ["0"]),
        ("GPU-2b", ["GPU-2b"]),
        ("MIG-GPU-2b/1/0", ["MIG-GPU-2b/1/0"]),
    ],
)
def test_the_list_that_was_given_is_honoured(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch, visible: str, usable: list[str]
) -> None:
    machine(*UUIDS)
    monkeypatch.setenv(VISIBLE, visible)
    assert usable_gpus() == usable
    assert claim_gpu() == (usable[0] if usable else None)
    assert os.environ[VISIBLE] == (usable[0] if len(usable) > 1 else visible)


def test_a_part_of_a_gpu_can_be_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name holds slashes, and is no path."""
    monkeypatch.setenv(VISIBLE, "MIG-GPU-2b/1/0,MIG-GPU-2b/2/0")
    assert claim_gpu() == "MIG-GPU-2b/1/0"


@pytest.mark.parametrize(
    ("platforms", "seen"),
    [("cpu", False), ("tpu,cpu", False), ("cuda", True), ("cuda,cpu", True), ("gpu", True)],
)
def test_jax_kept_to_the_cpu_has_no_gpus(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch, platforms: str, seen: bool
) -> None:
    machine(*UUIDS)
    monkeypatch.setenv("JAX_PLATFORMS", platforms)
    assert usable_gpus() == (UUIDS if seen else [])
    monkeypatch.setenv(VISIBLE, "0,1")
    assert usable_gpus() == (["0", "1"] if seen else [])


def test_without_jaxs_plugin_no_gpu_is_usable(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(*UUIDS)
    monkeypatch.setattr(devices, "CUDA_PLUGINS", ("no_such_plugin",))
    assert usable_gpus() == []


@pytest.mark.parametrize("status", [9, 127])
def test_a_driver_that_does_not_answer_has_none(machine: Callable[..., None], status: int) -> None:
    machine("NVIDIA-SMI has failed", status=status)
    assert usable_gpus() == []


def test_processes_side_by_side_take_one_each_and_then_share_the_last(machine: Callable[..., None]) -> None:
    machine(*UUIDS[:2])
    with ExitStack() as stack:
        assert [_claimed(stack) for _ in range(3)] == [UUIDS[0], UUIDS[1], UUIDS[1]]


def test_the_gpu_of_a_process_that_was_killed_is_free_again(machine: Callable[..., None]) -> None:
    machine(*UUIDS)
    with ExitStack() as stack:
        assert _claimed(stack) == UUIDS[0]
        killed, second = stack.enter_context(_claiming())
        assert [second, _claimed(stack)] == UUIDS[1:]
        killed.kill()
        killed.wait()
        assert _claimed(stack) == UUIDS[1]


def test_claims_are_among_the_gpus_that_were_given(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(*UUIDS)
    monkeypatch.setenv(VISIBLE, "5,3")
    with ExitStack() as stack:
        assert [_claimed(stack) for _ in range(3)] == ["5", "3", "3"]


def test_programs_that_a_process_starts_do_not_keep_its_gpu(machine: Callable[..., None]) -> None:
    machine(*UUIDS[:2])
    assert claim_gpu() == UUIDS[0]
    del os.environ[VISIBLE]
    with subprocess.Popen(["/bin/sleep", "600"]) as other:
        try:
            os.close(devices._claims.pop())
            assert claim_gpu() == UUIDS[0]
        finally:
            other.kill()


def test_where_there_are_no_locks_a_gpu_is_shared(
    machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    machine(*UUIDS)
    monkeypatch.setattr(devices.fcntl, "flock", refuse)
    assert claim_gpu() == UUIDS[-1]
    assert devices._claims == []

"""A command that lives until it is killed with all that it started; what it was doing, by what it said."""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fault_project import Sweep

TOKEN = "FAULT_LIFE"
PATIENCE = 180.0
POLL_SECONDS = 0.01
# What marks that a phase has begun, the last first.
PHASES = {
    "commit": r"^Complete log",
    "after the gather": r"^Finished jobid: \d+ \(Rule: gather\)",
    "gather": r"^localrule gather:",
    "fits": r"^localrule fit:",
    "plan": r"^Running stage",
}


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until ``condition`` holds, which it has to."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(POLL_SECONDS)


class Life:
    """A command in a sweep's folder, its output in a file; every process that comes of it carries a token."""

    def __init__(self, sweep: Sweep, *command: str, **env: str) -> None:
        self._token = f"{TOKEN}={secrets.token_hex(8)}".encode()
        self._said = sweep.path.parent / f"said-{self._token.decode()}.txt"
        name, token = self._token.decode().split("=")
        with self._said.open("w") as said:
            self.process = subprocess.Popen(
                command,
                cwd=sweep.path,
                env=sweep.env | env | {name: token},
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """What it has said so far."""
        return self._said.read_text()

    @property
    def phase(self) -> str:
        """What it is doing, or was doing when it ended."""
        said = self.said
        return next((name for name, mark in PHASES.items() if re.search(mark, said, re.M)), "start")

    def reached(self, phase: str) -> bool:
        """Return whether it is in a phase or past it."""
        order = ["start", *reversed(PHASES)]
        return order.index(self.phase) >= order.index(phase)

    def ended(self) -> bool:
        """Return whether it has ended by itself."""
        return self.process.poll() is not None

    def end(self) -> int:
        """Wait until it ends by itself; return its exit code."""
        return self.process.wait(PATIENCE)

    def processes(self) -> dict[int, str]:
        """Return its processes that live, wherever they have moved, with their command lines."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if self._token in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
        return found

    def process_of(self, pattern: str) -> int:
        """Return the one process of it whose command line holds a pattern."""
        (pid,) = [pid for pid, words in self.processes().items() if re.search(pattern, words)]
        return pid

    def kill(self) -> bool:
        """``kill -9`` of every process of it; return whether its first was still alive."""
        while alive := self.processes():
            for pid in alive:
                send(pid, signal.SIGKILL)
        return self.process.wait(PATIENCE) == -signal.SIGKILL


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process, if it is still there."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)

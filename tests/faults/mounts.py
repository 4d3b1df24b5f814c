"""Mounts that only a test sees: commands and files in a mount namespace of their own; needs root."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from fault_project import Sweep


class Namespace:
    """A mount namespace, as long as the process that holds it lives."""

    def __init__(self, holder: subprocess.Popen[bytes], sweep: Sweep) -> None:
        self._holder, self._sweep = holder, sweep
        # The files as they are seen in there.
        self.sweep = replace(sweep, path=Path(f"/proc/{holder.pid}/root{sweep.path}"))

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of the sweep in there."""
        # nsenter's own --wd would be the folder as it is seen from outside.
        enter = ("nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "env", "-C", str(self._sweep.path))
        return self._sweep.run(*enter, *command, check=check)


@contextmanager
def own_mounts(sweep: Sweep) -> Iterator[Namespace]:
    """Give a sweep a mount namespace; the test is skipped where that is not allowed."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to mount: run it as root")
    # The line comes from inside: mounts are apart from then on.
    command = ["unshare", "--mount", "sh", "-c", "echo; exec sleep infinity"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            yield Namespace(holder, sweep)
        finally:
            holder.kill()

"""A process that stops at a place in its code, and is killed there."""

import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager

SAY = "print('here', flush=True); time.sleep(600)"


@contextmanager
def process(folder, code):
    """Run ``code`` in a process of its own until it says that it is there; kill it with -9 at the end."""
    program = "import os, pathlib, time\nfrom sbcflow import files, locks\n" + textwrap.dedent(code)
    with subprocess.Popen([sys.executable, "-c", program], cwd=folder, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout.readline() == b"here\n"
            yield child
        finally:
            child.kill()
    assert child.returncode == -signal.SIGKILL

"""Run code blocks in this folder, one after another, until one fails: python block_runner.py < blocks.json.

Reads a list of [language, text, where]; writes a list of [exit code, stdout, stderr] as its last line. Blocks
of Python share their names, as in a notebook; those of the shell are
`bash -euo pipefail`, each a shell of its own that begins in the folder where the one before it ended.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import traceback
from typing import Any

Ran = tuple[int, str, str]


def run_python(text: str, where: str, names: dict[str, Any]) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            exec(compile(text, where, "exec", dont_inherit=True), names)
        except BaseException:
            traceback.print_exc()
            return 1, out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def run_shell(text: str) -> Ran:
    """Run a block of the shell; the folder that it ends in is the next one's, as in a terminal."""
    with tempfile.NamedTemporaryFile("r") as ended:
        script = f"trap 'pwd > {ended.name}' EXIT\n{text}"
        command = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        os.chdir(ended.read().strip() or ".")
    return done.returncode, done.stdout, done.stderr


def main() -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    ran: list[Ran] = []
    for language, text, where in json.load(sys.stdin):
        ran.append(run_python(text, where, names) if language == "python" else run_shell(text))
        if ran[-1][0]:
            break
    print(f"\n{json.dumps(ran)}")


if __name__ == "__main__":
    main()

"""The published pytyche in an environment of its own: its dependencies are not the lock's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = ("pytyche==0.2.1", "bartz==0.10.0")
FOLDER = Path(__file__).parents[1] / ".cache" / "pytyche"


def pytyche_interpreter() -> Path:
    """Return ``SBCFLOW_PYTYCHE_PYTHON``, or the interpreter of .cache/pytyche, built once (network)."""
    named = os.environ.get("SBCFLOW_PYTYCHE_PYTHON")
    return Path(named) if named else _build(FOLDER)


def site_packages(python: Path) -> Path:
    """Return the folder of an interpreter's libraries."""
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())


def _build(folder: Path) -> Path:
    python, done = folder / "bin" / "python", folder / "complete"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
        done.touch()
    return python

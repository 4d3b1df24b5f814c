"""What machine figures are of, and where they are kept."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


def describe_machine() -> str:
    """Return a line on when, and on the processor, its cores and the libraries that count."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("jax", "numpyro", "numpy"))
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {processor()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}, {libraries}"
    )


def processor() -> str:
    """Return the processor's model where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def results_path(name: str) -> Path:
    """Return the file of a benchmark's figures on this machine, results/<name>-<machine>.json."""
    RESULTS.mkdir(exist_ok=True)
    machine = re.sub(r"\W+", "-", f"{processor()} {os.cpu_count()} cores".lower()).strip("-")
    return RESULTS / f"{name}-{machine}.json"


def environment(*without: str, **own: str) -> dict[str, str]:
    """Return the variables of this process that a timed one gets: none whose name begins so, and its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith(without)} | own

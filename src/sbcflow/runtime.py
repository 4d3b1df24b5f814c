"""How JAX runs here: number formats, threads, and the persistent compilation cache.

A fit's numbers depend on its config alone, so a fit uses one thread whatever the number of cores;
several fits run side by side instead.
"""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

ONE_THREAD_FLAGS = ("--xla_cpu_multi_thread_eigen=false", "intra_op_parallelism_threads=1")
ONE_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
CACHE_VARIABLE = "SBCFLOW_COMPILATION_CACHE"


def configure() -> None:
    """Set threads and the compilation cache; call before anything imports numpy or JAX."""
    flags = os.environ.get("XLA_FLAGS", "").split()
    os.environ["XLA_FLAGS"] = " ".join([*flags, *(f for f in ONE_THREAD_FLAGS if f not in flags)])
    for variable in ONE_THREAD_VARIABLES:
        os.environ[variable] = "1"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(compilation_cache()))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def compilation_cache() -> Path:
    """Return the folder of compiled programs for this machine type and these libraries."""
    user_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    base = Path(os.environ.get(CACHE_VARIABLE) or user_cache / "sbcflow" / "jax")
    return base / machine_type()


def machine_type() -> str:
    """Return a short name of what compiled code depends on: processor, its features, jaxlib."""
    features = f"{platform.machine()} {_processor()} jaxlib {version('jaxlib')}"
    return hashlib.sha256(features.encode()).hexdigest()[:16]


def _processor() -> str:
    """The model and feature lines of the first processor, where the system tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return platform.processor()
    return " ".join(line for line in lines if line.startswith(("model name", "flags", "Features")))


@contextmanager
def numerics() -> Iterator[None]:
    """Allow float64 where it is asked for, and keep float32 products exact on accelerators."""
    import jax

    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        yield

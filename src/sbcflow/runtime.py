"""How JAX runs here: number formats, threads, and the cache of compiled programs.

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

from sbcflow.compilation import ProgramCache

ONE_THREAD_FLAGS = ("--xla_cpu_multi_thread_eigen=false", "intra_op_parallelism_threads=1")
ONE_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
CACHE_VARIABLE = "SBCFLOW_COMPILATION_CACHE"
JAX_CACHE_VARIABLE = "JAX_COMPILATION_CACHE_DIR"


def configure() -> ProgramCache | None:
    """Set threads and the cache of compiled programs; call before anything imports numpy or JAX.

    Returns the cache, or None where ``JAX_COMPILATION_CACHE_DIR`` names one of the user's.
    """
    flags = os.environ.get("XLA_FLAGS", "").split()
    os.environ["XLA_FLAGS"] = " ".join([*flags, *(f for f in ONE_THREAD_FLAGS if f not in flags)])
    for variable in ONE_THREAD_VARIABLES:
        os.environ[variable] = "1"
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    # XLA's own caches put the folder's path into each program's key, so that another path finds nothing.
    os.environ.setdefault("JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES", "none")
    if JAX_CACHE_VARIABLE in os.environ:
        return None
    programs = ProgramCache(compilation_cache())
    os.environ[JAX_CACHE_VARIABLE] = str(programs.view)
    return programs


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

"""Cores, memory, accelerators, disks and the cache of compiled programs."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from sbcflow.doctor.finding import Finding, note, ok, problem
from sbcflow.doctor.installation import answer
from sbcflow.runtime import CACHE_VARIABLE, JAX_CACHE_VARIABLE, compilation_cache

GIB, MIB = 2**30, 2**20
# A workstation's sweep of 36 fits with draws leaves some 100 MiB; compiled programs and DVC's cache as much.
LITTLE_DISK = 2 * GIB
LITTLE_MEMORY = 2 * GIB


def check_cores() -> Finding:
    """How many fits run side by side here, and is there memory for them?"""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    detail = f"{cores} cores, {memory / GIB:.0f} GiB of memory"
    if memory < cores * LITTLE_MEMORY:
        remedy = f"run fewer fits at once: snakemake --cores {max(1, memory // LITTLE_MEMORY)}"
        return note("machine", f"{detail}: less than 2 GiB for each of {cores} fits at once", remedy)
    return ok("machine", detail)


def check_devices() -> Finding:
    """Which devices does JAX see, and is a GPU left out?"""
    import jax

    try:
        devices = jax.devices()
    except RuntimeError as error:
        return problem(
            "JAX devices", " ".join(str(error).split()), "unset JAX_PLATFORMS, or install its plugin"
        )
    detail = ", ".join(sorted({f"{one.platform}: {one.device_kind}" for one in devices}))
    idle = answer("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    if idle and all(one.platform == "cpu" for one in devices):
        return note(
            "JAX devices",
            f"{detail}, though this machine has {', '.join(idle.splitlines())}",
            "pip install 'sbcflow[cuda]', and look at JAX_PLATFORMS and CUDA_VISIBLE_DEVICES",
        )
    return ok("JAX devices", f"{len(devices)} ({detail})")


def check_disk(folder: Path) -> Finding:
    """Is there room and are there locks where runs and temporary files lie?"""
    for place in (folder, Path(tempfile.gettempdir())):
        free = shutil.disk_usage(place).free
        if free < LITTLE_DISK:
            remedy = "make room there: dvc gc --workspace removes data that no stage needs"
            return problem("disk", f"{place}: {free / GIB:.1f} GiB free", remedy)
        if refused := _why_no_lock(place):
            return problem(
                "disk", f"{place}: {refused}", "use a folder that you may write, on a disk with locks"
            )
    return ok("disk", f"{shutil.disk_usage(folder).free / GIB:.0f} GiB free, files can be locked")


def _why_no_lock(folder: Path) -> str:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return f"a file there cannot be made and locked: {error.strerror}"
    return ""


def check_programs() -> Finding:
    """Can compiled programs be kept, and are there any?"""
    if own := os.environ.get(JAX_CACHE_VARIABLE):
        return note("compiled programs", f"JAX's own cache is used, {own}: jobs do not share it safely")
    folder = compilation_cache()
    there = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        remedy = f"set {CACHE_VARIABLE} to a folder that you may write"
        return note("compiled programs", f"{folder} cannot be written: every process compiles anew", remedy)
    sizes = [path.stat().st_size for path in folder.glob("*-cache")]
    return ok("compiled programs", f"{len(sizes)} in {folder}, {sum(sizes) / MIB:.0f} MiB")

"""Cores, memory, accelerators, disks, the cache of compiled programs, Git and Slurm."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from sbcflow.devices import usable_gpus
from sbcflow.doctor.ask import ask
from sbcflow.doctor.finding import Finding, note, ok, problem
from sbcflow.runtime import CACHE_VARIABLE, JAX_CACHE_VARIABLE, compilation_cache

GIB, MIB = 2**30, 2**20
# A workstation's sweep of 36 fits with draws leaves some 100 MiB; compiled programs and DVC's cache as much.
LITTLE_DISK = 2 * GIB
# A fit of 2,000,000 visitors takes less than one GiB, its compilation included.
LITTLE_MEMORY = GIB
MEMORY_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def check_cores() -> Finding:
    """How many fits run side by side here, and is there memory for them?"""
    cores, memory = len(os.sched_getaffinity(0)), _memory()
    fits = len(usable_gpus()) or cores
    detail = f"{cores} cores, {memory / GIB:.0f} GiB of memory, {fits} fits at once"
    if memory < fits * LITTLE_MEMORY:
        remedy = f"run fewer fits at once: snakemake --cores {max(1, memory // LITTLE_MEMORY)}"
        return note("machine", f"{detail}: less than 1 GiB for each", remedy)
    return ok("machine", detail)


def _memory() -> int:
    """Return the bytes of memory that this process may have, by the machine and by its control group."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in map(Path, MEMORY_LIMITS):
        if path.is_file() and (limit := path.read_text().strip()).isdigit():
            found.append(int(limit))
    return min(found)


def check_devices() -> Finding:
    """Which devices does JAX see, and is a GPU left out?"""
    # A look must not take the memory of a GPU that a sweep runs on.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    import jax

    try:
        devices = jax.devices()
    except RuntimeError as error:
        return problem(
            "JAX devices", " ".join(str(error).split()), "unset JAX_PLATFORMS, or install its plugin"
        )
    detail = ", ".join(sorted({f"{one.platform}: {one.device_kind}" for one in devices}))
    there = ask("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").text
    if there and all(one.platform == "cpu" for one in devices):
        return note(
            "JAX devices",
            f"{detail}, though this machine has {', '.join(there.splitlines())}",
            "pip install 'sbcflow[cuda]', and look at JAX_PLATFORMS and CUDA_VISIBLE_DEVICES",
        )
    return ok("JAX devices", f"{len(devices)} ({detail})")


def check_disk(folder: Path) -> Finding:
    """Is there room, and are there locks, where runs lie?"""
    remedy = "make room; before dvc gc, read what docs/experiments.md says of experiments"
    return _check_place("disk", folder, remedy)


def check_temporary() -> Finding:
    """The same where temporary files lie."""
    return _check_place(
        "temporary files", Path(tempfile.gettempdir()), "set TMPDIR to a folder on a larger disk"
    )


def _check_place(subject: str, folder: Path, remedy: str) -> Finding:
    free = shutil.disk_usage(folder).free
    if refused := _why_no_lock(folder):
        return problem(
            subject, f"{folder}: {refused}", "use a folder that you may write, on a disk with locks"
        )
    if free < LITTLE_DISK:
        return note(subject, f"{folder}: {free / GIB:.1f} GiB free", remedy)
    return ok(subject, f"{folder}: {free / GIB:.0f} GiB free")


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


def check_git() -> Finding:
    """Is there a Git?"""
    said = ask("git", "--version")
    if said.failure:
        return problem("Git", said.failure, "install git (Debian: apt install git)")
    return ok("Git", said.text.removeprefix("git version "))


def check_slurm() -> Finding:
    """Is there a Slurm, and does it answer?"""
    if shutil.which("sinfo") is None:
        return note("Slurm", "none: sweeps run on this machine alone")
    said = ask("sinfo", "--noheader", "--format=%P %D nodes %G")
    if said.failure:
        return note("Slurm", said.failure, "see whether slurmctld is up: scontrol ping")
    return ok("Slurm", "; ".join(" ".join(line.split()) for line in said.text.splitlines()))

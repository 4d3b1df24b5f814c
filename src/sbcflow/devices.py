"""Which accelerator a fit runs on: one it was given, one of several that is free, or none.

``CUDA_VISIBLE_DEVICES`` is honoured, as set by a user or by Slurm. Where several GPUs are left to choose
from, as on a workstation, each process claims one by a lock that the kernel lets go when it ends.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import takewhile
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"
CUDA_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin")
NO_GPU = ("", "-1", "NoDevFiles")
QUERY = ("nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader")
QUERY_SECONDS = 60.0

# Held as long as the process lives: closing a descriptor gives its lock back.
_claims: list[int] = []


def usable_gpus() -> list[str]:
    """Return the GPUs that JAX could run on here, by index or uuid, none where it is kept to the CPU."""
    kept_to = os.environ.get("JAX_PLATFORMS", "")
    if not any(map(find_spec, CUDA_PLUGINS)) or (kept_to and "cuda" not in kept_to and "gpu" not in kept_to):
        return []
    if VISIBLE in os.environ:
        named = [name.strip() for name in os.environ[VISIBLE].split(",")]
        # CUDA reads the list up to the first that is no GPU.
        return list(takewhile(lambda name: name not in NO_GPU, named))
    try:
        answer = subprocess.run(QUERY, capture_output=True, text=True, timeout=QUERY_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return answer.stdout.split()


def claim_gpu() -> str | None:
    """Keep this process to one GPU that no other sbcflow process of this user has; return it, or None.

    Call before JAX starts. With one GPU or none to choose from, nothing is claimed and nothing is set; with
    all of them claimed, or no locks where temporary files lie, the last is shared.
    """
    gpus = usable_gpus()
    if len(gpus) < 2:
        return gpus[0] if gpus else None
    chosen = _first_free(gpus)
    os.environ[VISIBLE] = chosen
    return chosen


def _first_free(gpus: Sequence[str]) -> str:
    folder = Path(tempfile.gettempdir(), f"sbcflow-gpus-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    for gpu in gpus:
        descriptor = os.open(folder / f"{gpu.replace('/', '_')}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            continue
        _claims.append(descriptor)
        return gpu
    return gpus[-1]

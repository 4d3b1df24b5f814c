"""How a fit ran: where, when, on what, and what it had to compile. In its summary, and in no key."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sbcflow.compilation import Compilations, Meter
from sbcflow.devices import VISIBLE

SLURM_JOB = "SLURM_JOB_ID"


@cache
def _meter() -> Meter:
    return Meter()


@dataclass(frozen=True)
class Execution:
    """The start of a fit, and what its process had compiled by then."""

    started: float = field(default_factory=time.time)
    compiled: Compilations = field(default_factory=lambda: _meter().read())

    def record(self) -> dict[str, Any]:
        """Return how the fit ran, from its start until now, as plain JSON values (times: Unix seconds)."""
        import jax

        compiled = _meter().read().since(self.compiled)
        return {
            "host": socket.gethostname(),
            "platform": jax.default_backend(),
            "visible_gpus": os.environ.get(VISIBLE),
            "slurm_job": os.environ.get(SLURM_JOB),
            "started": self.started,
            "ended": time.time(),
            "cache_hits": compiled.hits,
            "cache_misses": compiled.misses,
            "compile_seconds": compiled.seconds,
        }

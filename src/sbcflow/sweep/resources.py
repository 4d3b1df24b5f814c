"""What a fit job asks a cluster for: generous, since one that is killed has to be tried again.

A profile's ``set-resources`` overrides either; a second attempt asks for twice as much.
"""

from __future__ import annotations

from sbcflow.params import SweepSettings

BASE_MB = 4000
VISITORS_PER_MB = 500
START_MINUTES = 10
CONFIG_MINUTES = 5
VISITORS_PER_MINUTE = 10_000


def memory_mb(sweep: SweepSettings) -> int:
    """Return the memory of a job, in MB: that of its largest fit, four times what was measured on a CPU."""
    return BASE_MB + max(sweep.scales) // VISITORS_PER_MB


def minutes(sweep: SweepSettings, n_configs: int) -> int:
    """Return the minutes that a job of ``n_configs`` fits may take; some go to NUTS, which takes longest."""
    return START_MINUTES + n_configs * (CONFIG_MINUTES + max(sweep.scales) // VISITORS_PER_MINUTE)

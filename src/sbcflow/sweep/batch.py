"""Batches: the configs of a sweep in the groups that one job fits, one after the other.

How many go together is a setting of the execution (a Snakemake profile's), so it is in no key. Batches
are cut by index, whatever is fitted already, so that every process that makes them makes the same; a
job fits those of its configs whose summaries are missing.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any

from sbcflow.errors import ArtifactError, ParamsError
from sbcflow.params import Params, SweepKind, SweepSettings
from sbcflow.sweep.layout import make_batch_id, parse_batch_id, summary_path
from sbcflow.sweep.plan import PlannedConfig, plan_config, plan_sweep

CONFIGS_PER_JOB = "configs_per_job"
PARALLEL_FITS = "parallel_fits"
# Jobs that each of the fits that run side by side gets, where their size is left to us: few, since each has a
# start of seconds, but more than one, so that a long fit keeps the others from no work.
JOBS_IN_TURN = 2
LARGEST_JOB = 50


@dataclass(frozen=True)
class Batch:
    """The configs of one job, by index, under a name that holds a digest of them."""

    run_id: str
    batch_id: str
    configs: tuple[PlannedConfig, ...]

    def missing(self) -> list[PlannedConfig]:
        """Return the configs that have no summary: those that are to be fitted."""
        return [one for one in self.configs if not summary_path(self.run_id, one.config_id).exists()]


@dataclass(frozen=True)
class BatchSettings:
    """How many configs a job fits: ``configs_per_job``, what suits ``parallel_fits`` at once, or one."""

    configs_per_job: int | None = None
    parallel_fits: int | None = None

    @classmethod
    def take(cls, settings: MutableMapping[str, Any]) -> BatchSettings:
        """Take them out of the settings that Snakemake was given, where they may stand among the run values.

        Raises:
            ParamsError: one is no whole number above zero.
        """
        return cls(*(_take_count(settings, name) for name in (CONFIGS_PER_JOB, PARALLEL_FITS)))

    def size(self, sweep: SweepSettings, n_fits: int | None = None) -> int:
        """Return how many configs go into one job, where ``n_fits`` are to be fitted (default: a sweep's)."""
        if self.configs_per_job:
            return self.configs_per_job
        if self.parallel_fits is None:
            return 1
        if n_fits is None:
            n_fits = sweep.most_configs * len(sweep.scales)
        return min(LARGEST_JOB, math.ceil(n_fits / (JOBS_IN_TURN * self.parallel_fits)))


def _take_count(settings: MutableMapping[str, Any], name: str) -> int | None:
    value = settings.pop(name, None)
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ParamsError(f"{name}: must be an integer >= 1, got {value!r}")
    return value


def plan_batches(params: Params, kind: SweepKind, size: int) -> list[Batch]:
    """Return the batches of a sweep, ``size`` configs each, the last one what is left."""
    return cut_batches(params.sweeps()[kind].id, plan_sweep(params, kind), size)


def cut_batches(run_id: str, configs: Sequence[PlannedConfig], size: int) -> list[Batch]:
    """Return configs that follow one another as batches of ``size``, the last one what is left."""
    return [_make_batch(run_id, configs[start : start + size]) for start in range(0, len(configs), size)]


def find_batch(params: Params, kind: SweepKind, batch_id: str) -> Batch:
    """Return the batch of a sweep that has the name ``batch_id``.

    Raises:
        ArtifactError: the plan has no such batch, as when a value or the source changed on the way.
    """
    named = parse_batch_id(batch_id)
    sweep = params.sweeps()[kind]
    end = min(named.last + 1, sweep.most_configs * len(sweep.scales))
    configs = tuple(plan_config(params, kind, index) for index in range(named.first, end))
    batch = _make_batch(sweep.id, configs) if configs else None
    if batch is None or batch.batch_id != batch_id:
        raise ArtifactError(
            f"{batch_id}: the configs {named.first} to {named.last} of the {kind} sweep are now "
            f"{batch.batch_id if batch else 'none'}: "
            "a value or the source changed while the sweep ran; start it again"
        )
    return batch


def _make_batch(run_id: str, configs: Sequence[PlannedConfig]) -> Batch:
    digest = hashlib.sha256(" ".join(one.config_id for one in configs).encode()).hexdigest()
    return Batch(run_id, make_batch_id(configs[0].index, configs[-1].index, digest), tuple(configs))

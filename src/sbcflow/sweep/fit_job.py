"""A fit job: the missing configs of one batch, one after the other, in one process."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from sbcflow.compilation import ProgramCache
from sbcflow.errors import EstimationError, SbcflowError
from sbcflow.params import Params, SweepKind
from sbcflow.sweep.batch import find_batch
from sbcflow.sweep.fit import fit_config
from sbcflow.sweep.job import explain_os_error, say
from sbcflow.sweep.job_record import JobLog
from sbcflow.sweep.key import context_key
from sbcflow.sweep.layout import config_dir, summary_path
from sbcflow.sweep.plan import PlannedConfig, plan_sweep
from sbcflow.sweep.progress import progress_line
from sbcflow.sweep.rounds import round_of

_LOG = logging.getLogger("sbcflow")


def fit_batch(
    params: Params,
    kind: SweepKind,
    batch_id: str,
    record: Path,
    programs: ProgramCache | None,
    among: Sequence[PlannedConfig] | None = None,
) -> None:
    """Fit the configs of a batch that have no summary; what is written stays, whatever comes after.

    A fit that fails stops no other of the batch. ``record`` is where the job says how it goes;
    ``programs`` the cache of compiled programs, if it is ours; ``among`` the configs that are to be fitted
    in all, by this job and others (default: the sweep's).

    Raises:
        ArtifactError: the plan has no such batch.
        EstimationError: fits failed; the message names each.
    """
    batch = find_batch(params, kind, batch_id)
    missing = batch.missing()
    in_round = " in this round" if among is None and params.sweeps()[kind].precision else ""
    plan = among or plan_sweep(params, kind, round_of(params, kind, batch.configs[0].index))
    with JobLog(record, batch_id, [one.config_id for one in missing]).running() as log:
        _LOG.info("%d of %d configs to fit, on %s", len(missing), len(batch.configs), _where())
        for planned in missing:
            if summary_path(batch.run_id, planned.config_id).exists():
                continue  # a job that outlived its Snakemake was first
            log.begin(planned.config_id)
            try:
                with _first(programs, params, kind, planned):
                    fit_config(params, kind, planned.index)
            except Exception as error:
                log.fail(planned.config_id, _explain(batch.run_id, planned, error))
            else:
                log.finish(planned.config_id)
                bar = sys.stderr.isatty()
                say(progress_line(batch.run_id, plan, planned.config_id, among=in_round, bar=bar))
        failed = log.record.failed
    if failed:
        raise EstimationError(f"{len(failed)} of {len(missing)} fits failed: {'; '.join(failed.values())}")


def _first(
    programs: ProgramCache | None, params: Params, kind: SweepKind, planned: PlannedConfig
) -> AbstractContextManager[None]:
    """Let one process compile what fits of this size need, while others on this kind of device wait."""
    if programs is None:
        return nullcontext()
    context = context_key(params, params.sweeps()[kind])
    return programs.first(f"{context[:16]}-{planned.n_visitors}-{_device().replace(' ', '_')}")


def _where() -> str:
    platform, _, kind = _device().partition(" ")
    return "the CPU: JAX sees no GPU" if platform == "cpu" else f"a GPU: {kind}"


def _device() -> str:
    import jax

    device = jax.devices()[0]
    return f"{device.platform} {device.device_kind}"


def _explain(run_id: str, planned: PlannedConfig, error: Exception) -> str:
    message = " ".join(str(error).split())
    if isinstance(error, SbcflowError):
        return f"{planned.config_id}: {message}"
    _LOG.error("the fit of %s failed", planned.config_id, exc_info=error)
    if isinstance(error, OSError):
        return f"{planned.config_id}: {explain_os_error(error, config_dir(run_id, planned.config_id))}"
    return f"{planned.config_id}: {type(error).__name__}: {message}"

# Run values, checked as the workflow is parsed, and the plans made from them. Nothing here writes.
from pathlib import Path

from sbcflow import params as run_values
from sbcflow.errors import SbcflowError
from sbcflow.sweep import layout, resources, rounds
from sbcflow.sweep.audit_plan import AuditSettings, refit_batches
from sbcflow.sweep.batch import BatchSettings, cut_batches, plan_batches
from sbcflow.sweep.own_sources import check_own_sources
from sbcflow.sweep.stage import check_params_stayed

PARAMS_TEXT = Path(run_values.PARAMS_FILE).read_bytes()

try:
    BATCHES = BatchSettings.take(config)
    AUDITS = AuditSettings.take(config)
    PARAMS = run_values.parse(config)
    check_own_sources(PARAMS)
    rounds.check_rounds(PARAMS)
except SbcflowError as error:
    # One line on the terminal, where a WorkflowError would add its stack.
    raise SystemExit(f"error: {error}") from None

KINDS = {sweep.id: kind for kind, sweep in PARAMS.sweeps().items()}
SWEEPS = {sweep.id: sweep for sweep in PARAMS.sweeps().values()}


def unfinished_batches(wildcards):
    """Return the records of the jobs that have to run: of the batches that miss a summary."""
    size = BATCHES.size(SWEEPS[wildcards.run])
    batches = plan_batches(PARAMS, KINDS[wildcards.run], size)
    return unfinished(wildcards.run, batches)


def unfinished_of_round(wildcards):
    """Return the same of the configs that a round adds to a sweep to a precision."""
    configs = rounds.round_configs(PARAMS, KINDS[wildcards.run], wildcards.look)
    size = BATCHES.size(SWEEPS[wildcards.run], len(configs))
    return unfinished(wildcards.run, cut_batches(wildcards.run, configs, size))


def unfinished(run, batches):
    """Return the records of the jobs of batches that miss a summary."""
    return [
        layout.job_record_path(run, batch.batch_id)
        for batch in batches
        if batch.missing()
    ]


def unfinished_refits(wildcards):
    """Return the records of an audit's jobs that have to run."""
    try:
        batches = refit_batches(PARAMS, KINDS[wildcards.run], AUDITS.share)
    except SbcflowError as error:
        raise SystemExit(f"error: {error}") from None
    return unfinished(layout.audit_id(wildcards.run), batches)


def all_fits(wildcards):
    """Return what has to run before a gather: jobs, or one round after another up to one that is enough."""
    if SWEEPS[wildcards.run].precision is None:
        return unfinished_batches(wildcards)
    ask = lambda look: checkpoints.look.get(run=wildcards.run, look=look).output[0]
    try:
        rounds.run_rounds(PARAMS, KINDS[wildcards.run], ask)
    except SbcflowError as error:
        raise SystemExit(f"error: {error}") from None
    return []


def n_configs(batch_id):
    """Return how many configs a job fits."""
    return len(layout.parse_batch_id(batch_id).indices)


def check_stage():
    """End a stage of DVC with an error if it would be recorded with other values than its own."""
    try:
        check_params_stayed(PARAMS_TEXT)
    except SbcflowError as error:
        raise SystemExit(f"error: {error}") from None


def either(*sections):
    """Return a wildcard constraint: the id of one of these sections."""
    return "|".join(section.id.replace(".", "[.]") for section in sections)


wildcard_constraints:
    run=either(*PARAMS.runs().values()),
    batch=layout.BATCH_ID_PATTERN,
    look=layout.LOOK_ID_PATTERN,

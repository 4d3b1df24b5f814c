# Run values, checked as the workflow is parsed, and the plans made from them. Nothing here writes.
from sbcflow import params as run_values
from sbcflow.errors import SbcflowError
from sbcflow.sweep import layout
from sbcflow.sweep.plan import plan_sweep

try:
    PARAMS = run_values.parse(config)
except SbcflowError as error:
    # One line on the terminal, where a WorkflowError would add its stack.
    raise SystemExit(f"error: {error}") from None

KINDS = {sweep.id: kind for kind, sweep in PARAMS.sweeps().items()}


def planned_summaries(wildcards):
    """Return the summaries of the planned configs of a sweep."""
    plan = plan_sweep(PARAMS, KINDS[wildcards.run])
    return [layout.summary_path(wildcards.run, planned.config_id) for planned in plan]


def either(*sections):
    """Return a wildcard constraint: the id of one of these sections."""
    return "|".join(section.id.replace(".", "[.]") for section in sections)


wildcard_constraints:
    run=either(*PARAMS.runs().values()),
    config=layout.CONFIG_ID_PATTERN,

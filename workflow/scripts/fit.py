"""Fit one config of a sweep, and say so in one line."""

from sbcflow.params import parse
from sbcflow.runtime import configure
from sbcflow.sweep.job import logged_job, say

with logged_job(snakemake.log[0]):
    configure()  # before numpy and jax, which these import: the numbers must not depend on the cores
    from sbcflow.sweep.fit import fit_config
    from sbcflow.sweep.plan import find_config
    from sbcflow.sweep.progress import progress_line

    params, kind = parse(snakemake.config), snakemake.params.kind
    planned = find_config(params, kind, snakemake.wildcards.config)
    fit_config(params, kind, planned.index)
    say(progress_line(params, kind, planned.config_id))

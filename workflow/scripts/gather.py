"""Gather the fits of a sweep into its table, manifest and metrics."""

from sbcflow.params import parse
from sbcflow.sweep.gather import gather_sweep
from sbcflow.sweep.job import logged_job

with logged_job(snakemake.log[0]):
    gather_sweep(parse(snakemake.config), snakemake.params.kind)

"""Fit what is missing of a batch of configs, and say so in a line a fit."""

from pathlib import Path

from sbcflow.devices import claim_gpu
from sbcflow.params import parse
from sbcflow.runtime import configure
from sbcflow.sweep.job import logged_job

with logged_job(snakemake.log[0]):
    claim_gpu()
    programs = configure()  # before the next imports numpy and jax: the numbers must not depend on the cores
    from sbcflow.sweep.fit_job import fit_batch

    params, batch = parse(snakemake.config), snakemake.wildcards.batch
    fit_batch(params, snakemake.params.kind, batch, Path(snakemake.output[0]), programs)

"""Fit an experiment of a sweep again by NUTS, for its audit, unless that is done."""

from pathlib import Path

from sbcflow.devices import claim_gpu
from sbcflow.params import parse
from sbcflow.runtime import configure
from sbcflow.sweep.job import logged_job

with logged_job(snakemake.log[0]):
    claim_gpu()
    programs = configure()  # before the next imports numpy and jax, as for any fit
    from sbcflow.sweep.audit_plan import reference_params, refits
    from sbcflow.sweep.fit_job import fit_batch

    params, kind, batch = parse(snakemake.config), snakemake.params.kind, snakemake.wildcards.batch
    among = refits(params, kind, snakemake.params.share)
    fit_batch(reference_params(params, kind), kind, batch, Path(snakemake.output[0]), programs, among)

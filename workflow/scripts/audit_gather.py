"""Compare the fits of a sweep with those by NUTS of its audit, and record what that tells."""

from sbcflow.params import parse
from sbcflow.sweep.job import logged_job

with logged_job(snakemake.log[0]):
    from sbcflow.sweep.audit import write_audit

    write_audit(parse(snakemake.config), snakemake.params.kind, snakemake.params.share)

"""Fit the corrections on the train sweep."""

from sbcflow.params import parse
from sbcflow.sweep.corrections import write_corrections
from sbcflow.sweep.job import logged_job

with logged_job(snakemake.log[0]):
    write_corrections(parse(snakemake.config))

"""Score the corrections on the test sweep."""

from sbcflow.params import parse
from sbcflow.sweep.evaluation import write_evaluation
from sbcflow.sweep.job import logged_job

with logged_job(snakemake.log[0]):
    write_evaluation(parse(snakemake.config))

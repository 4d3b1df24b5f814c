"""Look whether the fits of a sweep to a precision are enough, and say what they tell."""

from sbcflow.params import parse
from sbcflow.sweep.job import logged_job, say
from sbcflow.sweep.rounds import write_look

with logged_job(snakemake.log[0]):
    say(write_look(parse(snakemake.config), snakemake.params.kind, snakemake.wildcards.look))

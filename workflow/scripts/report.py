"""Write the report of the evaluation."""

from sbcflow.report.write import write_run_report
from sbcflow.sweep.job import logged_job

with logged_job(snakemake.log[0]):
    write_run_report(snakemake.wildcards.run)

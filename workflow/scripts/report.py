"""Write the report of the evaluation, and say where it is."""

from sbcflow.report.write import write_run_report
from sbcflow.sweep.job import logged_job, say

with logged_job(snakemake.log[0]):
    say(f"{write_run_report(snakemake.wildcards.run)}: the report; open it in a browser")

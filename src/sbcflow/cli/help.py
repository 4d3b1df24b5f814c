"""How help is laid out: the panels that commands stand in, and an example under each."""

from __future__ import annotations

RUN = "Calibrate: run sweeps (dvc repro, or snakemake), and look at them"
APPLY = "Apply: calibrated intervals for data of yours"
EXPERIMENTS = "Try out: experiments as Git references"
CHECK = "Check: machine, values and files"

OVERVIEW = """\
Calibrated intervals for treatment effects: simulate, fit, measure, correct, prove, apply.

\b
What people do:
  sbcflow doctor                         see whether this machine is fit
  dvc repro                              run the sweeps, fit and prove the correction
  sbcflow status --watch                 see how far they are
  sbcflow report                         see what the correction is worth, as a page
  sbcflow analyze visitors.csv ...       effects of a real experiment, calibrated
  sbcflow explore --set KEY=V1,V2        try other values, each an experiment
"""


def example(*lines: str) -> str:
    """Return the epilog that shows how a command is used."""
    return "\n".join(("\b", "Example:", *(f"  {line}" for line in lines)))

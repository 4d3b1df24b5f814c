"""A DVC stage around a call of Snakemake: what has to hold for DVC's record of it to be true."""

from __future__ import annotations

import os
from pathlib import Path

from sbcflow.errors import ParamsError
from sbcflow.params import PARAMS_FILE

STAGE_VARIABLE = "DVC_STAGE"


def check_params_stayed(before: bytes) -> None:
    """Check that params.yaml is as it was, if this is a stage: DVC records what it holds at the end.

    Raises:
        ParamsError: it was edited meanwhile: its values would be recorded for results that are not theirs.
    """
    stage = os.environ.get(STAGE_VARIABLE)
    if stage is not None and Path(PARAMS_FILE).read_bytes() != before:
        raise ParamsError(f"{PARAMS_FILE}: changed while {stage} ran; run the same command again")

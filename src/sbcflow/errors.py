"""Every error that sbcflow raises on purpose; each message is one line that says what is allowed."""

from __future__ import annotations


class SbcflowError(Exception):
    """Base of all deliberate errors; the command line prints its message and exits with 2."""


class ParamsError(SbcflowError):
    """A value in params.yaml, or on a command line, that is not allowed."""


class DataError(SbcflowError):
    """A data file that cannot be analysed: a missing column, an impossible value, an empty file."""


class ArtifactError(SbcflowError):
    """A file of a run that is missing, incomplete, altered, or of another run."""


class EstimationError(SbcflowError):
    """A fit that could not be carried out."""

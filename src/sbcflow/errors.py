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


class NoSpreadError(ArtifactError):
    """A fit of a sweep whose draws of some point do not spread: no posterior to correct by regime."""


class EstimationError(SbcflowError):
    """A fit that could not be carried out."""


class OwnCodeError(SbcflowError):
    """An estimator or a generator family of the user's own that cannot be loaded or breaks its contract."""


class ExperimentError(SbcflowError):
    """Base of what goes wrong with experiments kept as Git references."""


class InvalidTransition(ExperimentError):  # noqa: N818 (the contract's name: DESIGN, "Experiments")
    """A call that an experiment's state does not allow.

    Attributes:
        name: the experiment. state: the one it is in. call: what was asked. allowed: what can be.
    """

    def __init__(self, name: str, state: str, call: str, allowed: tuple[str, ...]) -> None:
        self.name, self.state, self.call, self.allowed = name, state, call, allowed
        super().__init__(
            f"experiment {name}: {call} is not allowed when {state}; allowed: {', '.join(allowed)}"
        )


class RepositoryError(ExperimentError):
    """A repository that cannot hold experiments: not Git's, without DVC, without a commit, not writable."""


class ExperimentNameError(ExperimentError):
    """The name of an experiment that is not allowed, taken, unknown or ambiguous."""


class MetricError(ExperimentError):
    """A metric's name or value that is not allowed."""


class ConflictError(ExperimentError):
    """An experiment that somebody else has moved, or is working on."""


class RemoteError(ExperimentError):
    """A Git or DVC remote that is unknown, out of reach, or refuses."""

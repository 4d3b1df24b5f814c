"""All corrections that one train sweep gave: the layered one, and the one by regime where it was fitted."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from sbcflow.calibration.conditional.averages import never_narrowed
from sbcflow.calibration.evaluate import Method
from sbcflow.calibration.layered import COVERAGE_FILE, METHODS, SCALE_FAMILY_FILE, LayeredCorrection
from sbcflow.calibration.regime.correction import REGIME, REGIME_FILE, RegimeCorrection
from sbcflow.calibration.regime.fit import MIN_FITS
from sbcflow.errors import ArtifactError, ParamsError

LAYERED = "layered"
CHOICES = (REGIME, LAYERED)
# From so many train fits on the correction by regime has better scores than the layered rule, and a coverage
# error that cannot be told apart (docs/calibration.md, "With fewer train fits").
DEFAULT_FITS = 150


@dataclass(frozen=True)
class Corrections:
    """The corrections of a folder; ``by_regime`` is None where the train sweep could not carry it."""

    layered: LayeredCorrection
    by_regime: RegimeCorrection | None = None

    @property
    def default_method(self) -> str:
        """The method for intervals of visitors: by regime where it has fits enough, else layered."""
        return LAYERED if self.why_layered else REGIME

    @property
    def why_layered(self) -> str:
        """Why the layered rule is the default; "" where it is not."""
        if self.by_regime is None:
            return "these corrections have none by regime"
        n_fits = self.by_regime.n_fits
        return (
            f"the one by regime is of {n_fits} train fits, fewer than {DEFAULT_FITS}"
            if n_fits < DEFAULT_FITS
            else ""
        )

    @classmethod
    def load(cls, directory: Path | str) -> Corrections:
        """Read the corrections of a folder.

        Raises:
            ArtifactError: a file of the layered correction is missing, or any file is damaged.
        """
        has_regime = REGIME_FILE in files_of(directory)
        return cls(
            LayeredCorrection.load(directory), RegimeCorrection.load(directory) if has_regime else None
        )


def methods_of(corrections: Corrections) -> dict[str, Method]:
    """Return the methods by name: those of ``METHODS``, and ``regime`` where it was fitted."""

    def method(name: str) -> Method:
        rule = cache(lambda level: corrections.layered.rule(level, name))
        return lambda ordered: lambda level: rule(level).read(ordered)

    found = {name: method(name) for name in METHODS}
    by_regime = corrections.by_regime
    return found if by_regime is None else found | {REGIME: by_regime.see}


def methods_of_averages(corrections: Corrections) -> dict[str, Method]:
    """Return the methods of ``methods_of`` as ``sbcflow analyze`` applies them to averages.

    None narrows (docs/decisions/0009), and by regime means the layered rule.
    """
    found = methods_of(corrections)
    return never_narrowed({name: found[LAYERED if name == REGIME else name] for name in found})


def files_of(directory: Path | str) -> tuple[str, ...]:
    """Return the names of the files that a folder of corrections is to hold, or holds beside them."""
    needed = (COVERAGE_FILE, SCALE_FAMILY_FILE)
    return (*needed, REGIME_FILE) if (Path(directory) / REGIME_FILE).exists() else needed


def check_method(method: str) -> None:
    """Raise ParamsError unless a correction's intervals can be had by the method."""
    if method not in CHOICES:
        raise ParamsError(f"method: must be one of {', '.join(CHOICES)}, got {method!r}")


def choose(corrections: Corrections, method: str, folder: Path) -> LayeredCorrection | RegimeCorrection:
    """Return the correction that gives the intervals of a method.

    Raises:
        ParamsError: there is no such method.
        ArtifactError: it is ``regime``, and the folder that the corrections came from holds none.
    """
    check_method(method)
    if method == LAYERED:
        return corrections.layered
    if corrections.by_regime is None:
        raise ArtifactError(
            f"{folder / REGIME_FILE}: no such file; fit_corrections writes it from a train sweep of at least "
            f"{MIN_FITS} converged fits with save_samples: true"
        )
    return corrections.by_regime

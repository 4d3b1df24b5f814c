"""All of the user's own code at once, so that what is wrong with it shows before anything runs."""

from __future__ import annotations

from sbcflow.estimators import make_estimator
from sbcflow.generators import make_family
from sbcflow.params import Params, is_reference


def load_own(params: Params) -> None:
    """Import and build what ``params`` names of the user's own; nothing where they name nothing.

    Raises:
        OwnCodeError: a module cannot be loaded, or a function refuses its settings.
    """
    if is_reference(params.estimator):
        make_estimator(params)
    for sweep in params.sweeps().values():
        if is_reference(sweep.generator_family):
            make_family(sweep.generator_family, params)

"""Calibrated intervals for treatment effects of online experiments.

``sbcflow.load("runs/<id>")`` reads a run for a notebook. Importing the package imports nothing else of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sbcflow.notebook import load

__version__ = "0.1.0"
__all__ = ["load"]

# Hidden from type checkers, so that they see what there is and refuse the rest.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import what is asked for when it is asked for (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module("sbcflow.notebook"), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})

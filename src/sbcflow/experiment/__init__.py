"""Experiments as Git references that dvc's own commands understand; no jax, and nothing slow to import.

from sbcflow.experiment import Experiment

with Experiment.init(params={"lr": 0.5}) as experiment:
    experiment.log_metric("accuracy", 0.9)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sbcflow.experiment.frames.across import Experiments
    from sbcflow.experiment.frames.table import best, compare, experiments
    from sbcflow.experiment.lifecycle import Experiment
    from sbcflow.experiment.manage import remove, rename
    from sbcflow.experiment.persist import Saved
    from sbcflow.experiment.remote import pull, push
    from sbcflow.experiment.states import State

HOMES = {
    "Experiment": "lifecycle",
    "Experiments": "frames.across",
    "Saved": "persist",
    "State": "states",
    "best": "frames.table",
    "compare": "frames.table",
    "experiments": "frames.table",
    "pull": "remote",
    "push": "remote",
    "remove": "manage",
    "rename": "manage",
}

__all__ = [
    "Experiment",
    "Experiments",
    "Saved",
    "State",
    "best",
    "compare",
    "experiments",
    "pull",
    "push",
    "remove",
    "rename",
]


def __getattr__(name: str) -> object:
    """Import what is asked for when it is asked for."""
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)

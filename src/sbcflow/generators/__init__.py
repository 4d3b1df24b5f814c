"""Generator families: simulated trials whose truths are known exactly.

Planning a sweep draws knobs only, so importing this package imports numpy and no jax.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from sbcflow.data import Simulation
from sbcflow.errors import ParamsError
from sbcflow.generators.v2 import V2
from sbcflow.params import Params, is_reference
from sbcflow.streams import Purpose, rng_for

__all__ = ["FAMILIES", "Family", "KnobValues", "Purpose", "make_family", "rng_for"]

KnobValues = Mapping[str, float | int | str]


class Family(Protocol):
    """A family of simulated trials; both methods are pure, so a config's data depend on it alone."""

    def draw_knobs(self, seed: int, replicate: int) -> dict[str, float | int | str]:
        """Return the settings of a config, by name: plain scalars, the same names for every config."""
        ...

    def simulate(self, seed: int, knobs: KnobValues, n_visitors: int, n_test: int) -> Simulation:
        """Simulate a config's trial of ``n_visitors`` and its ``n_test`` test points, with the truths."""
        ...


def _make_v2(params: Params) -> Family:
    return V2(params.generators.v2)


def _make_prior(params: Params) -> Family:
    from sbcflow.generators.prior import Prior

    return Prior(params.generators.prior, params.model)


FAMILIES = {"v2": _make_v2, "prior": _make_prior}


def make_family(name: str, params: Params) -> Family:
    """Return the generator family called ``name``, or the user's own, under the run's settings.

    Raises:
        ParamsError: there is no such family.
        OwnCodeError: the user's own cannot be loaded.
    """
    if is_reference(name):
        from sbcflow.own.family import OwnFamily
        from sbcflow.own.reference import Reference

        return OwnFamily.build(Reference.parse(name), params.own.family)
    if name not in FAMILIES:
        raise ParamsError(f"generator_family: {name!r} is none of {', '.join(FAMILIES)}")
    return FAMILIES[name](params)

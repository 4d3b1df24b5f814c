"""The groups of test fits that a scorecard shows beside the mean: template, scale, conversion rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType

from sbcflow.calibration.evaluate import FitScores

# Upper edges of the conversion-rate bands; the stress family draws baseline rates of 1 to 10%.
RATE_EDGES = (0.01, 0.02, 0.05, 0.1)


@dataclass(frozen=True)
class Group:
    """Some of the test fits: the kind of group, its name, and its fits."""

    kind: str
    name: str
    fits: tuple[FitScores, ...]


def groups_of(fits: tuple[FitScores, ...]) -> tuple[Group, ...]:
    """Return the group of all fits, then those by each kind of ``KINDS``, in order of their keys."""
    found = [Group("all", "all", fits)]
    for kind, key_of in KINDS.items():
        keys = sorted({key_of(fit) for fit in fits})
        found += [Group(kind, key[1], tuple(f for f in fits if key_of(f) == key)) for key in keys]
    return tuple(found)


def rate_band(rate: float) -> tuple[int, str]:
    """Return the order and the name of the band that holds a conversion rate; a band holds its lower edge."""
    names = [f"under {RATE_EDGES[0]:.0%}"]
    names += [f"{low:.0%} to {high:.0%}" for low, high in pairwise(RATE_EDGES)]
    names += [f"{RATE_EDGES[-1]:.0%} and over"]
    order = sum(rate >= edge for edge in RATE_EDGES)
    return order, names[order]


# Each kind's key sorts its groups; the second item is the group's name.
KINDS: Mapping[str, Callable[[FitScores], tuple[int, str]]] = MappingProxyType(
    {
        "template": lambda fit: (0, fit.template),
        "n_visitors": lambda fit: (fit.n_visitors, str(fit.n_visitors)),
        "conversion_rate": lambda fit: rate_band(fit.conversion_rate),
    }
)

"""Fits that the plan no longer names and no gather has removed yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sbcflow.errors import ArtifactError
from sbcflow.inspection.fits import config_folders
from sbcflow.sweep.layout import parse_config_id, summary_path
from sbcflow.sweep.plan import PlannedConfig
from sbcflow.sweep.summary import read_sealed


@dataclass(frozen=True)
class Former:
    """A former fit: its folder's name and index, and its summary, or None where that cannot be read."""

    config_id: str
    index: int
    summary: Mapping[str, Any] | None

    @property
    def config(self) -> Mapping[str, Any]:
        """Its config."""
        return self._part("config")

    @property
    def seed(self) -> int | None:
        """The seed of its config."""
        seed = self.config.get("seed")
        return seed if isinstance(seed, int) else None

    @property
    def ended(self) -> float:
        """When it ended, or 0 where nothing tells; one that cannot be read comes first."""
        ended = self._part("execution").get("ended")
        return ended if isinstance(ended, float) else -1.0 if self.summary is None else 0.0

    def _part(self, name: str) -> Mapping[str, Any]:
        part = (self.summary or {}).get(name)
        return part if isinstance(part, Mapping) else {}


class FormerFits:
    """The former fits of a sweep."""

    def __init__(self, run_id: str, plan: Sequence[PlannedConfig]) -> None:
        planned = {one.config_id for one in plan}
        seeds = {one.seed for one in plan}
        found = [_read(run_id, name) for name in sorted(config_folders(run_id) - planned)]
        fits = sorted((one for one in found if one is not None), key=lambda one: one.ended)
        # Later ones replace earlier ones. A seed that is still planned is another config's at its index.
        self._by_seed = {one.seed: one for one in fits if one.seed is not None}
        self._by_index = {one.index: one for one in fits if one.seed not in seeds}

    def find(self, planned: PlannedConfig) -> Former | None:
        """Return the latest fit of a config: of its seed, wherever that was, else at its index."""
        return self._by_seed.get(planned.seed) or self._by_index.get(planned.index)


def _read(run_id: str, name: str) -> Former | None:
    """Return the fit in a folder; None where the folder is none of a fit."""
    path = summary_path(run_id, name)
    try:
        index = parse_config_id(name).index
    except ArtifactError:
        return None
    if not path.exists():
        return None
    try:
        return Former(name, index, read_sealed(path))
    except ArtifactError:
        return Former(name, index, None)

"""The finished fits of a sweep, as their summaries tell; draws are not looked at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sbcflow.errors import ArtifactError
from sbcflow.sweep.layout import configs_dir, summary_path
from sbcflow.sweep.plan import PlannedConfig
from sbcflow.sweep.summary import check_key, read_sealed

Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Fit:
    """A finished fit: what it took and where; ``ended`` in Unix seconds."""

    config_id: str
    template: str
    n_visitors: int
    seconds: float
    escalated: bool
    host: str
    device: str
    ended: float
    cache_hits: int
    cache_misses: int
    compile_seconds: float

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)


class FitReader:
    """Reads fits; a summary that has not changed since it was last looked at is not read again."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[Stamp, Fit | str]] = {}

    def read(self, run_id: str, plan: Iterable[PlannedConfig]) -> tuple[dict[str, Fit], dict[str, str]]:
        """Return the fits of the configs that have a sound summary, and what is wrong with the others'.

        Both by config id; a config without a summary is in neither.
        """
        there = config_folders(run_id)
        fits: dict[str, Fit] = {}
        unsound: dict[str, str] = {}
        for planned in plan:
            if planned.config_id in there:
                found = self._look(summary_path(run_id, planned.config_id), planned)
                if isinstance(found, Fit):
                    fits[planned.config_id] = found
                elif found is not None:
                    unsound[planned.config_id] = found
        return fits, unsound

    def _look(self, path: Path, planned: PlannedConfig) -> Fit | str | None:
        try:
            stat = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        stamp = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
        if path not in self._seen or self._seen[path][0] != stamp:
            self._seen[path] = (stamp, _read(path, planned))
        return self._seen[path][1]


def config_folders(run_id: str) -> set[str]:
    """Return the names of the folders of configs that a sweep has: one listing, and not a look at each."""
    try:
        return {path.name for path in configs_dir(run_id).iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        return set()


def _read(path: Path, planned: PlannedConfig) -> Fit | str:
    """Return a fit, or what is wrong with its summary."""
    try:
        summary = read_sealed(path)
        check_key(path, planned, summary)
        return _fit(planned, summary)
    except ArtifactError as error:
        wrong = str(error)
    except (KeyError, TypeError, ValueError) as error:
        wrong = f"{path}: tells too little of its fit: {type(error).__name__}: {error}"
    return f"{wrong}; to fit it again: rm -r {path.parent}"


def _fit(planned: PlannedConfig, summary: Mapping[str, Any]) -> Fit:
    execution = summary["execution"]
    return Fit(
        config_id=planned.config_id,
        template=planned.template,
        n_visitors=planned.n_visitors,
        seconds=float(summary["timings"]["wall_seconds"]),
        escalated=bool(summary["diagnostics"]["escalated"]),
        host=str(execution["host"]),
        device=str(summary["device"]),
        ended=float(execution["ended"]),
        cache_hits=int(execution["cache_hits"]),
        cache_misses=int(execution["cache_misses"]),
        compile_seconds=float(execution["compile_seconds"]),
    )

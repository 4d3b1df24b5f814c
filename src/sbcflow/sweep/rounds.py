"""A sweep to a precision: rounds of fixed sizes, after each of which its fits tell whether they are enough.

The sizes are a function of the params, and a look is one of the first fits in order. So how many configs a
sweep takes depends on neither time, jobs nor interruptions.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sbcflow.calibration.confidence_sequence import ALPHA, betting_interval, fewest_observations
from sbcflow.data import FloatArray
from sbcflow.errors import ArtifactError, ParamsError
from sbcflow.files import read_json, write_json
from sbcflow.levels import coverage_metric
from sbcflow.params import Params, PrecisionSettings, SweepKind
from sbcflow.sweep.layout import look_path, make_look_id, parse_look_id, summary_path
from sbcflow.sweep.plan import PlannedConfig, plan_sweep
from sbcflow.sweep.summary import check_key, read_sealed

GROWTH = 1.25


@dataclass(frozen=True)
class Look:
    """What the first ``n_configs`` configs at each scale tell of the coverage that is asked for.

    ``n_fits`` count; ``n_left_out`` did not converge. ``lower`` and ``upper`` hold at all looks together.
    """

    n_configs: int
    n_fits: int
    n_left_out: int
    lower: float
    upper: float
    reached: bool

    @property
    def half_width(self) -> float:
        """Half of the interval's length."""
        return (self.upper - self.lower) / 2


@dataclass(frozen=True)
class Taken:
    """The configs that a sweep takes, as far as its fits tell, and the looks that tell so.

    ``is_decided`` is whether no more will come: always of a sweep of ``n_configs``, which has no looks.
    """

    plan: tuple[PlannedConfig, ...]
    looks: tuple[Look, ...]
    is_decided: bool


def cycle_length(params: Params, kind: SweepKind) -> int:
    """Return how many replicates a generator takes to come back to its first template."""
    return len(params.generators.v2.templates) if params.sweeps()[kind].generator_family == "v2" else 1


def round_sizes(params: Params, kind: SweepKind) -> tuple[int, ...]:
    """Return the numbers of configs, at each scale, after which a sweep to a precision is looked at.

    Whole cycles, from the fewest that could be enough, each a quarter more than the one before, up to what
    of ``max_configs`` is whole cycles.

    Raises:
        ParamsError: ``max_configs`` is fewer than any data could do with.
    """
    sweep, precision, cycle = params.sweeps()[kind], precision_of(params, kind), cycle_length(params, kind)
    n_cycles = math.ceil(fewest_observations(precision.half_width) / (cycle * len(sweep.scales)))
    n_cycles, most = max(n_cycles, 1), precision.max_configs // cycle
    if n_cycles > most:
        raise ParamsError(
            f"{kind}_sweep.precision.max_configs: must be at least {n_cycles * cycle}, whatever the fits "
            f"tell, for a half-width of {precision.half_width:g}; got {precision.max_configs}"
        )
    sizes = [n_cycles]
    while sizes[-1] < most:
        sizes.append(min(math.ceil(GROWTH * sizes[-1]), most))
    return tuple(cycle * size for size in sizes)


def check_rounds(params: Params) -> None:
    """Raise ParamsError if a sweep can never reach its precision."""
    for kind, sweep in params.sweeps().items():
        if sweep.precision is not None:
            round_sizes(params, kind)


def precision_of(params: Params, kind: SweepKind) -> PrecisionSettings:
    """Return the precision that a sweep is to reach, which it has."""
    precision = params.sweeps()[kind].precision
    assert precision is not None, f"the {kind} sweep has n_configs"
    return precision


def look(params: Params, kind: SweepKind, n_configs: int) -> Look:
    """Return what the first ``n_configs`` configs at each scale tell.

    Raises:
        ArtifactError: one has no summary, or none that can be believed.
    """
    sweep, precision, plan = (
        params.sweeps()[kind],
        precision_of(params, kind),
        plan_sweep(params, kind, n_configs),
    )
    metric = coverage_metric(precision.level)
    values = [_observe(summary_path(sweep.id, one.config_id), one, metric) for one in plan]
    size = cycle_length(params, kind) * len(sweep.scales)
    cycles = [_converged(values[start : start + size]) for start in range(0, len(values), size)]
    found = betting_interval(cycles, guess=precision.level, half_width=precision.half_width)
    n_fits = sum(map(len, cycles))
    reached = found.half_width <= precision.half_width
    return Look(n_configs, n_fits, len(values) - n_fits, found.lower, found.upper, reached)


def taken(params: Params, kind: SweepKind) -> Taken:
    """Return the configs of a sweep whose fits are all there.

    Raises:
        ArtifactError: a fit that decides how many it takes is missing, or cannot be believed.
    """
    if params.sweeps()[kind].precision is None:
        return Taken(plan_sweep(params, kind), (), True)
    looks: list[Look] = []
    for n_configs in round_sizes(params, kind):
        looks.append(look(params, kind, n_configs))
        if looks[-1].reached:
            break
    return Taken(plan_sweep(params, kind, looks[-1].n_configs), tuple(looks), True)


def taken_so_far(params: Params, kind: SweepKind) -> Taken:
    """Return the configs that a sweep takes for all that is known: up to the first round that is not done."""
    if params.sweeps()[kind].precision is None:
        return taken(params, kind)
    looks: list[Look] = []
    for n_configs in round_sizes(params, kind):
        try:
            looks.append(look(params, kind, n_configs))
        except ArtifactError:
            return Taken(plan_sweep(params, kind, n_configs), tuple(looks), False)
        if looks[-1].reached:
            break
    return Taken(plan_sweep(params, kind, looks[-1].n_configs), tuple(looks), True)


def round_of(params: Params, kind: SweepKind, index: int) -> int:
    """Return the configs, at each scale, of a sweep up to the round that fits the config at ``index``."""
    sweep = params.sweeps()[kind]
    if sweep.precision is None:
        return sweep.most_configs
    sizes = round_sizes(params, kind)
    return next((size for size in sizes if index < size * len(sweep.scales)), sizes[-1])


def round_configs(params: Params, kind: SweepKind, look_id: str) -> tuple[PlannedConfig, ...]:
    """Return the configs that the round before a look adds to the rounds before it."""
    sizes, n_configs = round_sizes(params, kind), parse_look_id(look_id)
    before = max((size for size in sizes if size < n_configs), default=0)
    return plan_sweep(params, kind, n_configs)[before * len(params.sweeps()[kind].scales) :]


def run_rounds(params: Params, kind: SweepKind, ask: Callable[[str], Path | str]) -> None:
    """Go through the rounds of a sweep until one is enough.

    ``ask`` takes the name of a look that misses fits, and returns its record; it may raise to have it made.

    Raises:
        ArtifactError: a summary cannot be believed.
    """
    run_id = params.sweeps()[kind].id
    for n_configs in round_sizes(params, kind):
        plan = plan_sweep(params, kind, n_configs)
        if all(summary_path(run_id, one.config_id).exists() for one in plan):
            reached = look(params, kind, n_configs).reached
        else:
            reached = read_json(Path(ask(look_id_of(plan, n_configs))))["reached"]
        if reached:
            return


def look_id_of(plan: Sequence[PlannedConfig], n_configs: int) -> str:
    """Return the name of the look at a plan; a plan of other fits has another."""
    return make_look_id(
        n_configs, hashlib.sha256(" ".join(one.config_id for one in plan).encode()).hexdigest()
    )


def write_look(params: Params, kind: SweepKind, look_id: str) -> str:
    """Look, write down what was found for Snakemake, and return a line that says so."""
    found = look(params, kind, parse_look_id(look_id))
    write_json(look_path(params.sweeps()[kind].id, look_id), asdict(found))
    return f"{params.sweeps()[kind].id}: {describe_look(precision_of(params, kind), found)}"


def describe_look(precision: PrecisionSettings, found: Look) -> str:
    """Return what a look found, in a line."""
    left_out = f", {found.n_left_out} that did not converge left out" if found.n_left_out else ""
    return (
        f"{found.n_configs} configs, {100 * precision.level:g}% covers {found.lower:.3f} to "
        f"{found.upper:.3f}, +-{found.half_width:.4f} of +-{precision.half_width:g}{left_out}"
    )


def precision_record(params: Params, kind: SweepKind, looks: Sequence[Look]) -> dict[str, Any]:
    """Return what a manifest tells of a precision: what was asked for, and what came of it."""
    last = looks[-1]
    asked = precision_of(params, kind).model_dump(mode="json")
    return {
        **{name: value for name, value in asked.items() if name != "half_width"},
        "wanted_half_width": asked["half_width"],
        "confidence": 1 - ALPHA,
        **asdict(last),
        "half_width": last.half_width,
        "looks": [one.n_configs for one in looks],
    }


def _observe(path: Path, planned: PlannedConfig, metric: str) -> float | None:
    """Return the coverage of a fit, None if it did not converge."""
    try:
        stat = path.stat()
    except OSError:
        raise ArtifactError(f"{path}: no such fit; run the sweep first") from None
    key, value = _read(path, metric, (stat.st_ino, stat.st_size, stat.st_mtime_ns))
    check_key(path, planned, {"key": key})
    return value


@lru_cache(maxsize=100_000)
def _read(path: Path, metric: str, stamp: tuple[int, int, int]) -> tuple[str, float | None]:  # noqa: ARG001
    """Return the key and the coverage in a summary; ``stamp`` tells one state of the file from another."""
    try:
        summary = read_sealed(path)
        converged, value = summary["diagnostics"]["converged"], summary["metrics"][metric]
        return str(summary["key"]), float(value) if converged else None
    except ArtifactError as error:
        raise ArtifactError(f"{error}; to fit it again: rm -r {path.parent}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{path}: tells too little of its fit: {type(error).__name__}: {error}; "
            f"to fit it again: rm -r {path.parent}"
        ) from None


def _converged(values: Sequence[float | None]) -> FloatArray:
    return np.array([value for value in values if value is not None], dtype=np.float64)

"""An audit of a sweep: some of its experiments fitted again by the reference, NUTS."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sbcflow.calibration.audit import Attribution, attribute
from sbcflow.data import FloatArray
from sbcflow.errors import ArtifactError, ParamsError
from sbcflow.levels import LEVELS, coverage_metric
from sbcflow.params import Params, SweepKind
from sbcflow.sweep.fit import run_config
from sbcflow.sweep.layout import summary_path
from sbcflow.sweep.plan import PlannedConfig
from sbcflow.sweep.rounds import taken_so_far
from sbcflow.sweep.summary import read_summary

N_BOOTSTRAP = 2000
FEWEST = 2


@dataclass(frozen=True)
class Audit:
    """What an audit of a sweep found; ``unconverged`` fits, by either inference, are left out."""

    run_id: str
    config_ids: tuple[str, ...]
    n_fits: int
    unconverged: int
    attribution: Attribution

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values."""
        estimates = {name: value.to_json() for name, value in vars(self.attribution).items()}
        return {name: value for name, value in asdict(self).items() if name != "attribution"} | estimates


def audit(params: Params, kind: SweepKind, share: float, seed: int, say: Callable[[str], None]) -> Audit:
    """Fit a random ``share`` of a sweep's configs, at least two, by NUTS, and compare; nothing is written.

    Raises:
        ParamsError: the share is not in (0, 1], or the sweep's fits are not by ``laplace`` of ``hurdle``.
        ArtifactError: a config that was drawn is not fitted, or no pair converged.
    """
    if not 0 < share <= 1:
        raise ParamsError(f"share: must lie in (0, 1], got {share:g}")
    if params.estimator != "hurdle" or params.inference.method != "laplace":
        raise ParamsError("an audit is of fits of the estimator hurdle by the inference method laplace")
    sweep, chosen = params.sweeps()[kind], drawn(params, kind, share, seed)
    recorded = [read_summary(sweep, planned) for planned in chosen]
    exact = params.model_copy(update={"inference": params.inference.model_copy(update={"method": "nuts"})})
    pairs = []
    for i, (planned, before) in enumerate(zip(chosen, recorded, strict=True), start=1):
        say(f"{sweep.id} {planned.config_id}: fitting it by NUTS, {i} of {len(chosen)}")
        after, _ = run_config(exact, kind, planned.index)
        if before["diagnostics"]["converged"] and after["diagnostics"]["converged"]:
            pairs.append((_coverages(before), _coverages(after)))
    if not pairs:
        raise ArtifactError(
            f"{sweep.id}: none of the {len(chosen)} fits drawn converged by both, nothing to tell"
        )
    approximate, reference = (np.stack(side) for side in zip(*pairs, strict=True))
    return Audit(
        run_id=sweep.id,
        config_ids=tuple(planned.config_id for planned in chosen),
        n_fits=len(pairs),
        unconverged=len(chosen) - len(pairs),
        attribution=attribute(approximate, reference, N_BOOTSTRAP, seed),
    )


def drawn(params: Params, kind: SweepKind, share: float, seed: int) -> tuple[PlannedConfig, ...]:
    """Return the configs to audit, in index order: drawn from ``seed``, all of them fitted.

    Raises:
        ArtifactError: one of them has no fit under its present key.
    """
    planned, run_id = taken_so_far(params, kind).plan, params.sweeps()[kind].id
    size = min(len(planned), max(FEWEST, math.ceil(share * len(planned))))
    indices = np.sort(np.random.default_rng(seed).permutation(len(planned))[:size])
    chosen = tuple(planned[i] for i in indices)
    for one in chosen:
        if not summary_path(run_id, one.config_id).exists():
            raise ArtifactError(
                f"{summary_path(run_id, one.config_id)}: no such fit; fit the sweep first "
                f"(`sbcflow status {run_id}` tells how far it is)"
            )
    return chosen


def _coverages(summary: Mapping[str, Any]) -> FloatArray:
    return np.array([summary["metrics"][coverage_metric(level)] for level in LEVELS], dtype=np.float64)

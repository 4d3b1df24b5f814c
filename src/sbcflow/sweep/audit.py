"""An audit of a sweep: some of its experiments fitted again by the reference, NUTS, and what that tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sbcflow import manifest
from sbcflow.calibration.audit import Attribution, attribute
from sbcflow.data import FloatArray
from sbcflow.errors import ArtifactError
from sbcflow.files import write_json
from sbcflow.levels import LEVELS, coverage_metric
from sbcflow.params import Params, SweepKind
from sbcflow.sweep.audit_plan import DRAW_SEED, drawn, reference_params
from sbcflow.sweep.gather import SETTINGS, execution_of, prune
from sbcflow.sweep.layout import audit_path, manifest_path, summary_path
from sbcflow.sweep.plan import PlannedConfig, plan_sweep
from sbcflow.sweep.record import making, write_manifest
from sbcflow.sweep.summary import read_summary

N_BOOTSTRAP = 2000
Summary = Mapping[str, Any]


@dataclass(frozen=True)
class Audit:
    """What an audit of a sweep found; ``unconverged`` fits, by either inference, are left out.

    ``config_ids`` are those of the audited fits, in index order.
    """

    run_id: str
    config_ids: tuple[str, ...]
    n_fits: int
    unconverged: int
    attribution: Attribution

    def plain(self) -> dict[str, Any]:
        """Return it as JSON values."""
        estimates = {name: value.to_json() for name, value in vars(self.attribution).items()}
        return {name: value for name, value in asdict(self).items() if name != "attribution"} | estimates


def compare_refits(
    params: Params, kind: SweepKind, share: float, seed: int, refit: Callable[[PlannedConfig], Summary]
) -> Audit:
    """Compare a random share of a sweep's fits with those of the same experiments by NUTS.

    ``refit`` is asked for the summary of each, by its config of ``reference_params``, once all that is
    compared with is known to be there.

    Raises:
        ParamsError: the share is not in (0, 1], or there is no audit of this sweep.
        ArtifactError: a config that was drawn is not fitted, or no pair converged.
    """
    sweep, reference = params.sweeps()[kind], drawn(reference_params(params, kind), kind, share, seed)
    chosen = drawn(params, kind, share, seed)
    for one in chosen:
        if not summary_path(sweep.id, one.config_id).exists():
            raise ArtifactError(
                f"{summary_path(sweep.id, one.config_id)}: no such fit; fit the sweep first "
                f"(`sbcflow status {sweep.id}` tells how far it is)"
            )
    recorded = [read_summary(sweep, one) for one in chosen]
    both = [(before, refit(again)) for before, again in zip(recorded, reference, strict=True)]
    pairs = [pair for pair in both if all(one["diagnostics"]["converged"] for one in pair)]
    if not pairs:
        raise ArtifactError(
            f"{sweep.id}: none of the {len(chosen)} fits drawn converged by both, nothing to tell"
        )
    coverages = np.array([[_coverages(one) for one in pair] for pair in pairs])
    return Audit(
        run_id=sweep.id,
        config_ids=tuple(one.config_id for one in chosen),
        n_fits=len(pairs),
        unconverged=len(chosen) - len(pairs),
        attribution=attribute(coverages[:, 0], coverages[:, 1], N_BOOTSTRAP, seed),
    )


def write_audit(params: Params, kind: SweepKind, share: float) -> None:
    """Gather the fits of an audit into its audit.json and manifest; nothing of the sweep is written.

    Fits that another share drew stay; those under a key that is no longer the plan's go.

    Raises:
        ParamsError: there is no audit of this sweep.
        ArtifactError: a fit of the sweep or of the audit is missing or unsound, or no pair converged.
    """
    sweep, exact = params.sweeps()[kind], reference_params(params, kind)
    reference, again = exact.sweeps()[kind], []

    def read(planned: PlannedConfig) -> Summary:
        again.append(read_summary(reference, planned))
        return again[-1]

    with making(reference.id):
        found = compare_refits(params, kind, share, DRAW_SEED, read)
        prune(reference, plan_sweep(exact, kind))
        write_json(audit_path(sweep.id), found.plain())
        write_manifest(
            reference.id,
            "audit",
            params={
                "audit": {"share": share, "seed": DRAW_SEED, "n_bootstrap": N_BOOTSTRAP},
                "sweep": sweep.model_dump(mode="json"),
                **exact.model_dump(mode="json", include=set(SETTINGS)),
            },
            seed=sweep.master_seed,
            links={"audited": manifest.read(manifest_path(sweep.id))["experiment_id"]},
            execution=execution_of(again),
        )


def _coverages(summary: Summary) -> FloatArray:
    return np.array([summary["metrics"][coverage_metric(level)] for level in LEVELS], dtype=np.float64)

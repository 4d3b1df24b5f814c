"""The audit of a sweep, made in this process or found beside an evaluation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from sbcflow import manifest
from sbcflow.files import read_json
from sbcflow.manifest import MANIFEST_FILE, OWN
from sbcflow.params import Params, SweepKind
from sbcflow.sweep.audit import Audit, Summary, compare_refits
from sbcflow.sweep.audit_plan import reference_params
from sbcflow.sweep.fit import run_config
from sbcflow.sweep.layout import AUDIT, CONFIGS, SUMMARY, summary_path
from sbcflow.sweep.plan import PlannedConfig
from sbcflow.sweep.summary import read_summary


def audit(params: Params, kind: SweepKind, share: float, seed: int, say: Callable[[str], None]) -> Audit:
    """Compare a random ``share`` of a sweep's fits, at least two, with NUTS on the same experiments.

    What ``snakemake audit`` has fitted is used; the rest is fitted here. Nothing is written.

    Raises:
        ParamsError: the share is not in (0, 1], or the sweep's fits are not by ``laplace`` of ``hurdle``.
        ArtifactError: a config that was drawn is not fitted, or no pair converged.
    """
    exact = reference_params(params, kind)
    reference, run_id = exact.sweeps()[kind], params.sweeps()[kind].id

    def refit(planned: PlannedConfig) -> Summary:
        path = summary_path(reference.id, planned.config_id)
        if path.exists():
            say(f"{run_id} config {planned.index}: fitted by NUTS before, {path}")
            return read_summary(reference, planned)
        say(f"{run_id} config {planned.index}: fitting it by NUTS")
        return run_config(exact, kind, planned.index)[0]

    return compare_refits(params, kind, share, seed, refit)


def find_audit(evaluation: Path) -> dict[str, Any] | None:
    """Return what the audit of an evaluation's test sweep found, None where there is none beside it.

    An audit of fits that the sweep no longer has counts as none.

    Raises:
        ArtifactError: the audit, or a manifest, is damaged or altered.
    """
    if not (evaluation / MANIFEST_FILE).exists():
        return None
    links = manifest.read(evaluation / MANIFEST_FILE)["pytyche"].get(OWN, {}).get("links", {})
    for path in sorted(evaluation.resolve().parent.glob(f"*/{AUDIT}")):
        of = manifest.read(path.parent / MANIFEST_FILE)["pytyche"].get(OWN, {}).get("links", {})
        if of.get("audited") == links.get("test"):
            manifest.check_files(path.parent, AUDIT)
            found: dict[str, Any] = read_json(path)
            configs = path.parents[1] / found["run_id"] / CONFIGS
            return found if all((configs / one / SUMMARY).exists() for one in found["config_ids"]) else None
    return None

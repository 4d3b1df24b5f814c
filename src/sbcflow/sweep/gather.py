"""The gather of a sweep: exactly the plan's fits into aggregate.csv, dvclive/, manifest and metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from sbcflow.errors import ArtifactError
from sbcflow.files import read_json, replacing, sha256_of, write_json
from sbcflow.params import Params, SweepKind, SweepSettings, TestSweepSettings
from sbcflow.sweep.layout import (
    aggregate_path,
    draws_path,
    dvclive_dir,
    metrics_path,
    summary_path,
)
from sbcflow.sweep.plan import PlannedConfig, plan_sweep
from sbcflow.tracking import write_dvclive

SECTIONS = ("metrics", "effects", "ranks", "diagnostics")


def gather_sweep(params: Params, kind: SweepKind) -> None:
    """Gather a sweep; nothing that the plan doesn't name is read or left.

    Raises:
        ArtifactError: a summary is missing, truncated, edited, or of another config: each by name.
    """
    sweep = params.sweeps()[kind]
    plan = plan_sweep(params, kind)
    summaries = [_read_summary(sweep, planned) for planned in plan]
    link = _train_experiment(params) if isinstance(sweep, TestSweepSettings) else None
    _prune(sweep, plan)
    table = aggregate(summaries)
    with replacing(aggregate_path(sweep.id)) as stream:
        table.to_csv(stream, index=False, lineterminator="\n")
    write_dvclive(dvclive_dir(sweep.id), [_tracked(summary) for summary in summaries])
    _write_manifest(params, kind, link)
    write_json(metrics_path(f"{kind}_sweep"), _sweep_metrics(table))


def aggregate(summaries: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return the table of a sweep, a row a config (contract: DESIGN, aggregate.csv)."""
    return pd.DataFrame([_row(summary) for summary in summaries])


def _row(summary: Mapping[str, Any]) -> dict[str, Any]:
    config = summary["config"]
    knobs = {name: value for name, value in config["knobs"].items() if name != "template"}
    row = {
        "config_id": summary["config_id"],
        "config_seed": config["seed"],
        "n_visitors": config["n_visitors"],
        "generator_family": config["generator_family"],
        "template": config["template"],
        **knobs,
    }
    for section in SECTIONS:
        row |= {f"{section}.{name}": value for name, value in summary[section].items()}
    return row | {"wall_seconds": summary["timings"]["wall_seconds"]}


def _read_summary(sweep: SweepSettings, planned: PlannedConfig) -> dict[str, Any]:
    path = summary_path(sweep.id, planned.config_id)
    try:
        summary = read_json(path)
        _check_summary(sweep, planned, summary)
    except ArtifactError as error:
        raise ArtifactError(f"{error}; to refit it: rm -r {path.parent}") from None
    return dict(summary)


def _check_summary(sweep: SweepSettings, planned: PlannedConfig, summary: Any) -> None:  # noqa: ANN401
    path = summary_path(sweep.id, planned.config_id)
    if not isinstance(summary, dict) or summary.get("key") != planned.key:
        raise ArtifactError(f"{path}: does not carry the key {planned.key} of its config")
    if summary.get("seal") != seal(summary):
        raise ArtifactError(f"{path}: was edited after it was written (its seal does not match)")
    if sweep.save_samples:
        draws = draws_path(sweep.id, planned.config_id)
        if not draws.is_file() or sha256_of(draws) != summary["draws_sha256"]:
            raise ArtifactError(f"{draws}: is missing or altered (its sha256 is in {path.name})")


def _train_experiment(params: Params) -> str:
    path = manifest_path(params.train_sweep.id)
    experiment_id: str = manifests.read(path)["experiment_id"]
    return experiment_id


def _prune(sweep: SweepSettings, plan: Iterable[PlannedConfig]) -> None:
    """Remove the configs that the plan doesn't name."""
    planned = {config.config_id for config in plan}
    for folder in configs_dir(sweep.id).iterdir():
        if folder.name not in planned:
            shutil.rmtree(folder)


def _tracked(summary: Mapping[str, Any]) -> TrackedFit:
    config = summary["config"]
    return TrackedFit(
        config_id=summary["config_id"],
        config_seed=config["seed"],
        n_visitors=config["n_visitors"],
        generator_family=config["generator_family"],
        metrics={**summary["metrics"], "wall_seconds": summary["timings"]["wall_seconds"]},
    )


def _sweep_metrics(table: pd.DataFrame) -> dict[str, float | int]:
    """Return what DVC shows of a sweep: counts, and the mean of every metric over converged fits."""
    converged = table[table["diagnostics.converged"]]
    means = converged.filter(regex=r"^metrics\.").mean()
    return {
        "n_fits": len(table),
        "n_converged": len(converged),
        "n_escalated": int(table["diagnostics.escalated"].sum()),
        **{str(name).removeprefix("metrics."): float(mean) for name, mean in means.items()},
    }

"""The gather of a sweep: exactly the plan's fits into aggregate.csv, dvclive/, manifest and metrics."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from sbcflow import manifest as manifests
from sbcflow.files import replacing, write_json
from sbcflow.params import Params, SweepKind, SweepSettings, TestSweepSettings
from sbcflow.scoring import METRICS
from sbcflow.sweep.job import say
from sbcflow.sweep.layout import (
    aggregate_path,
    configs_dir,
    dvclive_dir,
    manifest_path,
    sweep_metrics_path,
)
from sbcflow.sweep.plan import PlannedConfig
from sbcflow.sweep.record import making, write_manifest
from sbcflow.sweep.rounds import Taken, describe_look, precision_of, precision_record
from sbcflow.sweep.rounds import taken as taken_configs
from sbcflow.sweep.summary import read_summary
from sbcflow.terminal import track
from sbcflow.tracking import TrackedFit, write_dvclive

SECTIONS = ("effects", "ranks", "diagnostics")
COMPILED = ("cache_hits", "cache_misses", "compile_seconds")
SETTINGS = ("generators", "estimator", "own", "model", "inference", "scoring")


def gather_sweep(params: Params, kind: SweepKind) -> None:
    """Gather a sweep; nothing that the plan doesn't name is read or left.

    Raises:
        ArtifactError: a summary is missing, truncated, edited, or of another config: each by name.
    """
    sweep = params.sweeps()[kind]
    with making(sweep.id):
        taken = taken_configs(params, kind)
        planned = track(taken.plan, f"gathering {sweep.id}", len(taken.plan))
        summaries = [read_summary(sweep, one) for one in planned]
        link = _train_experiment(params) if isinstance(sweep, TestSweepSettings) else None
        prune(sweep, taken.plan)
        precision = precision_record(params, kind, taken.looks) if taken.looks else None
        _write_tables(sweep, kind, summaries, precision)
        _write_manifest(params, kind, len(taken.plan), link, execution_of(summaries), precision)
        if taken.looks:
            say(_verdict(params, kind, taken))


def _verdict(params: Params, kind: SweepKind, taken: Taken) -> str:
    """Say how many configs a precision took, or that it was missed."""
    precision, last = precision_of(params, kind), taken.looks[-1]
    verdict = "precision reached" if last.reached else "precision missed at max_configs"
    looks = f"{len(taken.looks)} look{'s' if len(taken.looks) > 1 else ''}"
    return f"{params.sweeps()[kind].id}: {verdict} after {looks}: {describe_look(precision, last)}"


def _write_tables(
    sweep: SweepSettings,
    kind: SweepKind,
    summaries: Sequence[Mapping[str, Any]],
    precision: Mapping[str, Any] | None,
) -> None:
    table = aggregate(summaries)
    with replacing(aggregate_path(sweep.id)) as stream:
        table.to_csv(stream, index=False, lineterminator="\n")
    write_dvclive(dvclive_dir(sweep.id), [_tracked(summary) for summary in summaries])
    write_json(sweep_metrics_path(kind, sweep.id), _sweep_metrics(table) | _precision_metrics(precision))


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
    row |= {f"metrics.{name}": summary["metrics"][name] for name in METRICS}
    for section in SECTIONS:
        row |= {f"{section}.{name}": value for name, value in summary[section].items()}
    return row | {"wall_seconds": summary["timings"]["wall_seconds"]}


def execution_of(summaries: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """Return where the fits of a sweep ran, by number of fits, and what they had to compile."""
    runs = [summary["execution"] for summary in summaries]
    return {
        "hosts": dict(sorted(Counter(run["host"] for run in runs).items())),
        "devices": dict(sorted(Counter(summary["device"] for summary in summaries).items())),
        **{name: sum(run[name] for run in runs) for name in COMPILED},
    }


def _write_manifest(
    params: Params,
    kind: SweepKind,
    n_fits: int,
    link: str | None,
    execution: dict[str, object],
    precision: Mapping[str, object] | None,
) -> None:
    sweep = params.sweeps()[kind]
    calibration: dict[str, object] = {
        "master_seed": sweep.master_seed,
        "n_configs": n_fits // len(sweep.scales),
        "scales": list(sweep.scales),
        "generator_family": sweep.generator_family,
        "sweep_kind": kind,
        "save_samples": sweep.save_samples,
    }
    if link is not None:
        calibration["links"] = {"trained_correction_from": link}
    settings = params.model_dump(mode="json", include=set(SETTINGS))
    write_manifest(
        sweep.id,
        "sweep",
        params={"sweep": sweep.model_dump(mode="json"), **settings},
        seed=sweep.master_seed,
        calibration=calibration,
        execution=execution,
        precision=precision,
    )


def _train_experiment(params: Params) -> str:
    path = manifest_path(params.train_sweep.id)
    experiment_id: str = manifests.read(path)["experiment_id"]
    return experiment_id


def prune(sweep: SweepSettings, plan: Iterable[PlannedConfig]) -> None:
    """Remove the configs of a sweep that its plan doesn't name."""
    planned = {config.config_id for config in plan}
    for folder in configs_dir(sweep.id).iterdir():
        if folder.is_dir() and folder.name not in planned:
            shutil.rmtree(folder)


def _precision_metrics(precision: Mapping[str, Any] | None) -> dict[str, float | int]:
    """Return what DVC shows of a precision; ``precision_reached`` is 1 or 0."""
    if precision is None:
        return {}
    told = {name: precision[name] for name in ("lower", "upper", "half_width", "n_configs")}
    return {f"precision_{name}": value for name, value in told.items()} | {
        "precision_reached": int(precision["reached"]),
        "precision_looks": len(precision["looks"]),
    }


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

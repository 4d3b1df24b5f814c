"""Made-up sweeps: summaries and records of jobs as a real sweep leaves them, without a fit."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from sbcflow.params import Params, SweepKind, parse
from sbcflow.sweep.job_record import JobRecord
from sbcflow.sweep.key import config_ingredients, context_ingredients
from sbcflow.sweep.layout import job_record_path, make_batch_id, summary_path
from sbcflow.sweep.plan import PlannedConfig, plan_sweep
from sbcflow.sweep.summary import SEAL, seal

ROOT = Path(__file__).parents[2]
STARTED = 1_795_000_000.0


def values(**changes: Any) -> Params:
    """Return params.yaml with values changed by dotted key (a double underscore for the dot)."""
    tree = yaml.safe_load((ROOT / "params.yaml").read_text())
    for path, value in changes.items():
        *parents, name = path.split("__")
        section = tree
        for parent in parents:
            section = section[parent]
        section[name] = value
    return parse(tree)


def summary(params: Params, kind: SweepKind, planned: PlannedConfig, **changes: Any) -> dict[str, Any]:
    """Return the summary of a fit that was made at once; ``changes`` replace what is in its sections."""
    told = config_ingredients(planned.seed, planned.n_visitors, planned.generator_family, planned.knobs)
    content = {
        "config_id": planned.config_id,
        "key": planned.key,
        "config": {**told, "index": planned.index, "template": planned.template},
        "diagnostics": {"escalated": False},
        "timings": {"wall_seconds": 9.0},
        "device": "cpu",
        "execution": {
            "host": "node1",
            "ended": STARTED + 10.0 * planned.index,
            "cache_hits": 2,
            "cache_misses": 1,
            "compile_seconds": 0.5,
        },
    }
    if "ingredients" not in changes:
        content["ingredients"] = context_ingredients(params, params.sweeps()[kind])
    for section, change in changes.items():
        content[section] = {**content.get(section, {}), **change} if isinstance(change, Mapping) else change
    return content


def fit(params: Params, kind: SweepKind, planned: PlannedConfig, **changes: Any) -> Path:
    """Write the sealed summary of a fit, and return where; without fsync, since tests write thousands."""
    content = summary(params, kind, planned, **changes)
    path = summary_path(params.sweeps()[kind].id, planned.config_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**content, SEAL: seal(content)}))
    return path


def fit_all(params: Params, kind: SweepKind = "train") -> None:
    """Write a summary of every config of a sweep."""
    for planned in plan_sweep(params, kind):
        fit(params, kind, planned)


def job(run_id: str, configs: list[PlannedConfig], digest: str = "0" * 8, **changes: Any) -> JobRecord:
    """Write the record of a job on another machine, heard of just now, and return it."""
    ids = tuple(one.config_id for one in configs)
    batch_id = make_batch_id(configs[0].index, configs[-1].index, digest)
    record = replace(JobRecord(batch_id, ids, host="node2", pid=1, slurm_job="77"), **changes)
    path = job_record_path(run_id, batch_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(record)))
    return record


def ago(seconds: float) -> float:
    """Return the time so many seconds before now."""
    return time.time() - seconds

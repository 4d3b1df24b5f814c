"""Checks of a sweep's folder: its configs, aggregate.csv, dvclive/ and the link to a train sweep."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sbcflow.errors import ArtifactError
from sbcflow.files import read_json, read_npz, sha256_of
from sbcflow.levels import LEVELS, coverage_column, coverage_metric
from sbcflow.manifest import MANIFEST_FILE, Manifest
from sbcflow.manifest import read as read_manifest
from sbcflow.sweep.layout import AGGREGATE, CONFIGS, DRAWS, SUMMARY, parse_config_id
from sbcflow.tracking import TABLE_FILE
from sbcflow.validate.findings import Row, Run, mapping, number, same, table

TRACKED = f"dvclive/{TABLE_FILE}"
SWEEP_FILES = (AGGREGATE, TRACKED, "dvclive/metrics.json", "dvclive/params.yaml")
SCORES = ("rmse", "bias", "mean_width_90", "interval_score_90", "crps")
AGGREGATE_COLUMNS = (
    *("config_id", "config_seed", "n_visitors", "generator_family", "template"),
    *(coverage_column(level) for level in LEVELS),
    *(f"metrics.{name}" for name in SCORES),
    "wall_seconds",
)
SUMMARY_KEYS = (
    *("schema", "config_id", "key", "config", "metrics"),
    *("diagnostics", "timings", "device", "versions", "draws_sha256"),
)
KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class _Config:
    """A config's folder, by its name under ``configs/``, and what its summary holds (empty: unsound)."""

    config_id: str
    summary: Mapping[str, Any]


def check_sweep(run: Run) -> None:
    """Check the folder of a sweep whose required files are there."""
    calibration = run.capability("calibration")
    if not run.expect(bool(calibration), MANIFEST_FILE, "pytyche.calibration is missing; a sweep has it"):
        return
    provenance = {"kind": "synthetic", "seed": calibration["master_seed"]}
    run.expect_equal(run.manifest["data_provenance"], provenance, MANIFEST_FILE, "data_provenance")
    configs = [_Config(name, _read_config(run, name)) for name in _config_ids(run)]
    rows = table(run, AGGREGATE)
    if run.expect(bool(rows), AGGREGATE, "has no row; a sweep has one a config"):
        _check_shape(run, rows, [config.config_id for config in configs])
        _check_coverages(run, rows)
        _check_rows(run, rows, configs)
    tracked = [row.get("config_id") for row in table(run, TRACKED, delimiter="\t")]
    told = [row.get("config_id") for row in rows]
    run.expect(tracked == told, TRACKED, f"its config_id must be those of {AGGREGATE}, in that order")
    if calibration["sweep_kind"] == "test":
        _check_link(run, calibration["links"]["trained_correction_from"])


def _config_ids(run: Run) -> list[str]:
    """Return the names of the config folders in index order."""
    found = [p.name for p in (run.root / CONFIGS).glob("*") if not p.name.startswith(".")]
    ids = []
    for name in sorted(found):
        try:
            ids.append((parse_config_id(name).index, name))
        except ArtifactError as error:
            run.expect(False, CONFIGS, str(error))
    expected = list(range(_n_fits(run)))
    indices = sorted(index for index, _ in ids)
    message = (
        f"has the indices {_spans(indices)}; n_configs x scales of the manifest ask for {_spans(expected)}"
    )
    run.expect(indices == expected, CONFIGS, message)
    run.checked(f"{len(ids)} config folders")
    return [name for _, name in sorted(ids)]


def _read_config(run: Run, config_id: str) -> Mapping[str, Any]:
    """Check the summary and the draws of one config, and return the summary, empty where it is unsound."""
    name = f"{CONFIGS}/{config_id}/{SUMMARY}"
    with run.findings.catching():
        summary = mapping(read_json(run.root / name))
        missing = [key for key in SUMMARY_KEYS if key not in summary]
        if run.expect(not missing, name, f"is missing {', '.join(missing)}; a summary has it"):
            _check_identity(run, config_id, summary)
            _check_draws(run, f"{CONFIGS}/{config_id}/{DRAWS}", summary["draws_sha256"])
            return summary
    return {}


def _check_identity(run: Run, config_id: str, summary: Mapping[str, Any]) -> None:
    name = f"{CONFIGS}/{config_id}/{SUMMARY}"
    of_folder, calibration = parse_config_id(config_id), run.capability("calibration")
    key, config = str(summary["key"]), mapping(summary["config"])
    run.expect(KEY.fullmatch(key) is not None, name, f"key is {key!r}; must be 64 lower-case hex digits")
    run.expect(key.startswith(of_folder.key8), name, f"key is {key!r}; must begin as its folder says")
    run.expect_equal(summary["config_id"], config_id, name, "config_id")
    run.expect_equal(config.get("index"), of_folder.index, name, "config.index")
    family = calibration["generator_family"]
    run.expect_equal(config.get("generator_family"), family, name, "config.generator_family")
    visitors, scales = config.get("n_visitors"), calibration["scales"]
    run.expect(visitors in scales, name, f"config.n_visitors is {visitors!r}; must be one of {scales}")


def _check_draws(run: Run, name: str, digest: object) -> None:
    path = run.root / name
    if not run.capability("calibration")["save_samples"]:
        run.expect(not path.exists(), name, "is there; the sweep's save_samples is false")
        return
    if not run.expect(path.is_file(), name, "is missing; the sweep's save_samples is true"):
        return
    run.expect_equal(sha256_of(path), digest, name, f"sha256 (draws_sha256 of {SUMMARY})")
    arrays = read_npz(path)
    shapes = [arrays[key].shape for key in ("draws", "truth") if key in arrays]
    paired = len(shapes) == 2 and len(shapes[0]) == 2 and shapes[1] == shapes[0][:1]
    run.expect(paired, name, "must hold draws (n_test, n_draws) and truth (n_test,)")


def _check_shape(run: Run, rows: Sequence[Row], config_ids: Sequence[str]) -> None:
    missing = [column for column in AGGREGATE_COLUMNS if column not in rows[0]]
    run.expect(not missing, AGGREGATE, f"has no column {', '.join(missing)}")
    message = f"has {len(rows)} rows; n_configs x scales of the manifest are {_n_fits(run)}"
    run.expect(len(rows) == _n_fits(run), AGGREGATE, message)
    calibration = run.capability("calibration")
    for scale in calibration["scales"]:
        n_rows = sum(row.get("n_visitors") == str(scale) for row in rows)
        run.expect_equal(n_rows, calibration["n_configs"], AGGREGATE, f"number of rows at {scale} visitors")
    ids = [row.get("config_id") for row in rows]
    run.expect(
        ids == config_ids, AGGREGATE, f"its config_id must be the folders of {CONFIGS}/, in index order"
    )
    run.checked(f"columns, order and {len(rows)} rows of {AGGREGATE}")


def _check_coverages(run: Run, rows: Sequence[Row]) -> None:
    for column in map(coverage_column, LEVELS):
        for row in (row for row in rows if column in row):
            message = f"{column} of {row.get('config_id')} is {row[column]!r}; a coverage lies in [0, 1]"
            run.expect(0 <= number(row[column]) <= 1, AGGREGATE, message)
    run.checked(f"range of {len(LEVELS)} coverages")


def _check_rows(run: Run, rows: Sequence[Row], configs: Sequence[_Config]) -> None:
    """Check that each row tells what its config's summary tells."""
    told = {config.config_id: _told(config.summary) for config in configs if config.summary}
    for row in rows:
        config_id = row.get("config_id", "")
        for column, expected in told.get(config_id, {}).items():
            message = f"{column} of {config_id} is {row.get(column)!r}; its {SUMMARY} says {expected!r}"
            run.expect(column not in row or same(row[column], expected), AGGREGATE, message)
    run.checked(f"{AGGREGATE} against {len(told)} summaries")


def _told(summary: Mapping[str, Any]) -> dict[str, object]:
    """Return what a summary says of the columns of its row."""
    config, metrics = mapping(summary["config"]), mapping(summary["metrics"])
    told = {coverage_column(level): metrics.get(coverage_metric(level)) for level in LEVELS}
    told |= {f"metrics.{name}": value for name, value in metrics.items()}
    columns = {"config_seed": "seed", "n_visitors": "n_visitors", "generator_family": "generator_family"}
    return told | {column: config.get(key) for column, key in columns.items()}


def _check_link(run: Run, wanted: str) -> None:
    """Check that the train sweep that a test sweep names is a run beside it, drawn from another seed."""
    others = runs_beside(run.root)
    if not others:
        note = f"{run.root}: no run beside it, so trained_correction_from ({wanted}) was not followed"
        run.findings.notes.append(note)
        return
    name, place = MANIFEST_FILE, f"pytyche.calibration.links.trained_correction_from is {wanted}"
    linked = [m["pytyche"].get("calibration", {}) for m in others if m["experiment_id"] == wanted]
    trained = [calibration for calibration in linked if calibration.get("sweep_kind") == "train"]
    ids = ", ".join(m["experiment_id"] for m in others)
    if run.expect(bool(linked), name, f"{place}; must be one of the runs beside it: {ids}"):
        run.expect(bool(trained), name, f"{place}; that run must be a train sweep")
    seed = run.capability("calibration")["master_seed"]
    shared = any(calibration["master_seed"] == seed for calibration in trained)
    run.expect(not shared, name, f"pytyche.calibration.master_seed is {seed}; {wanted} has it too")
    run.checked("link to the train sweep")


def runs_beside(root: Path) -> list[Manifest]:
    """Return the manifests of the runs beside ``root``; an unsound one is for its own check to report."""
    own, found = root.resolve(), []
    for path in sorted(own.parent.glob(f"*/{MANIFEST_FILE}")):
        with suppress(ArtifactError):
            if path.parent != own:
                found.append(read_manifest(path))
    return found


def _n_fits(run: Run) -> int:
    calibration = run.capability("calibration")
    n_configs: int = calibration["n_configs"]
    return n_configs * len(calibration["scales"])


def _spans(indices: Sequence[int]) -> str:
    """Return sorted integers as spans: 0-3, 5."""
    spans: list[list[int]] = []
    for index in indices:
        if spans and index == spans[-1][1] + 1:
            spans[-1][1] = index
        else:
            spans.append([index, index])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans) or "none"

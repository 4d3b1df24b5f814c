"""Where everything of a run lies: each path, and each name in one, is made and parsed here.

Paths are relative to the project's root, where DVC and Snakemake run. ``runs/`` holds one folder a
run (DVC's); ``metrics/`` holds the small files that Git keeps.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sbcflow.errors import ArtifactError

if TYPE_CHECKING:
    from sbcflow.params import SweepKind

RUNS = "runs"
METRICS = "metrics"
CONFIGS = "configs"
LOGS = "logs"
AGGREGATE = "aggregate.csv"
SUMMARY = "summary.json"
DRAWS = "draws.npz"
REPORT = "report.html"
AUDIT = "audit.json"
COVERAGE_CORRECTION = "coverage_correction.json"
SCALE_FAMILY_CORRECTION = "scale_family_correction.json"
KEY_DIGITS = 8
CONFIG_ID_PATTERN = rf"\d{{4,9}}-[0-9a-f]{{{KEY_DIGITS}}}"
BATCH_ID_PATTERN = rf"\d{{4,9}}-\d{{4,9}}-[0-9a-f]{{{KEY_DIGITS}}}"
LOOK_ID_PATTERN = rf"\d{{4,9}}-[0-9a-f]{{{KEY_DIGITS}}}"


@dataclass(frozen=True)
class ConfigId:
    """The two facts in the name of a config's folder: its index, and the head of its cache key."""

    index: int
    key8: str


def make_config_id(index: int, key: str) -> str:
    """Return the name of a config's folder, ``<index>-<key8>``: a stale result cannot even be found."""
    return f"{index:04d}-{key[:KEY_DIGITS]}"


def parse_config_id(config_id: str) -> ConfigId:
    """Return the index and key head that ``config_id`` was made from.

    Raises:
        ArtifactError: the name is none that ``make_config_id`` makes.
    """
    if re.fullmatch(CONFIG_ID_PATTERN, config_id) is None:
        raise ArtifactError(f"{config_id}: not a config's folder; expected <index>-<key8>, as 0007-1a2b3c4d")
    index, key8 = config_id.split("-")
    return ConfigId(int(index), key8)


@dataclass(frozen=True)
class BatchId:
    """The facts in the name of a batch: its first and last index, and the head of its configs' digest."""

    first: int
    last: int
    digest8: str

    @property
    def indices(self) -> range:
        """The indices of its configs."""
        return range(self.first, self.last + 1)


def make_batch_id(first: int, last: int, digest: str) -> str:
    """Return the name of the batch of the configs ``first`` to ``last``, ``<first>-<last>-<digest8>``."""
    return f"{first:04d}-{last:04d}-{digest[:KEY_DIGITS]}"


def parse_batch_id(batch_id: str) -> BatchId:
    """Return the facts that ``batch_id`` was made from.

    Raises:
        ArtifactError: the name is none that ``make_batch_id`` makes.
    """
    if re.fullmatch(BATCH_ID_PATTERN, batch_id) is None:
        raise ArtifactError(
            f"{batch_id}: not a batch; expected <first>-<last>-<digest8>, as 0004-0007-1a2b3c4d"
        )
    first, last, digest8 = batch_id.split("-")
    return BatchId(int(first), int(last), digest8)


def make_look_id(n_configs: int, digest: str) -> str:
    """Return the name of the look at a sweep's first configs (at each scale), ``<n_configs>-<digest8>``."""
    return f"{n_configs:04d}-{digest[:KEY_DIGITS]}"


def parse_look_id(look_id: str) -> int:
    """Return the number of configs that ``look_id`` was made from."""
    return int(look_id.partition("-")[0])


def run_dir(run_id: str) -> Path:
    """Return the folder of a run, the out of its DVC stage."""
    return Path(RUNS, run_id)


def configs_dir(run_id: str) -> Path:
    """Return the folder that holds a sweep's configs."""
    return run_dir(run_id) / CONFIGS


def config_dir(run_id: str, config_id: str) -> Path:
    """Return the folder of one config of a sweep."""
    return configs_dir(run_id) / config_id


def summary_path(run_id: str, config_id: str) -> Path:
    """Return the summary of one fit: the file whose existence says that the fit is done."""
    return config_dir(run_id, config_id) / SUMMARY


def draws_path(run_id: str, config_id: str) -> Path:
    """Return the draws of one fit, written where the sweep's ``save_samples`` is true."""
    return config_dir(run_id, config_id) / DRAWS


def aggregate_path(run_id: str) -> Path:
    """Return a sweep's table, one row a config."""
    return run_dir(run_id) / AGGREGATE


def manifest_path(run_id: str) -> Path:
    """Return a run's manifest."""
    return run_dir(run_id) / "manifest.json"


def dvclive_dir(run_id: str) -> Path:
    """Return the folder of a sweep's DVCLive files."""
    return run_dir(run_id) / "dvclive"


def audit_id(run_id: str) -> str:
    """Return the run id of the audit of a sweep: a folder of its own, since a sweep's is an out of DVC."""
    return f"{run_id}-audit"


def audit_path(run_id: str) -> Path:
    """Return what the audit of the sweep ``run_id`` found."""
    return run_dir(audit_id(run_id)) / AUDIT


def coverage_correction_path(run_id: str) -> Path:
    """Return the isotonic map R(p) of a corrections run."""
    return run_dir(run_id) / COVERAGE_CORRECTION


def scale_family_correction_path(run_id: str) -> Path:
    """Return the scale family of a corrections run."""
    return run_dir(run_id) / SCALE_FAMILY_CORRECTION


def scorecard_csv_path(run_id: str) -> Path:
    """Return the scorecard of an evaluation, a row per level and method."""
    return run_dir(run_id) / "scorecard.csv"


def scorecard_json_path(run_id: str) -> Path:
    """Return the scorecard's summary: errors, paired differences, verdict."""
    return run_dir(run_id) / "scorecard.json"


def conditional_csv_path(run_id: str) -> Path:
    """Return the conditional scorecard of an evaluation, a row per cell, level and method."""
    return run_dir(run_id) / "conditional.csv"


def conditional_json_path(run_id: str) -> Path:
    """Return the conditional scorecard's summary: the worst cells."""
    return run_dir(run_id) / "conditional.json"


def report_path(run_id: str) -> Path:
    """Return the report of an evaluation, a page."""
    return run_dir(run_id) / REPORT


def metrics_path(stage: str) -> Path:
    """Return the metrics file of a DVC stage, outside its run folder and in Git."""
    return Path(METRICS, f"{stage}.json")


def sweep_metrics_path(kind: SweepKind, run_id: str) -> Path:
    """Return the metrics file of a sweep: an exploratory one is no stage, and keeps its own in its folder."""
    return run_dir(run_id) / "metrics.json" if kind == "exploratory" else metrics_path(f"{kind}_sweep")


def coverage_curve_path() -> Path:
    """Return the data of the plot coverage against nominal level (columns: nominal, and one a method)."""
    return Path(METRICS, "coverage_curve.csv")


def coverage_by_template_path() -> Path:
    """Return the data of the plot of 90% coverage by template (columns: template, and one a method)."""
    return Path(METRICS, "coverage_by_template.csv")


def log_path(run_id: str, job: str) -> Path:
    """Return the log of a job, kept out of the run folder: a log is no result."""
    return Path(LOGS, run_id, f"{job}.log")


def run_lock_path(run_id: str) -> Path:
    """Return the file that whoever writes a run's tables locks; the kernel frees it with the process."""
    return Path(LOGS, run_id, "run.lock")


def fit_log_path(run_id: str, batch_id: str) -> Path:
    """Return the log of one fit job."""
    return log_path(run_id, batch_id)


def job_record_path(run_id: str, batch_id: str) -> Path:
    """Return what a fit job says of itself while it runs and when it ends; no result either."""
    return Path(LOGS, run_id, f"{batch_id}.json")


def look_path(run_id: str, look_id: str) -> Path:
    """Return what a look at a sweep to a precision found, for the Snakemake that asked; no result."""
    return Path(LOGS, run_id, f"look-{look_id}.json")


def job_ids(run_id: str) -> list[str]:
    """Return the batches whose jobs have left a record, in index order."""
    names = sorted(path.stem for path in Path(LOGS, run_id).glob("*.json"))
    return [name for name in names if re.fullmatch(BATCH_ID_PATTERN, name)]

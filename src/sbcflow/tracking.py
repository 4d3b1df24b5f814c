"""A sweep as DVCLive's own files, one step a fit, and the same as one table, metrics.tsv.

DVCLive looks for a DVC or Git repository around the working directory and, where it finds one, makes
a ``.dvc``, marks steps in ``.dvc/tmp``, stages files and obeys variables that ``dvc repro`` and
``dvc exp run`` set. Files are all that is wanted here, so it runs in a process of its own, whose
working directory is the root of the file system and whose environment names no repository.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sbcflow.errors import ArtifactError
from sbcflow.files import replacing_folder, write_text

TABLE_FILE = "metrics.tsv"
PARAM_COLUMNS = ("config_seed", "n_visitors", "generator_family")
ID_COLUMNS = ("step", "config_id", *PARAM_COLUMNS)
WALL_SECONDS = "wall_seconds"

FOREIGN_VARIABLES = ("DVC_", "DVCLIVE_", "STUDIO_", "GIT_", "PYTHONPATH")
CHILD = "import json, sys, sbcflow.tracking as t; t.log_steps(**json.load(sys.stdin))"


@dataclass(frozen=True)
class TrackedFit:
    """One fit of a sweep: its config, and its metrics by name, ``wall_seconds`` among them.

    Names are DVCLive's: ``coverage_<level>`` (``levels.coverage_metric``), ``rmse``, ``bias``, ...
    """

    config_id: str
    config_seed: int
    n_visitors: int
    generator_family: str
    metrics: Mapping[str, float]


def write_dvclive(directory: Path | str, steps: Sequence[TrackedFit]) -> None:
    """Write the folder ``dvclive/`` of a sweep anew, a step a fit in the order given.

    ``plots/metrics/<name>.tsv`` holds each metric by step, ``metrics.json`` the last step's,
    ``params.yaml`` the lists config_seed, n_visitors and generator_family in step order, and
    ``metrics.tsv`` all of it. No file holds a time: the bytes follow from ``steps`` alone.

    Raises:
        ArtifactError: there is no fit, a metric is not a finite number or is missing from some fit,
            or DVCLive failed; a former folder is then left as it was.
    """
    _check(directory, steps)
    with replacing_folder(directory) as fresh:
        _run_dvclive(directory, fresh, steps)
        write_text(fresh / TABLE_FILE, _table(steps))


def log_steps(directory: str, params: dict[str, list[int | str]], metrics: list[dict[str, float]]) -> None:
    """Log through DVCLive, in this process; ``write_dvclive`` calls it in one of its own."""
    from dvclive.live import Live

    with Live(
        dir=directory,
        resume=False,
        report=None,
        save_dvc_exp=False,
        dvcyaml=None,
        cache_images=False,
        monitor_system=False,
    ) as live:
        # Neither next_step() nor the params before the metrics: DVCLive reads all it has at every step.
        for step, values in enumerate(metrics):
            live.step = step
            for name, value in values.items():
                live.log_metric(name, value, timestamp=False)
        live.log_params(params)


def _check(directory: Path | str, steps: Sequence[TrackedFit]) -> None:
    if not steps:
        raise ArtifactError(f"{directory}: no fit to track; a sweep has at least one")
    names = list(steps[0].metrics)
    for fit in steps:
        if list(fit.metrics) != names:
            raise ArtifactError(
                f"{directory}: {fit.config_id} has the metrics {', '.join(fit.metrics)}; "
                f"every fit must have {', '.join(names)}"
            )
        for name, value in fit.metrics.items():
            if not math.isfinite(value):
                raise ArtifactError(f"{directory}: {fit.config_id}: {name} is {value}; must be finite")


def _run_dvclive(directory: Path | str, folder: Path, steps: Sequence[TrackedFit]) -> None:
    params = {name: [_plain(getattr(fit, name)) for fit in steps] for name in PARAM_COLUMNS}
    metrics = [{name: _plain(value) for name, value in fit.metrics.items()} for fit in steps]
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        input=json.dumps({"directory": str(folder.resolve()), "params": params, "metrics": metrics}),
        cwd=Path(folder.resolve().anchor),
        env=_surroundings(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ArtifactError(f"{directory}: DVCLive failed: {last}")


def _surroundings() -> dict[str, str]:
    """Return the environment without what would point DVCLive at a repository, a server or a mode."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(FOREIGN_VARIABLES)}
    # The child works elsewhere, so relative entries of the path are made absolute for it.
    search = os.pathsep.join(str(Path(entry).resolve()) for entry in sys.path)
    return kept | {"PYTHONPATH": search, "DVC_STUDIO_OFFLINE": "1", "DVC_NO_ANALYTICS": "1"}


def _table(steps: Sequence[TrackedFit]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow([*ID_COLUMNS, *steps[0].metrics])
    for step, fit in enumerate(steps):
        settings = [getattr(fit, name) for name in PARAM_COLUMNS]
        writer.writerow([step, fit.config_id, *settings, *(_plain(v) for v in fit.metrics.values())])
    return text.getvalue()


def _plain(value: float | str) -> float | int | str:
    """Return a plain Python value for a numpy scalar, so that it has one form in every file."""
    if isinstance(value, str):
        return value
    item = getattr(value, "item", None)
    plain: float | int = item() if item is not None else value
    return plain

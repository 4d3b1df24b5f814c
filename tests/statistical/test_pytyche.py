"""The published pytyche 0.2.1, in its own environment, accepts our files and gives our intervals.

Its interpreter is ``SBCFLOW_PYTYCHE_PYTHON`` where that is set; else an environment is built once under
.cache/pytyche (needs the network). Run by ``make test-pytyche``.

"Relative" is the largest distance over points between our end of an interval and theirs, as a share of the
width of our own interval at that point. Asked to compute in 64 bits (JAX_ENABLE_X64), pytyche gives our
intervals to 1e-9, whatever the draws. By itself it computes in 32 bits, where the place of a quantile among
S sorted draws, up to S-1, is rounded: then 1e-5 holds beside what that rounding alone can move, S-1 times
2^-23 of the gap between two neighbouring draws.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pytyche_environment import pytyche_interpreter
from sbcflow.calibration.fit import fit_corrections
from sbcflow.calibration.layered import LayeredCorrection
from sbcflow.levels import LEVELS
from sbcflow.params import CorrectionSettings
from sbcflow.scoring import score_fit

pytestmark = pytest.mark.pytyche

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "runs"
SCRIPT = Path(__file__).with_name("pytyche_compare.py")
TOLERANCE_32 = 1e-5
TOLERANCE_64 = 1e-9
C_TOLERANCE = 1e-4
SETTINGS = CorrectionSettings(id="corrections", n_bootstrap=100, seed=1)
# Posterior sd over true sd, and fits, of sweeps whose anchor is usable; at 1.0; and under 1, but too few.
SWEEPS = {"usable": (0.6, 12), "at one": (1.5, 12), "too few": (0.6, 4)}


@dataclass(frozen=True)
class Answer:
    """The response, and lower and upper (n_levels, n_points) of each correction asked about."""

    response: dict
    intervals: list


@pytest.fixture(scope="session")
def pytyche_python() -> Path:
    return pytyche_interpreter()


def _ask(python: Path, exchange: Path, *, bits=64, manifests=(), aggregates=(), corrections=()) -> Answer:
    request = {
        "manifests": [str(path) for path in manifests],
        "aggregates": [str(path) for path in aggregates],
        "corrections": [
            {"directory": str(folder), "draws": str(draws), "levels": LEVELS} for folder, draws in corrections
        ],
    }
    exchange.mkdir(parents=True)
    (exchange / "request.json").write_text(json.dumps(request))
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "JAX_ENABLE_X64": str(int(bits == 64))}
    subprocess.run([python, SCRIPT, exchange], check=True, env=environment)
    response = json.loads((exchange / "response.json").read_text())
    intervals = [np.load(exchange / f"intervals-{i}.npz") for i in range(len(corrections))]
    return Answer(response, intervals)


def _aggregate(scale: float, n_fits: int) -> pd.DataFrame:
    """A sweep whose posteriors are ``scale`` times too wide; its last fit, all wrong, did not converge."""
    rng = np.random.default_rng(4)
    rows = []
    for index in range(n_fits + 1):
        draws = rng.normal(size=(200, 1)) + scale * rng.normal(size=(200, 1000))
        truth = np.full(200, 9.0) if index == n_fits else np.zeros(200)
        scores = score_fit(draws.astype(np.float32), truth)
        rows.append({f"metrics.{name}": value for name, value in scores.items()})
    return pd.DataFrame(rows).assign(
        n_visitors=20000,
        **{"diagnostics.conversion_rate": 0.03, "diagnostics.n_arms": 2, "diagnostics.severity_sd": 1.0},
        **{"diagnostics.converged": [True] * n_fits + [False]},
    )


def _write_correction(correction: LayeredCorrection, folder: Path) -> Path:
    folder.mkdir()
    for name, values in correction.to_files().items():
        (folder / name).write_text(json.dumps(values))
    return folder


def _write_skewed_draws(path: Path) -> Path:
    """Posterior draws as of a rare, skewed outcome: (300, 2000) float32, means of about 2 sd."""
    rng = np.random.default_rng(5)
    draws = 0.2 * rng.normal(size=(300, 1)) + 0.05 * rng.gamma(4.0, size=(300, 2000))
    np.savez(path, draws=draws.astype(np.float32))
    return path


def _largest_difference(ours: LayeredCorrection, draws: Path, theirs, *, rounded_places=False) -> float:
    """The largest relative difference, less, with ``rounded_places``, what their 32-bit places can move."""
    values, worst = np.load(draws)["draws"], 0.0
    gaps = np.diff(np.sort(values, axis=1).astype(np.float64), axis=1).max(axis=1)
    allowed = (values.shape[1] - 1) * 2.0**-23 * gaps * rounded_places
    for index, level in enumerate(LEVELS):
        found = ours.intervals(values, level)
        width = found.upper - found.lower
        for mine, other in ((found.lower, theirs["lower"]), (found.upper, theirs["upper"])):
            worst = max(worst, float(np.max((np.abs(mine - other[index]) - allowed) / width)))
    return worst


def _assert_same_intervals(python: Path, exchange: Path, folder: Path, draws: Path) -> None:
    ours = LayeredCorrection.load(folder)
    exact = _ask(python, exchange / "64", bits=64, corrections=[(folder, draws)]).intervals[0]
    assert _largest_difference(ours, draws, exact) <= TOLERANCE_64
    default = _ask(python, exchange / "32", bits=32, corrections=[(folder, draws)]).intervals[0]
    assert _largest_difference(ours, draws, default, rounded_places=True) <= TOLERANCE_32


@pytest.mark.parametrize("sweep", SWEEPS)
def test_published_rule_gives_our_intervals_and_our_c(sweep, pytyche_python, tmp_path):
    table = _aggregate(*SWEEPS[sweep])
    table.to_csv(tmp_path / "aggregate.csv", index=False)
    ours = fit_corrections(table, SETTINGS, "train")
    assert ours.scale.anchor_usable == (sweep == "usable")
    folder = _write_correction(ours, tmp_path / "correction")
    draws = _write_skewed_draws(tmp_path / "draws.npz")

    _assert_same_intervals(pytyche_python, tmp_path, folder, draws)
    answer = _ask(
        pytyche_python,
        tmp_path / "exchange",
        aggregates=[tmp_path / "aggregate.csv"],
        corrections=[(folder, draws)],
    )
    family = answer.response["aggregates"][str(tmp_path / "aggregate.csv")]
    assert family["c"] == pytest.approx(ours.scale.c, abs=C_TOLERANCE)
    assert family["max_recorded_actual"] == pytest.approx(ours.scale.median_actual, abs=1e-12)
    assert family["n_points_fit"] == ours.scale.n_points_fit
    methods = answer.response["corrections"][0]["methods"]
    assert methods == [ours.rule(level).regime.split(" ")[0].rstrip(";") for level in LEVELS]


def test_a_changed_correction_is_noticed(pytyche_python, tmp_path):
    """The comparison can fail: another stretch, as of an inverted ratio, is far over the tolerance."""
    ours = fit_corrections(_aggregate(0.6, 12), SETTINGS, "train")
    theirs = fit_corrections(_aggregate(0.61, 12), SETTINGS, "train")
    folder = _write_correction(theirs, tmp_path / "correction")
    draws = _write_skewed_draws(tmp_path / "draws.npz")
    answer = _ask(pytyche_python, tmp_path / "exchange", corrections=[(folder, draws)])
    assert _largest_difference(ours, draws, answer.intervals[0]) > 100 * TOLERANCE_32


def test_a_manifest_as_designed_is_accepted_and_a_foreign_key_refused(pytyche_python, tmp_path):
    good = {
        "manifest_schema_version": 1,
        "experiment_id": "2026-05-27T12-34-56Z_abc1234",
        "timestamp_utc": "2026-05-27T12:34:56Z",
        "git": {"sha": "abc1234" + "0" * 33, "dirty": False, "branch": "main"},
        "env": {"python": "3.11.7", "platform": "Linux"},
        "params": {},
        "data_provenance": {"kind": "synthetic", "seed": 1},
        "pytyche": {"calibration": {"master_seed": 1}},
    }
    (tmp_path / "good.json").write_text(json.dumps(good))
    (tmp_path / "bad.json").write_text(json.dumps({**good, "foreign": 1}))
    paths = [tmp_path / "good.json", tmp_path / "bad.json"]
    errors = _ask(pytyche_python, tmp_path / "exchange", manifests=paths).response["manifests"]
    assert errors[str(paths[0])] == ""
    assert "foreign" in errors[str(paths[1])]


def test_it_accepts_every_run_of_this_checkout(pytyche_python, tmp_path):
    """Manifests, aggregates and corrections under runs/, as `make repro` left them."""
    manifests = sorted(RUNS.glob("*/manifest.json"))
    if not manifests:
        pytest.fail("no runs/ to compare: run `make repro` first")
    folders = sorted(path.parent for path in RUNS.glob("*/scale_family_correction.json"))
    aggregates = {_experiment_id(path.parent): path for path in RUNS.glob("*/aggregate.csv")}
    draws = _write_skewed_draws(tmp_path / "draws.npz")
    answer = _ask(pytyche_python, tmp_path / "exchange", manifests=manifests, aggregates=aggregates.values())
    assert set(answer.response["manifests"].values()) == {""}
    for folder in folders:
        _assert_same_intervals(pytyche_python, tmp_path / folder.name, folder, draws)
        ours = LayeredCorrection.load(folder)
        family = answer.response["aggregates"][str(aggregates[ours.trained_on])]
        assert family["c"] == pytest.approx(ours.scale.c, abs=C_TOLERANCE)


def _experiment_id(folder: Path) -> str:
    found: str = json.loads((folder / "manifest.json").read_text())["experiment_id"]
    return found

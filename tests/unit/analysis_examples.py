"""Data, run values and corrections that tests of an analysis share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from scipy.stats import norm

from sbcflow.calibration.fit import fit_corrections
from sbcflow.calibration.layered import LayeredCorrection
from sbcflow.calibration.regime.correction import RegimeCorrection
from sbcflow.calibration.regime.fit import errors_of, fit_regime
from sbcflow.files import write_json
from sbcflow.levels import LEVELS, coverage_column
from sbcflow.params import CorrectionSettings

ROOT = Path(__file__).parents[2]
HILLSTROM = ROOT / "tests/data/hillstrom.csv.gz"
TRAINED_ON = "2026-05-27T12-34-56Z_abc1234"
N_VISITORS = 600


def shop(n: int = N_VISITORS) -> pd.DataFrame:
    """Return an experiment of ``n`` visitors in two arms, a quarter of whom convert."""
    rng = np.random.default_rng(7)
    converted = rng.random(n) < 0.25
    return pd.DataFrame(
        {
            "arm": np.where(rng.random(n) < 0.5, "None", "banner"),
            "bought": converted.astype(int),
            "spend": np.where(converted, np.exp(rng.normal(3.0, 0.8, n)).round(2), 0.0),
            "age": rng.integers(18, 80, n),
            "member": rng.random(n) < 0.4,
            "city": rng.choice(["York", "Bath", "Ely"], n),
        }
    )


def write_params(path: Path) -> Path:
    """Write run values whose fits are small: params.yaml with the scenario smoke.yaml."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    _overlay(values, yaml.safe_load((ROOT / "config/smoke.yaml").read_text()))
    path.write_text(yaml.safe_dump(values))
    return path


def _overlay(values: dict, changes: dict) -> None:
    for name, change in changes.items():
        if isinstance(change, dict):
            _overlay(values[name], change)
        else:
            values[name] = change


def write_regime_correction(folder: Path, scale: float = 0.5, n_fits: int = 150) -> RegimeCorrection:
    """Write, beside the correction in ``folder``, one by regime: errors are ``scale`` posterior sds."""
    rng = np.random.default_rng(4)
    fits = []
    for _ in range(n_fits):
        mean = rng.normal(size=30)
        draws = np.sort(mean[:, None] + rng.normal(size=(30, 200)), axis=1)
        fits.append(errors_of(draws, mean + scale * rng.normal(size=30)))
    hull = LayeredCorrection.load(folder).regime
    correction = fit_regime(fits, hull, seed=1, trained_on=TRAINED_ON)
    for name, content in correction.to_files().items():
        write_json(folder / name, content)
    return correction


def write_correction(folder: Path, narrowness: float = 0.8, n_arms: int = 2) -> Path:
    """Write the correction of a train sweep of 20,000 visitors whose intervals are too narrow.

    An interval meant to reach z standard deviations reaches ``narrowness`` * z.
    """
    rng = np.random.default_rng(3)
    actual = [
        2 * norm.cdf(narrowness * norm.ppf((1 + np.array(LEVELS)) / 2) * (1 + 0.02 * rng.standard_normal()))
        - 1
        for _ in range(12)
    ]
    fits = pd.DataFrame(np.array(actual), columns=[coverage_column(level) for level in LEVELS]).assign(
        **{
            "n_visitors": 20_000,
            "diagnostics.conversion_rate": np.linspace(0.02, 0.08, 12),
            "diagnostics.n_arms": n_arms,
            "diagnostics.severity_sd": np.linspace(0.7, 1.1, 12),
            "diagnostics.converged": True,
        }
    )
    settings = CorrectionSettings(id="corrections", n_bootstrap=100, seed=1)
    for name, content in fit_corrections(fits, settings, TRAINED_ON).to_files().items():
        write_json(folder / name, content)
    return folder

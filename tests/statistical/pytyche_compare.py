"""Asks the published pytyche what it makes of our files. Run by an interpreter that has pytyche 0.2.1:

    python pytyche_compare.py EXCHANGE_FOLDER

Reads request.json there: {manifests: [path], aggregates: [path], corrections: [{directory, draws, levels}]},
draws an npz with the array ``draws`` (n_points, n_draws). Writes response.json: {manifests: {path: "" or
the error}, aggregates: {path: its scale family}, corrections: [{methods: [one a level]}]}, and
intervals-<i>.npz with lower and upper (n_levels, n_points) of the i-th correction. It judges nothing, and
imports nothing of sbcflow.
"""

import csv
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
from pytyche.calibrate._scale_family import fit_scale_family_correction
from pytyche.calibrate.layered import LayeredCalibrationCorrection, apply_layered_calibration
from pytyche.experiments.manifest import validate_manifest


def main(exchange: Path) -> None:
    request = json.loads((exchange / "request.json").read_text())
    response = {
        "manifests": {path: manifest_error(Path(path)) for path in request["manifests"]},
        "aggregates": {path: scale_family(Path(path)) for path in request["aggregates"]},
        "corrections": [
            apply(exchange / f"intervals-{i}.npz", **correction)
            for i, correction in enumerate(request["corrections"])
        ],
    }
    (exchange / "response.json").write_text(json.dumps(response))


def manifest_error(path: Path) -> str:
    try:
        validate_manifest(json.loads(path.read_text()))
    except ValueError as error:
        return str(error) or "refused without a message"
    return ""


def scale_family(path: Path) -> dict:
    """The published fit to the converged rows of an aggregate.csv."""
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["diagnostics.converged"] == "True"]
    return fit_scale_family_correction(rows)


def apply(out: Path, directory: str, draws: str, levels: list) -> dict:
    correction = LayeredCalibrationCorrection.from_directory(directory, mode="layered")
    # jax gives quantiles in the type of the draws: float64 only where it is told to compute in 64 bits.
    samples = np.load(draws)["draws"].astype(jnp.result_type(float))
    result = SimpleNamespace(rpv_cate_samples=samples)
    found = [apply_layered_calibration(result, correction, level) for level in levels]
    np.savez(
        out,
        lower=np.stack([np.asarray(f.lower) for f in found]),
        upper=np.stack([np.asarray(f.upper) for f in found]),
    )
    return {"methods": [f.method for f in found]}


if __name__ == "__main__":
    main(Path(sys.argv[1]))

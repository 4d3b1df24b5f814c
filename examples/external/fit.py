"""A program as any other, which knows nothing of sbcflow: Bayesian regression of revenue per visitor, by arm.

    python fit.py fit FOLDER        trial.csv, request.json -> coefficients.npy
    python fit.py predict FOLDER    points.csv -> draws.csv

In each arm revenue ~ Normal(X b_k, s_k^2), with b_k ~ Normal(0, s_k^2 / prior_precision) and a flat prior of
log s_k (Gelman et al., Bayesian Data Analysis, ch. 14); the effect at x is x (b_k - b_0). Least squares for a
skewed outcome with many zeros: simple, and not what this outcome asks for.
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np


def read(path, names):
    """Return a table's columns by name, as text."""
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return {name: [row[name] for row in rows] for name in names}


def regressors(path, features):
    """Return the matrix (n, p): ones, numbers as they are, levels but the first as 0 and 1."""
    table = read(path, [feature["name"] for feature in features])
    columns = [np.ones(len(next(iter(table.values()))))]
    for feature in features:
        values = table[feature["name"]]
        if feature["levels"]:
            columns += [np.array([v == level for v in values], float) for level in feature["levels"][1:]]
        else:
            columns.append(np.array(values, float))
    return np.stack(columns, axis=1)


def draw(x, y, prior_precision, n_draws, rng):
    """Return draws (p, n_draws) of an arm's coefficients from their posterior."""
    precision = x.T @ x + prior_precision * np.eye(x.shape[1])
    mean = np.linalg.solve(precision, x.T @ y)
    squares = y @ y - mean @ precision @ mean
    sd = np.sqrt(squares / rng.chisquare(len(y), n_draws))
    noise = rng.standard_normal((x.shape[1], n_draws))
    return mean[:, None] + sd * np.linalg.solve(np.linalg.cholesky(precision).T, noise)


def fit(folder, request):
    """Draw the coefficients of every arm, (K, p, n_draws)."""
    x = regressors(folder / "trial.csv", request["features"])
    outcome = read(folder / "trial.csv", ["arm", "revenue"])
    arm, revenue = np.array(outcome["arm"], int), np.array(outcome["revenue"], float)
    rng = np.random.default_rng(request["seed"])
    settings = request["prior_precision"], request["n_draws"], rng
    coefficients = [draw(x[arm == k], revenue[arm == k], *settings) for k in range(request["n_arms"])]
    np.save(folder / "coefficients.npy", np.stack(coefficients))


def predict(folder, request):
    """Write the draws of the effect of each point's arm."""
    x = regressors(folder / "points.csv", request["features"])
    arm = np.array(read(folder / "points.csv", ["arm"])["arm"], int)
    coefficients = np.load(folder / "coefficients.npy")
    draws = np.empty((len(x), coefficients.shape[2]))
    for k in range(1, len(coefficients)):
        draws[arm == k] = x[arm == k] @ (coefficients[k] - coefficients[0])
    np.savetxt(folder / "draws.csv", draws, delimiter=",")


if __name__ == "__main__":
    where = Path(sys.argv[2])
    asked = json.loads((where / "request.json").read_text())
    {"fit": fit, "predict": predict}[sys.argv[1]](where, asked)

"""A sweep over params: every combination is an experiment of its own. Run again, it does what is missing."""

from __future__ import annotations

from contextlib import suppress
from itertools import product

import numpy as np

from sbcflow.errors import ExperimentNameError, MetricError
from sbcflow.experiment import Experiment, best, experiments


@np.errstate(over="ignore", invalid="ignore")
def fit(lr: float, depth: int) -> float:
    """Return the loss of a polynomial of degree ``depth`` after 100 steps of gradient descent."""
    x = np.linspace(-1, 1, 50)
    features = np.vander(x, depth + 1)
    weights = np.zeros(depth + 1)
    for _ in range(100):
        weights -= lr * features.T @ (features @ weights - np.sin(3 * x)) / len(x)
    return float(np.mean((features @ weights - np.sin(3 * x)) ** 2))


def begin(name: str, **params: float) -> Experiment:
    """Begin an experiment, anew where a sweep that was killed had begun it."""
    with suppress(ExperimentNameError):
        Experiment.resume(name).discard()
    return Experiment.init(name=name, params=params)


saved = experiments(baseline="HEAD", where="state == 'Persisted'").index
for lr, depth in product((0.03, 0.3, 300.0), (1, 3)):
    name = f"lr-{lr}-depth-{depth}"
    if name in saved:
        continue
    with begin(name, lr=lr, depth=depth) as experiment:
        try:
            experiment.log_metric("loss", fit(lr, depth))
        except MetricError as error:  # it diverged: only finite numbers are taken
            experiment.fail(str(error))

row = best("loss", mode="min", baseline="HEAD")
print(f"best: {row.name}, loss {row['metrics.loss']:.4f}")

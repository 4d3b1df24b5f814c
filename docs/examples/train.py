"""A training script that may be killed: python train.py NAME [KEY=VALUE...]. Started again, it goes on."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import yaml

from sbcflow.errors import ExperimentNameError
from sbcflow.experiment import Experiment, State

N_EPOCHS = 40
EPOCHS_PER_CHECKPOINT = 10


def take_up(name: str) -> Experiment:
    """Resume the experiment of this name, or begin it."""
    try:
        return Experiment.resume(name)
    except ExperimentNameError:
        return Experiment.init(name=name)


def train(experiment: Experiment) -> None:
    """Fit a line by gradient descent; loss and model are kept in the experiment."""
    lr = (yaml.safe_load(Path("params.yaml").read_text()) | experiment.params)["lr"]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    y = x @ [1.0, -2.0] + rng.normal(size=200)
    model = Path("models", f"{experiment.name}.npz")
    # A process that was killed had logged up to ``logged``, and kept a model at its last checkpoint.
    logged = experiment.metrics.get("epoch", 0)
    epoch, weights = np.load(model).values() if experiment.sha else (0, np.zeros(2))
    while epoch < N_EPOCHS:
        epoch += 1
        weights = weights - lr * x.T @ (x @ weights - y) / len(y)
        if epoch > logged:
            experiment.log_metrics({"epoch": epoch, "loss": np.mean((x @ weights - y) ** 2)}, step=epoch)
        if epoch % EPOCHS_PER_CHECKPOINT == 0:
            keep(model, epoch, weights)
            experiment.log_artifact(model)
            experiment.make_checkpoint()


def keep(model: Path, epoch: int, weights: np.ndarray) -> None:
    """Write the model; a process killed meanwhile leaves the former one whole."""
    model.parent.mkdir(exist_ok=True)
    unfinished = model.with_suffix(".tmp.npz")
    np.savez(unfinished, epoch=epoch, weights=weights)
    unfinished.replace(model)


if __name__ == "__main__":
    name, *values = sys.argv[1:]
    with take_up(name) as experiment:
        if experiment.state is State.ACTIVE:
            experiment.set_params(*values)
            train(experiment)
    print(f"{experiment.name}: {experiment.metrics['epoch']} epochs, loss {experiment.metrics['loss']:.4f}")

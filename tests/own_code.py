"""A sound estimator and family of a user's own, as the text of a module, for tests to break."""

from __future__ import annotations

from pathlib import Path

import yaml

from sbcflow.params import Params, parse

ROOT = Path(__file__).parents[1]
MODULE = '''
from dataclasses import dataclass

import numpy as np

from sbcflow.data import Covariates, Feature, Simulation, TestPoints, Trial


class Normal:
    """Half of the visitors are treated, and the effect is the drawn one for everybody."""

    def __init__(self, settings):
        self.settings = dict(settings)

    def draw_knobs(self, seed, replicate):
        return {"effect": float(np.random.default_rng([seed, 1]).normal())}

    def simulate(self, seed, knobs, n_visitors, n_test):
        rng = np.random.default_rng([seed, 2])
        arm = (np.arange(n_visitors) % 2).astype(np.int32)
        revenue = np.exp(rng.normal(size=n_visitors)) + 10.0 + knobs["effect"] * arm
        values = rng.normal(size=(n_visitors, 1)).astype(np.float32)
        covariates = Covariates((Feature("x", "continuous"),), values)
        points = TestPoints(covariates.take(slice(n_test)), np.ones(n_test, dtype=np.int32))
        truth = np.full(n_visitors, knobs["effect"])
        trial = Trial(covariates, arm, np.ones(n_visitors, dtype=bool), revenue, ("control", "treated"))
        parameters = {"effect": np.asarray(knobs["effect"])}
        return Simulation(trial, points, truth[:n_test], truth[:, None], parameters)


@dataclass
class Posterior:
    draws: np.ndarray

    def cate(self, points):
        return np.broadcast_to(self.draws, (len(points), len(self.draws)))

    def hyperparameters(self):
        return {"effect": self.draws}


class Difference:
    def __init__(self, settings):
        self.n_draws = settings.get("n_draws", 200)

    def fit(self, trial, seed):
        rng = np.random.default_rng(seed)
        one, other = (trial.revenue[trial.arm == k] for k in (1, 0))
        sd = np.hypot(one.std() / np.sqrt(len(one)), other.std() / np.sqrt(len(other)))
        return Posterior(rng.normal(one.mean() - other.mean(), sd, self.n_draws))


def build(settings):
    return Difference(settings)


def family(settings):
    return Normal(settings)
'''


def write_module(folder: Path, name: str, *edits: tuple[str, str]) -> None:
    """Write the module as ``name``.py with texts replaced, each of which has to be there."""
    text = MODULE
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    (folder / f"{name}.py").write_text(text)


def own_params(name: str, **own: object) -> Params:
    """The pilot's params with the estimator and the train sweep's family of module ``name``."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["estimator"], values["own"] = f"{name}:build", values["own"] | own
    values["train_sweep"] |= {"generator_family": f"{name}:family", "scales": [1000]}
    values["scoring"] |= {"n_test": 20, "n_average": 50}
    return parse(values)

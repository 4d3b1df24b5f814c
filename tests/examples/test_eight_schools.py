"""The example eight_schools: exact inference by NUTS has uniform ranks, and a wrong prior has not.

Ranks of mu, tau, the mean effect and four schools' effects in 100 configs. A sound example fails one of these
tests with a probability of 0.001 at most, over all quantities; seeds are fixed, so always or never.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

import rank_band
from workflow_project import Project

FALSE_ALARM = 1e-3
N_DRAWS = 100
RANKED = ("mu", "tau", "ate_1", "cate_0", "cate_1", "cate_2", "cate_3")


@pytest.fixture(scope="module")
def schools(make_example: Callable[[str], Project]) -> Project:
    """The example, checked and its exploratory sweep run."""
    project = make_example("eight_schools")
    said = project.run("sbcflow", "check-estimator", "--visitors", "160").stdout
    assert "problem" not in said and "ranked: mu, tau" in said
    assert _sweep(project) == 100
    return project


def _sweep(project: Project) -> int:
    """Fit in one job, which traces the sampler once, and return the number of fits."""
    return project.snakemake("exploratory_sweep", "--config", "configs_per_job=100")


def _outside(project: Project, run: str) -> dict[str, float]:
    """Return the quantities of a sweep whose ranks leave the band, with their p-values."""
    paths = sorted((project.path / "runs" / run / "configs").glob("*/summary.json"))
    told = [json.loads(path.read_text())["ranks"] for path in paths]
    ranks = np.array([[one[name] for name in RANKED] for one in told])
    null = rank_band.null_extremeness(len(ranks), N_DRAWS)
    values = rank_band.p_values(rank_band.extremeness(ranks, N_DRAWS), null)
    by_name = dict(zip(RANKED, values.tolist(), strict=True))
    return {name: p for name, p in by_name.items() if p < FALSE_ALARM / len(RANKED)}


def test_ranks_of_exact_inference_are_uniform(schools: Project) -> None:
    assert _outside(schools, "schools-ranks") == {}


def test_the_sampler_converged(schools: Project) -> None:
    table = pd.read_csv(schools.path / "runs/schools-ranks/aggregate.csv")
    assert table["diagnostics.converged"].mean() > 0.95
    assert table["diagnostics.ess"].median() > 2 * N_DRAWS


def test_a_tenth_of_the_prior_of_tau_leaves_the_band(schools: Project) -> None:
    schools.set_param("own.estimator", f"{{tau_scale: 0.5, n_draws: {N_DRAWS}}}")
    schools.set_param("exploratory_sweep", "{id: schools-wrong, n_configs: 40}")
    assert _sweep(schools) == 40
    assert "tau" in _outside(schools, "schools-wrong")

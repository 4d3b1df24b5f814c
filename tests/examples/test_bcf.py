"""The example bcf: pytyche's joint hurdle BCF in a sweep; and what is said where pytyche is not installed."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest

from pytyche_environment import pytyche_interpreter, site_packages
from workflow_project import Project

INSTALLED = find_spec("pytyche") is not None
TINY = "{num_burnin: 10, num_mcmc: 20, diagnostic_interval: 10, num_trees_mu: 10, num_trees_tau: 5}"


@pytest.fixture
def bcf(make_example: Callable[[str], Project]) -> Project:
    """The example on two trials of 300 visitors, with the shortest chains that run."""
    project = make_example("bcf")
    project.set_param("own.estimator", TINY)
    project.set_param("train_sweep", "{n_configs: 2, scales: [300]}")
    project.set_param("scoring", "{n_test: 50, n_average: 100}")
    return project


@pytest.mark.skipif(INSTALLED, reason="pytyche is installed here")
def test_without_pytyche_the_extra_is_named(bcf: Project) -> None:
    done = bcf.run("sbcflow", "check-estimator", "--visitors", "300", check=False)
    assert done.returncode == 1
    assert "pytyche 0.2.1 is not installed: pip install 'sbcflow[bcf]'" in done.stdout


def _with_pytyche(project: Project, folder: Path) -> Project:
    """Let commands find pytyche behind the libraries of this environment, which come first."""
    if INSTALLED:
        return project
    libraries = site_packages(pytyche_interpreter())
    (folder / "sitecustomize.py").write_text(f"import sys\n\nsys.path.append({str(libraries)!r})\n")
    path = os.pathsep.join([str(folder), project.env["PYTHONPATH"]])
    return replace(project, env=project.env | {"PYTHONPATH": path})


@pytest.mark.examples
def test_it_keeps_the_contract_and_is_swept(bcf: Project, tmp_path: Path) -> None:
    project = _with_pytyche(bcf, tmp_path)
    said = project.run("sbcflow", "check-estimator", "--visitors", "300").stdout
    assert "draws (50, 20) float32" in said and "problem" not in said
    assert project.snakemake("train_sweep") == 2
    table = pd.read_csv(project.path / "runs/bcf-train/aggregate.csv")
    assert table["generator_family"].tolist() == ["bcf:family"] * 2
    assert table["metrics.coverage_90"].between(0.2, 1).all()
    assert (table["metrics.mean_width_90"] > 0).all()

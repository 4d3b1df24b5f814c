"""The example external: a program behind files gives what the same computation gives in one process."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sbcflow.files import read_npz
from sbcflow.generators import make_family
from sbcflow.params import load
from workflow_project import Project

CONFIGS = "runs/external-try/configs"
DRY_RUN = ("snakemake", "--dry-run", "exploratory_sweep")


@pytest.fixture(scope="module")
def external(make_example: Callable[[str], Project]) -> Project:
    """The example, checked, and its exploratory sweep run; its draws are kept."""
    project = make_example("external")
    assert "problem" not in project.run("sbcflow", "check-estimator").stdout
    assert project.snakemake("exploratory_sweep") == 2
    return project


def test_it_equals_the_same_computation_in_process(external: Project) -> None:
    path = next((external.path / CONFIGS).glob("*/summary.json"))
    summary, kept = json.loads(path.read_text()), read_npz(path.with_name("draws.npz"))
    config, params = summary["config"], load(external.path / "params.yaml")
    family = make_family("v2", params)
    simulation = family.simulate(config["seed"], config["knobs"], config["n_visitors"], len(kept["truth"]))
    trial = simulation.trial
    x, points = (_regressors(one) for one in (trial.covariates, simulation.test_points.covariates))
    program, rng = _program(external.path / "fit.py"), np.random.default_rng(config["seed"])
    control, treated = (
        program.draw(x[trial.arm == k], trial.revenue[trial.arm == k], 0.01, 200, rng) for k in (0, 1)
    )
    np.testing.assert_allclose(kept["draws"], points @ (treated - control), rtol=1e-4, atol=1e-6)


def _regressors(covariates) -> np.ndarray:
    columns = [np.ones(len(covariates))]
    for feature, values in zip(covariates.features, covariates.values.T.astype(float), strict=True):
        levels = range(1, len(feature.levels))
        columns += [values == code for code in levels] if feature.levels else [values]
    return np.stack(columns, axis=1).astype(float)


def _program(path: Path):
    spec = importlib.util.spec_from_file_location("the_program", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_change_of_the_program_fits_again_and_nothing_else_does(external: Project) -> None:
    def planned() -> bool:
        return bool(re.search(r"^fit +[1-9]", external.run(*DRY_RUN).stdout, re.MULTILINE))

    sound = external.text("fit.py")
    assert not planned()
    external.edit("fit.py", "rng.chisquare(len(y), n_draws)", "rng.chisquare(len(y) - 1, n_draws)")
    assert planned()
    (external.path / "fit.py").write_text(sound)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "    rng = np.random.default_rng(request",
            "    sys.exit('no such model')\n    rng = np.random.default_rng(request",
            "python fit.py fit: ended with 1: no such model",
        ),
        (
            '    np.savetxt(folder / "draws.csv"',
            '    np.savetxt(folder / "drawn.csv"',
            "python fit.py predict: draws.csv: is missing",
        ),
        (
            '    np.savetxt(folder / "draws.csv", draws',
            '    np.savetxt(folder / "draws.csv", draws.astype(str), fmt="<%s>"',
            "python fit.py predict: draws.csv: could not convert string",
        ),
        (
            '    np.savetxt(folder / "draws.csv", draws',
            '    np.savetxt(folder / "draws.csv", draws[1:]',
            "external:build: cate(points) must have shape (100, n_draws), a row a point, got shape (99, 200)",
        ),
        (
            'np.random.default_rng(request["seed"])',
            "np.random.default_rng()",
            "the same trial and seed gave other draws",
        ),
    ],
    ids=["fails", "writes nothing", "writes no numbers", "a row too few", "takes no seed"],
)
def test_what_is_wrong_with_the_program_is_one_line(
    external: Project, old: str, new: str, message: str
) -> None:
    sound = external.text("fit.py")
    external.edit("fit.py", old, new)
    done = external.run("sbcflow", "check-estimator", "--visitors", "500", check=False)
    (external.path / "fit.py").write_text(sound)
    assert done.returncode == 1
    assert [message in line for line in done.stdout.splitlines()].count(True) == 1, done.stdout


def test_a_program_that_is_not_there_is_named(external: Project) -> None:
    external.set_param("own.estimator.command", "[no-such-program]")
    done = external.run("sbcflow", "check-estimator", check=False)
    assert done.returncode == 1
    assert "no-such-program fit: cannot be started: No such file or directory" in done.stdout

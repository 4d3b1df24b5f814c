"""A project by ``sbcflow new``, on the package as a wheel installs it: no file of this checkout is used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from installed import Installed, install_wheel

N_TRAIN, N_TEST = 3, 2
SCENARIO = """
train_sweep: {id: own-train, n_configs: 3, scales: [800]}
test_sweep: {id: own-test, trained_correction_from: own-train, n_configs: 2, scales: [800]}
fit_corrections: {id: own-corrections, n_bootstrap: 100}
evaluate_layered: {id: own-evaluation, n_bootstrap: 100}
scoring: {n_test: 40, n_average: 200}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory, compilation_cache: Path) -> Installed:
    made = install_wheel(tmp_path_factory.mktemp("installed"))
    made.env["SBCFLOW_COMPILATION_CACHE"] = str(compilation_cache)
    return made


@pytest.fixture(scope="module")
def shop(installed: Installed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with an estimator of its own, on a small scenario."""
    parent = tmp_path_factory.mktemp("projects")
    said = installed.run(parent, "sbcflow", "new", "shop", "--own-model")
    assert said.endswith("; next: cd shop; git commit -m 'A new project'; sbcflow doctor; dvc repro\n")
    folder = parent / "shop"
    (folder / "small.yaml").write_text(SCENARIO)
    installed.run(folder, "sbcflow", "params", "apply", "small.yaml")
    return folder


def _fits(said: str) -> int:
    return said.count(" fits done")


def test_the_package_is_the_wheel_s(installed: Installed, tmp_path: Path) -> None:
    where = installed.run(tmp_path, "python", "-c", "import sbcflow; print(sbcflow.__file__)").strip()
    assert Path(where).is_relative_to(installed.bin.parent)


def test_a_project_runs_from_sweeps_to_scorecard_and_sees_what_changes(
    installed: Installed, shop: Path
) -> None:
    """One story, since each step needs the state that the last one left."""
    assert "problem" not in installed.run(shop, "sbcflow", "check-estimator")
    assert _fits(installed.run(shop, "dvc", "repro")) == N_TRAIN + N_TEST
    card = json.loads((shop / "runs/own-evaluation/scorecard.json").read_text())
    assert card["n_fits"] == 2
    installed.run(shop, "sbcflow", "validate", *sorted(map(str, shop.glob("runs/*"))))
    model = shop / "mymodel.py"
    model.write_text(model.read_text() + "\n# a comment\n")
    assert _fits(installed.run(shop, "dvc", "repro")) == 0
    model.write_text(model.read_text().replace("n_draws: int = 1000", "n_draws: int = 900"))
    assert "mymodel changed" in installed.run(shop, "sbcflow", "explain", "train_sweep")
    assert _fits(installed.run(shop, "dvc", "repro", "train_sweep")) == N_TRAIN
    replayed = installed.run(shop, "sbcflow", "replay", "own-train", "0")
    assert "same" in replayed


def test_the_project_s_files_name_no_folder_of_a_machine(shop: Path) -> None:
    for path in shop.rglob("*"):
        if path.is_file() and not {".git", ".dvc", "runs", ".snakemake", "logs"} & set(path.parts):
            assert str(Path(__file__).parents[2]) not in path.read_text(), path


def test_a_folder_that_holds_something_is_left_alone(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    said = installed.run(tmp_path, "sbcflow", "new", "full", code=2)
    assert said == "error: full: must be a new or an empty folder; nothing was changed\n"
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.txt"]


def test_inside_a_repository_no_other_one_is_made(installed: Installed, tmp_path: Path) -> None:
    installed.run(tmp_path, "git", "init", "--quiet")
    installed.run(tmp_path, "sbcflow", "new", "inner/shop")
    assert not (tmp_path / "inner/shop/.git").exists()
    assert (tmp_path / "inner/shop/.dvc/config").is_file()
    assert "estimator: hurdle" in (tmp_path / "inner/shop/params.yaml").read_text()


def test_a_missing_module_stops_a_run_in_a_line_before_any_work(installed: Installed, tmp_path: Path) -> None:
    installed.run(tmp_path, "sbcflow", "new", "shop", "--own-model")
    (tmp_path / "shop/mymodel.py").unlink()
    said = installed.run(tmp_path / "shop", "snakemake", "train_sweep", code=1)
    assert "error: mymodel:build: no module mymodel: mymodel.py is not in" in said
    assert not (tmp_path / "shop/runs").exists()
    assert "no module mymodel" in installed.run(tmp_path / "shop", "sbcflow", "params", "check", code=2)

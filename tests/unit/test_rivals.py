"""Corrections fitted on one real sweep and scored on another; its estimator is a difference in means."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from difference_estimator import DifferenceEstimator
from sbcflow.analysis.calibrate import calibrate_file
from sbcflow.calibration.comparison import COVERAGE_ERROR
from sbcflow.calibration.corrections import Corrections
from sbcflow.calibration.regime.conformal import hierarchical_quantile
from sbcflow.calibration.rivals.render import markdown_rivals, render_rivals
from sbcflow.calibration.rivals.table import COLUMNS, COVERAGE, SCORE_RATIO, WORST_TEMPLATE
from sbcflow.cli import app
from sbcflow.errors import ArtifactError
from sbcflow.levels import LEVELS
from sbcflow.params import Params, parse
from sbcflow.sweep.corrections import write_corrections
from sbcflow.sweep.fit import fit_config
from sbcflow.sweep.gather import gather_sweep
from sbcflow.sweep.rivals import Compared, compare_corrections
from sbcflow.sweep.samples import read_fits

ROOT = Path(__file__).parents[2]
N_TRAIN, N_TEST = 24, 16
LAYERED = ("raw", "r_of_p", "layered", "sd_factor", "conformal", "cqr")


def values(*, train_samples: bool = True) -> Params:
    tree = yaml.safe_load((ROOT / "params.yaml").read_text())
    tree["train_sweep"] |= {"n_configs": N_TRAIN, "scales": [800], "save_samples": train_samples}
    tree["test_sweep"] |= {"n_configs": N_TEST, "scales": [800]}
    tree["scoring"] |= {"n_test": 30, "n_average": 200}
    for section in ("fit_corrections", "evaluate_layered"):
        tree[section]["n_bootstrap"] = 200
    return parse(tree)


def make_sweeps(params: Params) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sbcflow.sweep.fit.make_estimator", lambda _: DifferenceEstimator())
        for kind, n_configs in (("train", N_TRAIN), ("test", N_TEST)):
            for index in range(n_configs):
                fit_config(params, kind, index)
            gather_sweep(params, kind)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        make_sweeps(values())
    return folder


@pytest.fixture
def inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    return project


@pytest.fixture
def few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("calibration.regime.fit", "sweep.rivals", "sweep.corrections"):
        monkeypatch.setattr(f"sbcflow.{name}.MIN_FITS", 20)


def compared() -> Compared:
    params = values()
    return compare_corrections("pilot-train", "pilot-test", params.fit_corrections, params.evaluate_layered)


@pytest.mark.usefixtures("inside")
def test_few_train_fits_leave_regime_out_and_say_so() -> None:
    found = compared()
    assert tuple(found.table["method"].unique()) == LAYERED
    assert found.notes == ("no method regime: 24 train fits are fewer than the 60 it needs",)
    assert (found.n_train, found.n_test) == (N_TRAIN, N_TEST)


@pytest.mark.usefixtures("inside", "few_are_enough")
def test_every_method_has_every_quantity_with_an_interval_about_it() -> None:
    table = compared().table
    assert tuple(table.columns) == COLUMNS
    assert tuple(table["method"].unique()) == (*LAYERED, "regime")
    assert table.groupby("method").size().eq(2 + 3 * len(LEVELS) + 1).all()
    # An absolute error near 0 grows with chance alone, so its interval may lie above it.
    others = table[table["quantity"] != COVERAGE_ERROR]
    assert (others["lower"] <= others["value"] + 1e-12).all()
    assert (others["value"] <= others["upper"] + 1e-12).all()
    ratios = table[(table["method"] == "raw") & (table["quantity"] == SCORE_RATIO)]
    assert (ratios[["value", "lower", "upper"]] == 1).all(axis=None)


@pytest.mark.usefixtures("inside")
def test_raw_is_what_the_sweeps_own_table_says() -> None:
    table = compared().table
    aggregate = pd.read_csv("runs/pilot-test/aggregate.csv")
    raw = table[(table["method"] == "raw")].set_index(["quantity", "level"])
    assert raw.loc[(COVERAGE, 0.9), "value"] == pytest.approx(aggregate["metrics.coverage_90"].mean())
    by_template = aggregate.groupby("template")["metrics.coverage_90"].mean()
    assert raw.loc[(WORST_TEMPLATE, 0.9), "value"] == pytest.approx(by_template.min())
    assert raw.loc[(WORST_TEMPLATE, 0.9), "template"] == by_template.idxmin()


def test_the_command_prints_and_writes_it(inside: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (inside / "params.yaml").write_text(yaml.safe_dump(values().model_dump(mode="json")))
    command = ["compare-corrections", "pilot-train", "pilot-test"]
    app([*command, "--out", "rivals.csv"], standalone_mode=False)
    printed = capsys.readouterr().out
    table = compared().table
    head = "Fitted on 24 fits of pilot-train, scored on 16 fits of pilot-test"
    assert printed.startswith(render_rivals(table, head))
    assert printed.endswith("note: no method regime: 24 train fits are fewer than the 60 it needs\n")
    assert len(pd.read_csv("rivals.csv")) == len(table)
    app([*command, "--out", "rivals.md", "--json"], standalone_mode=False)
    assert len(json.loads(capsys.readouterr().out)["table"]) == len(table)
    assert (inside / "rivals.md").read_text() == markdown_rivals(table)


@pytest.mark.usefixtures("inside")
def test_a_sweep_is_not_scored_on_itself() -> None:
    params = values()
    with pytest.raises(ArtifactError, match="share 24 seeds"):
        compare_corrections("pilot-train", "pilot-train", params.fit_corrections, params.evaluate_layered)


def test_a_sweep_without_draws_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_sweeps(values(train_samples=False))
    with pytest.raises(ArtifactError, match=r"runs/pilot-train: kept no draws; .* save_samples: true"):
        compared()
    write_corrections(values(train_samples=False))
    assert told() == "not fitted: the train sweep kept no draws (save_samples)"


def told() -> str:
    return json.loads(Path("metrics/fit_corrections.json").read_text())["regime"]


@pytest.mark.usefixtures("few_are_enough")
def test_corrections_have_the_file_of_regime_only_where_it_can_be_fitted(
    inside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = values()
    write_corrections(params)
    folder = Path("runs/pilot-corrections")
    assert told() == "fitted"
    np.savez("draws.npz", draws=np.random.default_rng(1).normal(size=(30, 200)))
    found = calibrate_file(Path("draws.npz"), folder, 0.9, Path("intervals.csv"), "regime")
    assert found.regime.startswith("regime, past the ")
    monkeypatch.undo()
    monkeypatch.chdir(inside)
    write_corrections(params)
    assert told() == "not fitted: 24 converged fits are fewer than 60"
    with pytest.raises(ArtifactError, match=r"regime_correction.json: no such file; fit_corrections writes"):
        calibrate_file(Path("draws.npz"), folder, 0.9, Path("intervals.csv"), "regime")


@pytest.mark.usefixtures("few_are_enough", "inside")
def test_a_fit_without_spread_leaves_the_layered_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    fits = [*read_fits("pilot-train", "reading")]
    flat = replace(fits[3], draws=np.ones_like(fits[3].draws))
    monkeypatch.setattr("sbcflow.sweep.corrections.read_fits", lambda *_: [*fits[:3], flat, *fits[4:]])
    write_corrections(values())
    assert told().startswith(f"not fitted: config {flat.config_id}: draws: must spread within every point")
    assert not Path("runs/pilot-corrections/regime_correction.json").exists()
    assert Corrections.load("runs/pilot-corrections").default_method == "layered"


@pytest.mark.parametrize(("level", "expected"), [(0.5, 6), (0.9, 10), (0.99, 10)])
def test_one_more_fit_counts_as_the_worst(level: float, expected: int) -> None:
    """Of 10 fits of one point: ceil(0.5 * 11) = 6, ceil(0.9 * 11) = 10, and the last where it is past it."""
    assert hierarchical_quantile(np.arange(1.0, 11.0), level, 10) == expected

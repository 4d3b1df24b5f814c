"""Runs of every kind as a notebook loads them: what is in them, what is refused, what the plots draw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from analysis_examples import write_correction, write_regime_correction
from matplotlib.figure import Figure
from notebook_runs import (
    CONVERGED,
    IDS,
    N_DRAWS,
    aggregate,
    samples_of,
    seal,
    write_analysis,
    write_corrections,
    write_evaluation,
    write_sweep,
)

import sbcflow
from sbcflow import files, manifest
from sbcflow.analysis.effects import INTERVAL_LEVELS
from sbcflow.calibration.conditional.cells import COLUMNS
from sbcflow.calibration.layered import LayeredCorrection
from sbcflow.calibration.regime import Observed
from sbcflow.errors import ArtifactError
from sbcflow.levels import LEVELS, level_suffix
from sbcflow.notebook import Analysis, Correction, Evaluation, Sweep
from sbcflow.notebook.analysis import RULES


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of each kind, which tests leave as they are."""
    folder = tmp_path_factory.mktemp("runs")
    write_sweep(folder / "sweep")
    write_sweep(folder / "bare", keeps_draws=False)
    write_corrections(folder / "corrections")
    write_evaluation(folder / "evaluation", LayeredCorrection.load(folder / "corrections"))
    write_analysis(folder / "analysis", regime_ok=True)
    write_analysis(folder / "uncorrected", regime_ok=None)
    return folder


@pytest.fixture
def sweep(runs: Path) -> Sweep:
    return sbcflow.load(runs / "sweep")


KINDS = {
    "sweep": Sweep,
    "bare": Sweep,
    "corrections": Correction,
    "evaluation": Evaluation,
    "analysis": Analysis,
    "uncorrected": Analysis,
}


@pytest.mark.parametrize("name", KINDS)
def test_a_folder_is_loaded_as_what_it_is(runs: Path, name: str) -> None:
    for path in (runs / name, str(runs / name)):
        found = sbcflow.load(path)
        assert type(found) is KINDS[name]
        assert found.experiment_id == found.manifest["experiment_id"] == "2026-05-27T12-00-00Z_abc1234"
        assert found.params == found.manifest["params"]
        assert repr(found).startswith(f"{KINDS[name].__name__}('{runs / name}', ")
        with pytest.raises(FrozenInstanceError):
            found.path = runs


@pytest.mark.parametrize("name", KINDS)
def test_a_notebook_shows_a_small_table(runs: Path, name: str) -> None:
    html = sbcflow.load(runs / name)._repr_html_()
    assert f"{KINDS[name].__name__} <b>{runs / name}</b>" in html
    assert html.count("<tr>") < 9 and "<script" not in html and "<style" not in html
    assert "abc1234" in html and "2026-05-27" in html


def test_what_a_notebook_shows_is_escaped(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "a<b>&c")
    assert "a&lt;b&gt;&amp;c</b>" in sbcflow.load(folder)._repr_html_()


def test_a_table_comes_back_to_the_last_digit(sweep: Sweep) -> None:
    pd.testing.assert_frame_equal(sweep.table, aggregate(), check_exact=True)
    assert sweep.table["diagnostics.converged"].dtype == bool
    assert sweep.table["config_seed"].dtype == sweep.table["ranks.ate_1"].dtype == np.int64
    assert sweep.configs == IDS and sweep.n_draws == N_DRAWS


@pytest.mark.parametrize("config", [2, IDS[2]])
def test_draws_are_as_arviz_has_them(sweep: Sweep, config: int | str) -> None:
    tree, kept = sweep.draws(config), samples_of(2)
    cate = tree["posterior"]["cate"]
    assert cate.dims == ("chain", "draw", "point") and cate.dtype == np.float32
    np.testing.assert_array_equal(cate.isel(chain=0).transpose("point", "draw"), kept["draws"])
    constant = tree["constant_data"]
    np.testing.assert_array_equal(constant["truth"], kept["truth"])
    np.testing.assert_array_equal(constant["arm"], kept["arm"])
    np.testing.assert_array_equal(constant["covariates"].transpose("point", "feature"), kept["covariates"])
    assert tree["posterior"].attrs["config_id"] == IDS[2]
    assert tree["posterior"].attrs["template"] == "constant"
    assert cate.attrs["unit"] == constant["truth"].attrs["unit"] == "revenue per visitor"


def test_a_tree_holds_the_fits_that_were_asked_for(sweep: Sweep) -> None:
    whole, some = sweep.datatree(), sweep.datatree([3, IDS[0]])
    assert list(whole.children) == list(IDS) and list(some.children) == [IDS[3], IDS[0]]
    for index in (3, 0):
        alone = sweep.draws(index)
        assert alone.equals(whole[IDS[index]]) and alone.equals(some[IDS[index]])
    assert not whole[IDS[0]].equals(whole[IDS[1]])


@pytest.mark.parametrize("config", [5, -1, "0000", "0000-20000000", None, 1.5])
def test_a_config_that_is_not_there_is_refused(sweep: Sweep, config: Any) -> None:
    with pytest.raises(ArtifactError, match=rf"no config .*; there are 0 to 4, {IDS[0]} to {IDS[-1]}"):
        sweep.draws(config)


def test_a_sweep_without_draws_says_how_to_have_them(runs: Path) -> None:
    bare = sbcflow.load(runs / "bare")
    assert not bare.keeps_draws and len(bare.table) == 5
    for ask in (bare.datatree, bare.point_ranks, bare.plot_pit, lambda: bare.draws(0)):
        with pytest.raises(ArtifactError, match="kept no draws; to keep them, set save_samples"):
            ask()


def test_raw_coverage_is_the_mean_over_converged_fits(sweep: Sweep) -> None:
    found = sweep.coverage.set_index("level")
    np.testing.assert_allclose(found["coverage"], np.array(LEVELS) * 0.85, rtol=1e-12)
    assert set(found["method"]) == {"raw"} and set(found["n_fits"]) == {4}
    assert (found["coverage_lower"] < found["coverage"]).all()
    assert found.loc[0.9, "coverage_upper"] <= 0.9


def test_ranks_are_those_of_converged_fits(sweep: Sweep) -> None:
    assert sweep.ranks().tolist() == [0, 10, 20, 30]
    assert sweep.ranks("ate_1").tolist() == [50, 40, 30, 20]
    with pytest.raises(ArtifactError, match=r"no column ranks\.sigma; ranked were ate_1, cate_0"):
        sweep.ranks("sigma")


def test_an_estimator_of_ones_own_has_its_own_number_of_draws(sweep: Sweep) -> None:
    params = {**sweep.params, "estimator": "mymodel:build", "inference": {"n_draws": 9}}
    own = replace(sweep, manifest={**sweep.manifest, "params": params})
    assert own.n_draws == sweep.draws(0)["posterior"].sizes["draw"] != 9
    calibration = sweep.manifest["pytyche"]["calibration"] | {"save_samples": False}
    silent = replace(own, manifest={**own.manifest, "pytyche": {"calibration": calibration}})
    with pytest.raises(ArtifactError, match="kept no draws"):
        silent.plot_ranks()


def test_point_ranks_count_the_draws_below_the_truth(sweep: Sweep) -> None:
    expected = [
        sum(draw < kept["truth"][4] for draw in kept["draws"][4])
        for kept, converged in zip(map(samples_of, range(5)), CONVERGED, strict=True)
        if converged
    ]
    assert sweep.point_ranks(4).tolist() == expected and expected[0] > expected[3]
    for point in (6, -1):
        with pytest.raises(ArtifactError, match=rf"no test point {point}; there are 0 to 5"):
            sweep.point_ranks(point)


def test_a_loaded_correction_by_regime_applies_itself(runs: Path, sweep: Sweep, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"regime_correction\.json: no such file"):
        sbcflow.load(runs / "corrections").apply(sweep.draws(1), 0.8, "regime")
    write_regime_correction(write_correction(tmp_path / "corrections"))
    found = sbcflow.load(seal(tmp_path / "corrections", "corrections", {"id": "c"}, {}))
    intervals = found.apply(sweep.draws(1), 0.8, "regime")
    expected = found.by_regime.intervals(samples_of(1)["draws"], 0.8)
    np.testing.assert_array_equal(intervals["cate"].sel(bound="upper"), expected.upper)
    assert intervals["cate"].attrs["rule"] == expected.regime
    assert not np.allclose(intervals["cate"], found.apply(sweep.draws(1), 0.8)["cate"])


def test_a_loaded_correction_applies_itself(runs: Path, sweep: Sweep) -> None:
    found = sbcflow.load(runs / "corrections")
    assert found.correction == LayeredCorrection.load(runs / "corrections")
    intervals = found.apply(sweep.draws(1), 0.8)
    expected = found.correction.intervals(samples_of(1)["draws"], 0.8)
    assert intervals["cate"].dims == ("point", "bound")
    np.testing.assert_array_equal(intervals["cate"].sel(bound="lower"), expected.lower)
    every = found.apply(sweep.datatree(), 0.8)
    xr.testing.assert_identical(every[IDS[1]].to_dataset(), intervals)
    assert list(every.children) == list(IDS)


def test_an_evaluation_has_its_scorecard(runs: Path) -> None:
    found = sbcflow.load(runs / "evaluation")
    assert found.table is found.scorecard.table and len(found.table) > 100
    assert found.verdict in str(found) and "4 test fits" in found.verdict
    assert str(found).startswith("Coverage of 4 test fits (1 unconverged, left out)")


def test_an_evaluation_has_its_cells(runs: Path) -> None:
    found = sbcflow.load(runs / "evaluation")
    assert list(found.conditional.columns) == list(COLUMNS)
    assert set(found.conditional["target"]) == {"visitor"} and "800" in set(found.conditional["cell"])
    # Four fits are too few for any cell to be named.
    assert found.worst_cells.empty


def test_effects_keep_their_text_and_their_numbers(runs: Path) -> None:
    effects = sbcflow.load(runs / "analysis").effects
    assert list(effects["arm"]) == ["NA"] * 3 and effects.loc[1, "segment"] == "city=NA"
    assert effects["regime_ok"].dtype == effects["converged"].dtype == bool
    assert effects.loc[2, "diff_in_means"] == 1 / 3 and np.isnan(effects.loc[1, "diff_in_means_se"])
    assert set(effects["calibration_rule_90"]) == {"r_of_p"} and set(effects["segment_range"]) == {""}
    assert list(RULES) == [f"calibration_rule_{level_suffix(level)}" for level in INTERVAL_LEVELS]


def test_effects_without_a_correction_know_no_regime(runs: Path) -> None:
    effects = sbcflow.load(runs / "uncorrected").effects
    assert effects["regime_ok"].isna().all() and effects["regime_ok"].dtype == "boolean"
    assert effects["calibrated_lower_90"].isna().all() and set(effects["calibration_rule_90"]) == {""}


def test_visitors_are_read_when_asked_for(runs: Path) -> None:
    found = sbcflow.load(runs / "analysis")
    assert found.visitors()["NA.mean"].tolist() == [0.1, 0.2, 0.3]
    assert found.arms == ("control", "NA")


def lines(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(line.get_ydata(), dtype=float) for axes in figure.axes for line in axes.get_lines()]


def drawn(figure: Figure, values: Any) -> bool:
    """Whether one of the figure's lines has these heights."""
    wanted = np.asarray(values, dtype=float)
    return any(len(line) == len(wanted) and np.allclose(line, wanted) for line in lines(figure))


def test_plots_of_a_sweep_draw_it(sweep: Sweep) -> None:
    assert drawn(sweep.plot_coverage(), sweep.coverage["coverage"])
    errors = 100 * (sweep.coverage["coverage"] - sweep.coverage["level"])
    assert drawn(sweep.plot_coverage_error(), errors)
    assert drawn(sweep.plot_against("n_visitors", "diagnostics.khat"), [0.1, np.nan, 0.2, np.nan]) is False
    assert drawn(sweep.plot_against("base_rate", "wall_seconds"), [1.5] * 4)
    assert drawn(sweep.plot_times(), [1.5] * 4)
    assert not drawn(sweep.plot_ranks("ate_1"), lines(sweep.plot_ranks("cate_0"))[-1])
    assert not drawn(sweep.plot_pit(0), lines(sweep.plot_pit(4))[-1])
    assert sweep.plot_ranks("ate_1").axes[0].get_xlabel() == "rank of ate_1, scaled"


def test_plots_of_the_others_draw_them(runs: Path) -> None:
    correction, evaluation, analysis = (
        sbcflow.load(runs / name) for name in ("corrections", "evaluation", "analysis")
    )
    assert drawn(correction.plot(), correction.correction.curve.y_values)
    raw = evaluation.table.query("group_kind == 'all' and method == 'raw'")["coverage"]
    assert drawn(evaluation.plot_coverage(), raw)
    assert drawn(evaluation.plot_coverage_error(), 100 * (raw.to_numpy() - LEVELS))
    for plot in (evaluation.plot_groups, evaluation.plot_scores, analysis.plot_effects):
        assert isinstance(plot(), Figure)
    observed = Observed(n_visitors=20_000, conversion_rate=0.5, n_arms=2, severity_sd=1.0)
    words = [text.get_text() for text in correction.plot_regime(observed).axes[0].texts]
    assert ["outside" in text for text in words] == [False, True, False, False]
    labels = [label.get_text() for label in analysis.plot_effects("NA", 0.8).axes[0].get_yticklabels()]
    assert len(labels) == 3 and set(labels[1:]) == {"city: NA", "city: York"}


def test_plots_go_on_axes_that_are_given(sweep: Sweep) -> None:
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert sweep.plot_coverage(left) is sweep.plot_ranks(axes=right) is figure
    assert left.get_lines() and right.get_lines()


ALTERED: dict[str, tuple[str, Callable[[Any], object]]] = {
    "aggregate.csv": ("sweep", lambda _: None),
    f"configs/{IDS[1]}/draws.npz": ("sweep", lambda run: run.draws(1)),
    "coverage_correction.json": ("corrections", lambda _: None),
    "scale_family_correction.json": ("corrections", lambda _: None),
    "scorecard.csv": ("evaluation", lambda _: None),
    "scorecard.json": ("evaluation", lambda _: None),
    "conditional.csv": ("evaluation", lambda run: run.conditional),
    "conditional.json": ("evaluation", lambda run: run.worst_cells),
    "effects.csv": ("analysis", lambda _: None),
    "cate.parquet": ("analysis", lambda run: run.visitors()),
}


def made(folder: Path, kind: str) -> Path:
    makers = {
        "sweep": write_sweep,
        "corrections": write_corrections,
        "evaluation": lambda path: write_evaluation(
            path, LayeredCorrection.load(write_corrections(path.parent / "corrections"))
        ),
        "analysis": lambda path: write_analysis(path, regime_ok=True),
    }
    return makers[kind](folder)


def alter(path: Path) -> None:
    """Change a file so that it can still be read, and only its checksum tells."""
    if path.suffix == ".npz":
        files.write_npz(path, **{**samples_of(1), "truth": np.zeros(6)})
    elif path.suffix == ".parquet":
        pd.DataFrame({"row": [0]}).to_parquet(path)
    else:
        path.write_text(path.read_text() + "\n")


@pytest.mark.parametrize("damage", ["altered", "gone"])
@pytest.mark.parametrize("name", ALTERED)
def test_a_file_that_is_not_what_the_manifest_lists_is_refused(
    tmp_path: Path, name: str, damage: str
) -> None:
    kind, use = ALTERED[name]
    folder = made(tmp_path / kind, kind)
    use(sbcflow.load(folder))
    path = folder / name
    if damage == "gone":
        path.unlink()
    else:
        alter(path)
    with pytest.raises(ArtifactError) as refusal:
        use(sbcflow.load(folder))
    assert str(path) in str(refusal.value) and "\n" not in str(refusal.value)


def test_the_other_draws_of_a_sweep_with_a_damaged_file_can_be_had(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep")
    (folder / "configs" / IDS[1] / "draws.npz").write_bytes(b"")
    found = sbcflow.load(folder)
    assert found.draws(0) is not None
    with pytest.raises(ArtifactError, match=IDS[1]):
        found.datatree()


def test_a_table_that_lacks_a_column_is_refused(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep")
    aggregate().drop(columns="template").to_csv(folder / "aggregate.csv", index=False)
    seal(folder, "sweep", {}, {})
    with pytest.raises(ArtifactError, match=r"aggregate\.csv: is missing the columns template$"):
        sbcflow.load(folder)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no such folder; give the folder of a run"):
        sbcflow.load(tmp_path / "nothing")
    with pytest.raises(ArtifactError, match=r"manifest\.json: no such file"):
        sbcflow.load(tmp_path)
    folder = write_sweep(tmp_path / "sweep")
    document = manifest.read(folder / "manifest.json")
    del document["pytyche"]["sbcflow"]["run_kind"]
    manifest.write(folder / "manifest.json", document)
    with pytest.raises(ArtifactError, match=r"run_kind is ''; must be one of sweep, corrections, eval"):
        sbcflow.load(folder)

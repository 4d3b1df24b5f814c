"""scenario.yaml: as it stands it makes params.yaml that of a sweep about the experiment."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from analysis_examples import write_params

from report_runs import make_analysis
from sbcflow import manifest
from sbcflow.analysis.scenario import Scenario, scenario_for
from sbcflow.analysis.write import check_out
from sbcflow.calibration.corrections import DEFAULT_FITS
from sbcflow.calibration.regime import Observed, Range, Regime
from sbcflow.params import Params
from sbcflow.report.write import build
from sbcflow.scenario import apply_scenario
from sbcflow.validate import validate

TRAINED = Regime(Range(20_000, 20_000), Range(0.02, 0.08), Range(2, 2), Range(0.7, 1.1))
ALIKE = Observed(n_visitors=20_000, conversion_rate=0.05, n_arms=2, severity_sd=0.9)
UNLIKE = [
    replace(ALIKE, n_visitors=2_000),
    replace(ALIKE, n_arms=4),
    Observed(n_visitors=100, conversion_rate=0.004, n_arms=20, severity_sd=3.9),
    replace(ALIKE, conversion_rate=0.45, severity_sd=0.06),
]


def scenario_of(observed: Observed, out: str = "small-effects", correction: str = "corr") -> Scenario | None:
    return scenario_for(TRAINED.settings(observed), Path(out), Path(correction))


def applied(scenario: Scenario, folder: Path) -> Params:
    file, params = folder / "scenario.yaml", write_params(folder / "params.yaml")
    file.write_text(scenario.text)
    return apply_scenario(file, params)


def swept(params: Params) -> Regime:
    """The regime of what the params sweep over."""
    v2, (scale,) = params.generators.v2, params.train_sweep.scales
    arms = Range(v2.n_arms, v2.n_arms)
    return Regime(Range(scale, scale), Range(*v2.base_rate), arms, Range(*v2.severity_sigma))


@pytest.mark.parametrize("observed", UNLIKE, ids=["small", "arms", "all", "ends"])
def test_the_sweep_covers_the_experiment(observed: Observed, tmp_path: Path) -> None:
    assert TRAINED.outside(observed)
    scenario = scenario_of(observed)
    assert "&" not in scenario.text and "*" not in scenario.text, "an alias is no value to read"
    params = applied(scenario, tmp_path)
    assert swept(params).outside(observed) == ()
    assert params.train_sweep.scales == params.test_sweep.scales
    assert (params.train_sweep.n_configs, params.test_sweep.n_configs) == (152, 48)
    assert params.train_sweep.save_samples and params.train_sweep.n_configs >= DEFAULT_FITS
    assert {params.train_sweep.generator_family, params.test_sweep.generator_family} == {"v2"}


def test_a_scenario_without_its_ranges_would_not_cover_it(tmp_path: Path) -> None:
    found = scenario_of(UNLIKE[2])
    values = yaml.safe_load(found.text)
    del values["generators"]["v2"]["base_rate"]
    assert swept(applied(replace(found, text=yaml.safe_dump(values)), tmp_path)).outside(UNLIKE[2])


def test_its_runs_have_names_of_their_own(tmp_path: Path) -> None:
    params = applied(scenario_of(UNLIKE[0], "results/July, 2nd!"), tmp_path)
    sections = ("train_sweep", "test_sweep", "exploratory_sweep", "fit_corrections", "evaluate_layered")
    ends = ("train", "test", "prior", "corrections", "evaluation")
    assert [getattr(params, one).id for one in sections] == [f"July-2nd-{end}" for end in ends]
    assert params.test_sweep.trained_correction_from == "July-2nd-train"
    for odd in ("---", "ö" * 9, "x" * 300):
        applied(scenario_of(UNLIKE[0], odd), tmp_path)


def test_the_correction_that_was_used_is_not_overwritten() -> None:
    again = scenario_of(UNLIKE[0], "shop", "runs/shop-corrections")
    assert again.corrections == "shop-2-corrections" and "id: shop-2-train" in again.text


def test_where_no_sweep_is_needed_or_none_can_be_there_is_none() -> None:
    assert scenario_of(ALIKE) is None
    assert scenario_of(replace(ALIKE, n_visitors=99)) is None
    assert scenario_of(replace(ALIKE, n_arms=21)) is None


def test_an_analysis_outside_the_regime_writes_it_and_says_what_is_next(analysis: Path) -> None:
    about = manifest.read(analysis / "manifest.json")["pytyche"]["sbcflow"]
    assert "scenario.yaml" in about["files"] and validate(analysis).ok
    check_out(analysis)  # so it may be replaced
    (section,) = [one for one in build(analysis).sections if one.id == "regime"]
    assert any("sbcflow params apply analysis/scenario.yaml && dvc repro" in one for one in section.notes)


def test_an_analysis_without_a_correction_writes_none(tmp_path: Path) -> None:
    assert not (make_analysis(tmp_path, with_correction=False) / "scenario.yaml").exists()


def test_the_step_can_be_pasted() -> None:
    step = scenario_of(UNLIKE[0]).next_step("my results/scenario.yaml")
    assert "sbcflow params apply 'my results/scenario.yaml' && dvc repro" in step
    assert step.endswith("--correction runs/small-effects-corrections")

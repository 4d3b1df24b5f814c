"""Scenarios are put into params.yaml as a whole or not at all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sbcflow.errors import ParamsError
from sbcflow.params import load
from sbcflow.scenario import apply_scenario

ROOT = Path(__file__).parents[2]


@pytest.fixture
def params_file(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "params.yaml", tmp_path))


def _scenario(folder: Path, text: str) -> Path:
    path = folder / "scenario.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["hillstrom", "production", "smoke"])
def test_shipped_scenarios_apply(params_file: Path, name: str) -> None:
    applied = apply_scenario(ROOT / f"config/{name}.yaml", params_file)
    assert load(params_file) == applied
    assert (
        len(
            {run.id for run in applied.runs().values()}
            & {r.id for r in load(ROOT / "params.yaml").runs().values()}
        )
        == 0
    )


def test_production_is_what_is_described(params_file: Path) -> None:
    applied = apply_scenario(ROOT / "config/production.yaml", params_file)
    assert (applied.train_sweep.n_configs, applied.train_sweep.scales) == (50, (250_000,))
    assert (applied.test_sweep.n_configs, applied.test_sweep.scales) == (10, (250_000,))
    assert applied.test_sweep.save_samples


def test_only_the_changed_lines_differ(params_file: Path) -> None:
    before = params_file.read_text().splitlines()
    apply_scenario(_scenario(params_file.parent, "train_sweep:\n  n_configs: 30\n"), params_file)
    after = params_file.read_text().splitlines()
    assert [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]] == [
        ("  n_configs: 24", "  n_configs: 30")
    ]


def test_applying_twice_changes_nothing_more(params_file: Path) -> None:
    apply_scenario(ROOT / "config/smoke.yaml", params_file)
    once = params_file.read_bytes()
    apply_scenario(ROOT / "config/smoke.yaml", params_file)
    assert params_file.read_bytes() == once


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train_sweep:\n  n_config: 3\n", "train_sweep.n_config: unknown key; did you mean n_configs?"),
        ("modle: {}\n", "modle: unknown key; did you mean model?"),
        ("train_sweep:\n  n_configs: 0\n", "train_sweep.n_configs: "),
        ("train_sweep: 3\n", "train_sweep: must be a mapping, got 3"),
        ("estimator:\n  name: hurdle\n", "estimator: must be a single value or a list"),
        ("- 1\n", "must be a mapping"),
        ("a: [\n", "not valid YAML"),
    ],
)
def test_a_bad_scenario_is_refused_in_one_line_and_writes_nothing(
    params_file: Path, text: str, message: str
) -> None:
    before = params_file.read_bytes()
    with pytest.raises(ParamsError) as caught:
        apply_scenario(_scenario(params_file.parent, text), params_file)
    assert message in str(caught.value)
    assert "scenario.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert params_file.read_bytes() == before


def test_a_missing_file_is_named(params_file: Path) -> None:
    with pytest.raises(ParamsError, match=r"nowhere\.yaml: no such file"):
        apply_scenario("nowhere.yaml", params_file)

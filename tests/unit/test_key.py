"""The cache key changes with what determines a fit, and with nothing else."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import sbcflow
from sbcflow.params import Params, SweepKind, parse
from sbcflow.provenance import numeric_versions
from sbcflow.sweep import key as key_module
from sbcflow.sweep.key import canonical_json, fit_key
from sbcflow.sweep.plan import plan_config
from sbcflow.sweep.sources import ROOTS, numeric_modules, source_digests
from sbcflow.syntax import normalised

ROOT = Path(__file__).parents[2]
PACKAGE = Path(sbcflow.__path__[0])


def _values(**changes: Any) -> Params:
    """params.yaml with values changed by dotted key (a double underscore for the dot)."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    for path, value in changes.items():
        *parents, name = path.split("__")
        section = values
        for parent in parents:
            section = section[parent]
        section[name] = value
    return parse(values)


def _key(params: Params, kind: SweepKind = "train", index: int = 0) -> str:
    return plan_config(params, kind, index).key


@pytest.mark.parametrize(
    "change",
    [
        {"model__severity__noise_median": 1.1},
        {"model__basis__n_knots": 7},
        {"inference__method": "nuts"},
        {"inference__n_draws": 1000},
        {"inference__nuts__n_warmup": 400},
        {"scoring__n_test": 400},
        {"generators__v2__n_arms": 3},
        {"train_sweep__save_samples": True},
        {"train_sweep__master_seed": 1},
        {"train_sweep__scales": [20001]},
        {"train_sweep__generator_family": "prior"},
    ],
    ids=str,
)
def test_what_determines_a_fit_changes_its_key(change: dict[str, Any]) -> None:
    assert _key(_values(**change)) != _key(_values())


@pytest.mark.parametrize(
    "change",
    [
        {"train_sweep__n_configs": 30},
        {"train_sweep__id": "other", "test_sweep__trained_correction_from": "other"},
        {"train_sweep__scales": [20000, 40000]},
        {"test_sweep__n_configs": 2},
        {"exploratory_sweep__generator_family": "v2"},
        {"generators__prior__n_arms": 4},
        {"generators__v2__templates": ["constant", "reversal"]},
        {"fit_corrections__n_bootstrap": 500},
        {"evaluate_layered__seed": 9},
    ],
    ids=str,
)
def test_what_does_not_matter_leaves_the_key(change: dict[str, Any]) -> None:
    assert _key(_values(**change)) == _key(_values())


def test_configs_of_all_sweeps_have_keys_of_their_own() -> None:
    params = _values()
    keys = [_key(params, kind, index) for kind in ("train", "test") for index in range(8)]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 64 and set(key) <= set("0123456789abcdef") for key in keys)


def test_knobs_count_by_value_not_by_order() -> None:
    params = _values()
    keys = [
        fit_key(params, params.train_sweep, seed=1, n_visitors=500, knobs=knobs)
        for knobs in ({"a": 1, "b": 2.5}, {"b": 2.5, "a": 1}, {"a": 1, "b": 2.6})
    ]
    assert keys[0] == keys[1] != keys[2]


def test_library_versions_count(monkeypatch: pytest.MonkeyPatch) -> None:
    before = _key(_values())
    changed = {**numeric_versions(), "jax": "99"}
    monkeypatch.setattr(key_module, "numeric_versions", lambda: changed)
    key_module.context_key.cache_clear()
    try:
        assert _key(_values()) != before
    finally:
        key_module.context_key.cache_clear()


def test_canonical_json_refuses_what_has_no_one_text() -> None:
    assert canonical_json({"b": 1, "a": [1.5, None]}) == '{"a":[1.5,null],"b":1}'
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))
    with pytest.raises(TypeError):
        canonical_json({"a": object()})


SOURCE = '''"""Module."""

X = 1  # a comment


def f(a, b=2):
    """Doc."""
    return a * X + b
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# a comment", "# another"),
        ('"""Doc."""\n    ', ""),
        ('"""Module."""', '"""Other words."""'),
        ("return a * X + b", "return (a\n            * X + b)"),
        ("\n\n\ndef", "\n\ndef"),
        ("a, b=2", "a, b = 2,"),
    ],
)
def test_words_and_layout_do_not_count(old: str, new: str) -> None:
    assert normalised(SOURCE.replace(old, new)) == normalised(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a * X", "a / X"),
        ("X = 1", "X = 1.0"),
        ("b=2", "b=True"),
        ("return a", "return b"),
        ("def f(a, b", "def f(b, a"),
        ("X = 1", "X = '1'"),
    ],
)
def test_what_the_code_does_counts(old: str, new: str) -> None:
    assert normalised(SOURCE.replace(old, new)) != normalised(SOURCE)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package with the digest's roots: scoring imports levels in a function; report is out of reach."""
    folder = tmp_path / "sbcflow"
    files = {
        "__init__.py": "",
        "runtime.py": "",
        "scoring.py": "def score():\n    from sbcflow.levels import LEVELS\n    return LEVELS\n",
        "levels.py": "LEVELS = (0.5, 0.9)\n",
        "report.py": "def plot():\n    return 1\n",
        "errors.py": "class E(Exception): ...\n",
        "generators/__init__.py": "",
        "generators/v2.py": "from ..errors import E\nfrom . import shapes\n",
        "generators/shapes.py": "A = 1\n",
        "estimators/__init__.py": "",
        "sweep/__init__.py": "",
        "sweep/fit.py": "from sbcflow.sweep import layout\nimport sbcflow.scoring\n",
        "sweep/layout.py": "RUNS = 'runs'\n",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def _digests_of(package: Path, tmp_path: Path, name: str, text: str) -> Mapping[str, str]:
    copy = Path(shutil.copytree(package, tmp_path / "copies" / str(time.perf_counter_ns()) / "sbcflow"))
    with (copy / name).open("a") as file:
        file.write(text)
    return source_digests(copy)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("levels.py", True),
        ("scoring.py", True),
        ("generators/shapes.py", True),
        ("sweep/fit.py", True),
        ("report.py", False),
        ("errors.py", False),
        ("sweep/layout.py", False),
    ],
)
def test_the_digest_covers_the_closure(package: Path, tmp_path: Path, name: str, counts: bool) -> None:
    before = source_digests(package)
    assert (_digests_of(package, tmp_path, name, "\nZ = 1\n") != before) is counts
    assert _digests_of(package, tmp_path, name, "\n# words\n") == before


def test_a_missing_root_is_an_error(package: Path) -> None:
    (package / "scoring.py").unlink()
    with pytest.raises(FileNotFoundError, match=r"sbcflow\.scoring"):
        source_digests(package)


def test_the_real_closure_reaches_the_model_and_not_the_reports() -> None:
    modules = set(numeric_modules())
    assert {*ROOTS, "sbcflow.model", "sbcflow.basis", "sbcflow.data", "sbcflow.levels"} <= modules
    assert not {m for m in modules if m.startswith(("sbcflow.report", "sbcflow.calibration", "sbcflow.cli"))}


def test_dvc_watches_every_numeric_module() -> None:
    """A stage whose deps missed a module would not even ask Snakemake whether the keys still hold."""
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for stage in ("train_sweep", "test_sweep"):
        watched = [ROOT / dep for dep in stages[stage]["deps"] if dep.startswith("src/")]
        for name, path in numeric_modules().items():
            assert any(path.is_relative_to(dep) for dep in watched), f"{stage} does not watch {name}"

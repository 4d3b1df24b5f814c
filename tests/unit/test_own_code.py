"""Code of the user's own: found, loaded, held to the contract, each breach with an error that names it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from own_code import ROOT, own_params, write_module
from sbcflow.data import Segment, TestPoints, average_effects
from sbcflow.doctor.estimator import check_estimator
from sbcflow.doctor.finding import State
from sbcflow.errors import EstimationError, OwnCodeError, ParamsError
from sbcflow.estimators import make_estimator
from sbcflow.generators import make_family
from sbcflow.inspection.replay import replay
from sbcflow.own.load import load_own
from sbcflow.own.reference import Reference, find, load
from sbcflow.params import parse
from sbcflow.sweep import key
from sbcflow.sweep import own_sources as own_sources_module
from sbcflow.sweep.fit import fit_config
from sbcflow.sweep.own_sources import own_sources
from sbcflow.sweep.plan import plan_sweep
from sbcflow.sweep.summary import read_sealed

NAMES = iter(f"own_code_{i}" for i in range(1000))


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module's name that no test has used, in a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    chosen = next(NAMES)
    yield chosen
    sys.modules.pop(chosen, None)


def _simulate(name: str, n: int = 100, n_test: int = 20):
    family = make_family(f"{name}:family", own_params(name))
    return family.simulate(7, family.draw_knobs(7, 0), n, n_test)


def _posterior(name: str):
    return make_estimator(own_params(name)).fit(_simulate(name).trial, 3)


def test_a_config_is_fitted_with_own_code_from_end_to_end(name: str, tmp_path: Path) -> None:
    write_module(tmp_path, name)
    params = own_params(name, estimator={"n_draws": 300})
    path = fit_config(params, "train", 0)
    summary = read_sealed(path)
    assert summary["config"]["generator_family"] == summary["config"]["template"] == f"{name}:family"
    assert summary["config"]["knobs"]["effect"] == pytest.approx(summary["effects"]["ate_1_truth"])
    assert 0 <= summary["ranks"]["effect"] <= 300
    assert summary["diagnostics"]["converged"] is True
    assert summary["diagnostics"]["khat"] is None
    assert summary["ingredients"]["own"] == {"estimator": {"n_draws": 300}}
    assert name in summary["ingredients"]["source"]
    assert "inference" not in summary["ingredients"]


def test_a_replay_has_own_code_and_its_files(name: str, tmp_path: Path) -> None:
    write_module(tmp_path, name, ("import numpy as np\n", f"import numpy as np\n\nimport {name}_helper\n"))
    (tmp_path / f"{name}_helper.py").write_text("X = 1\n")
    (tmp_path / "table.csv").write_text("a\n")
    params = own_params(name, files=["table.csv"])
    recorded = read_sealed(fit_config(params, "train", 0))
    assert {name, f"{name}_helper", "table.csv"} <= recorded["ingredients"]["source"].keys()
    assert replay(params, "train", "0", lambda _: None).is_same


def test_own_intervals_of_an_exact_posterior_cover(name: str, tmp_path: Path) -> None:
    """95 of 100 known-answer intervals are expected; outside 88 to 100 lies 0.3% (binomial)."""
    write_module(tmp_path, name)
    family, estimator = make_family(f"{name}:family", own_params(name)), make_estimator(own_params(name))
    hits = 0
    for seed in range(100):
        simulation = family.simulate(seed, family.draw_knobs(seed, 0), 2000, 20)
        draws = estimator.fit(simulation.trial, seed).cate(simulation.test_points)[0]
        hits += bool(np.quantile(draws, 0.025) <= simulation.test_cate[0] <= np.quantile(draws, 0.975))
    assert 88 <= hits <= 100


def test_averages_are_filled_in_from_cate(name: str, tmp_path: Path) -> None:
    draws = "np.broadcast_to(self.draws, (len(points), len(self.draws)))"
    write_module(tmp_path, name, (draws, "points.covariates.values[:, :1] + self.draws[None]"))
    simulation, posterior = _simulate(name, n=3000), _posterior(name)
    covariates = simulation.trial.covariates
    halves = tuple(
        Segment(label, (covariates.values[:, 0] > 0) == side)
        for label, side in (("over", True), ("under", False))
    )
    found = posterior.average_cate(covariates, halves)
    everyone = posterior.cate(TestPoints(covariates, np.ones(3000, dtype=np.int32))).astype(np.float64)
    expected = [average_effects(everyone[:, i : i + 1], halves) for i in range(everyone.shape[1])]
    np.testing.assert_allclose(found[:, 0], np.stack(expected, axis=-1)[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            ("return Posterior(rng", "raise ZeroDivisionError('no luck') or Posterior(rng"),
            r"fit\(trial, seed\) raised ZeroDivisionError: no luck \(own_code_\d+\.py, line \d+\)",
        ),
        (
            ("return Posterior(rng", "return (rng"),
            r"must return an object with cate\(points\), got a ndarray",
        ),
        (
            ("(len(points), len(self.draws))", "(len(points) + 1, len(self.draws))"),
            r"must have shape \(20, n_draws\), a row a point, got shape \(21, 200\)",
        ),
        (
            ("return np.broadcast_to(self.draws, (len(points), len(self.draws)))", "return self.draws"),
            r"must have shape \(20, n_draws\), a row a point, got shape \(200,\)",
        ),
        (
            ("rng.normal(one", "np.nan * rng.normal(one"),
            r"must hold finite numbers, got nan at \(0, 0\), one of 4000",
        ),
        (
            ("return np.broadcast_to(", "return 1j * np.broadcast_to("),
            "must hold real numbers, got type complex128",
        ),
        (
            ("return Difference(settings)", "return settings"),
            r"must return an object with fit\(trial, seed\), got a dict",
        ),
        (
            ("return Difference(settings)", "return Difference(settings.n)"),
            r"build\(settings\) raised AttributeError",
        ),
    ],
    ids=["raises", "no cate", "a row too many", "one dimension", "NaN", "complex", "no fit", "build raises"],
)
def test_a_broken_estimator_gets_its_error(
    name: str, tmp_path: Path, edit: tuple[str, str], message: str
) -> None:
    write_module(tmp_path, name, edit)
    with pytest.raises(OwnCodeError, match=message) as caught:
        _posterior(name).cate(_simulate(name).test_points)
    assert str(caught.value).startswith(f"{name}:build: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            ("np.random.default_rng([seed, 2])", "np.random.default_rng()"),
            "gave another trial.covariates the second time; all that is random",
        ),
        (
            ("float(np.random.default_rng([seed, 1]).normal())", "float(np.random.default_rng().normal())"),
            r"draw_knobs\(seed, replicate\) gave another effect the second time",
        ),
        (
            ("float(np.random.default_rng([seed, 1]).normal())", "[1.0]"),
            r"\['effect'\] must be a finite number or text, got \[1.0\]",
        ),
        (("truth[:n_test], truth", "truth, truth"), r"test_cate must have shape \(20,\), got \(100,\)"),
        (
            ("truth[:, None], parameters", "truth, parameters"),
            r"visitor_cate must have shape \(100, 1\), got \(100,\)",
        ),
        (("+ 10.0 +", "+ np.nan +"), "trial.revenue must be finite"),
        (("+ 10.0 +", "- 100.0 +"), "trial.revenue must be positive where converted and 0 elsewhere"),
        (("np.arange(n_visitors) % 2", "np.arange(n_visitors) * 0"), "trial.arm must hold each of 0 to 1"),
        (
            ("np.ones(n_test, dtype=np.int32)", "np.zeros(n_test, dtype=np.int32)"),
            "test_points.arm must lie in 1 to 1",
        ),
        (("return Simulation(", "return ("), r"must return a sbcflow.data.Simulation, got a tuple"),
        (("def draw_knobs", "def knobs"), r"a Normal has no draw_knobs"),
    ],
    ids=[
        "impure data",
        "impure knobs",
        "a list",
        "truths",
        "visitors",
        "NaN",
        "negative",
        "arms",
        "points",
        "tuple",
        "method",
    ],
)
def test_a_broken_family_gets_its_error(
    name: str, tmp_path: Path, edit: tuple[str, str], message: str
) -> None:
    write_module(tmp_path, name, edit)
    with pytest.raises(OwnCodeError, match=message) as caught:
        _simulate(name)
    assert str(caught.value).startswith(f"{name}:family: ")


def test_errors_of_ours_pass_as_they_are(name: str, tmp_path: Path) -> None:
    write_module(
        tmp_path,
        name,
        ("import numpy as np\n", "import numpy as np\nfrom sbcflow.errors import EstimationError\n"),
        ("return Posterior(rng", "raise EstimationError('too few') or Posterior(rng"),
    )
    with pytest.raises(EstimationError, match=r"^too few$"):
        _posterior(name)


def test_what_is_missing_is_named_before_anything_runs(name: str, tmp_path: Path) -> None:
    with pytest.raises(OwnCodeError, match=rf"no module {name}: {name}\.py is not in {tmp_path}"):
        find(Reference(name, "build"))
    write_module(tmp_path, name, ("def build", "def make"))
    with pytest.raises(OwnCodeError, match=r"defines no build; it has .*make"):
        plan_sweep(own_params(name), "train")
    (tmp_path / f"{name}.py").write_text("def build(:\n")
    with pytest.raises(OwnCodeError, match=r"is not valid Python: SyntaxError"):
        find(Reference(name, "build"))
    sys.modules.pop(name)
    (tmp_path / f"{name}.py").write_text("import no_such_library\n\nbuild = 1\n")
    with pytest.raises(OwnCodeError, match=r"cannot be imported: ModuleNotFoundError: .*no_such_library"):
        load(Reference(name, "build"))
    (tmp_path / f"{name}.py").write_text("build = 1\n")
    with pytest.raises(OwnCodeError, match=r"must be a function or a class, got 1"):
        load(Reference(name, "build"))


def test_a_module_that_a_library_hides_is_an_error(name: str, tmp_path: Path) -> None:  # noqa: ARG001
    (tmp_path / "colorsys.py").write_text("def build(settings): ...\n")
    sys.modules.pop("colorsys", None)
    with pytest.raises(OwnCodeError, match=r"another module colorsys is installed.*rename colorsys\.py"):
        load(Reference("colorsys", "build"))


def test_an_installed_package_serves_too(name: str) -> None:  # noqa: ARG001
    assert load(Reference("sbcflow.levels", "coverage_column"))
    assert not find(Reference("sbcflow.levels", "coverage_column")).in_project


@pytest.mark.parametrize("wrong", ["mine", "mine:", ":build", "9:build", "a b:c", "mine:build:x"])
def test_a_reference_is_module_colon_name(wrong: str) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text()) | {"estimator": wrong}
    with pytest.raises(ParamsError, match=r"estimator: must be hurdle, or code of your own as mymodule:name"):
        parse(values)


def _key(name: str, **own: object) -> str:
    """The key that a process of its own would find."""
    key.context_key.cache_clear()
    own_sources_module._sources.cache_clear()
    return plan_sweep.__wrapped__(own_params(name, **own), "train")[0].key


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (lambda folder, name: write_module(folder, name, ("+ 10.0 +", "+ 10.5 +")), True),
        (lambda folder, name: write_module(folder, name, ("def build", "# words\ndef build")), False),
        (lambda folder, _: (folder / "helper.py").write_text("X = 2\n"), True),
        (lambda folder, _: (folder / "helper.py").write_text("X = 1  # words\n"), False),
        (lambda folder, _: (folder / "other.py").write_text("X = 2\n"), False),
        (lambda folder, _: (folder / "model.stan").write_text("another"), True),
    ],
    ids=["code", "comment", "a module it imports", "its comment", "another module", "a file"],
)
def test_own_source_joins_the_key(
    name: str, tmp_path: Path, change: Callable[[Path, str], object], counts: bool
) -> None:
    write_module(tmp_path, name)
    path = tmp_path / f"{name}.py"
    imports = "\n\ndef lazily():\n    import helper\n    return helper.X\n"
    path.write_text(path.read_text() + imports)
    (tmp_path / "helper.py").write_text("X = 1\n")
    (tmp_path / "model.stan").write_text("one")
    before = _key(name, files=["model.stan"])
    change(tmp_path, name)
    if "import helper" not in path.read_text():
        path.write_text(path.read_text() + imports)
    assert (_key(name, files=["model.stan"]) != before) is counts


def test_own_settings_join_the_key_and_those_of_the_hurdle_model_do_not(name: str, tmp_path: Path) -> None:
    write_module(tmp_path, name)
    assert _key(name, estimator={"n_draws": 300}) != _key(name)
    assert _key(name, family={"a": 1}) != _key(name)


def test_versions_of_imported_libraries_count(name: str, tmp_path: Path) -> None:
    write_module(tmp_path, name, ("import numpy as np\n", "import numpy as np\nimport sklearn\n"))
    libraries = own_sources(own_params(name), own_params(name).train_sweep).libraries
    assert {"numpy", "scikit-learn"} <= libraries.keys()


@pytest.mark.parametrize("wrong", ["none.stan", "../outside", "/etc/hostname"])
def test_a_file_that_is_not_there_is_an_error(name: str, tmp_path: Path, wrong: str) -> None:
    write_module(tmp_path, name)
    (tmp_path.parent / "outside").write_text("x")
    with pytest.raises(ParamsError, match=rf"own\.files: {re.escape(repr(wrong))} is no file in"):
        _key(name, files=[wrong])


def _states(name: str) -> dict[str, State]:
    return {one.subject: one.state for one in check_estimator(own_params(name), "train", 400)}


def test_a_sound_pair_passes_the_check(name: str, tmp_path: Path) -> None:
    write_module(tmp_path, name)
    states = _states(name)
    assert set(states.values()) == {State.OK, State.NOTE}
    assert {subject for subject, state in states.items() if state is State.NOTE} == {"coverage"}


@pytest.mark.parametrize(
    ("edits", "subject"),
    [
        ([("np.random.default_rng(seed)", "np.random.default_rng()")], "repeats"),
        ([("rng.normal(one.mean() - other.mean(), sd, self.n_draws)", "np.full(200, one.mean())")], "widths"),
        (
            [
                (
                    "np.broadcast_to(self.draws, (len(points), len(self.draws)))",
                    "self.draws + len(points) * np.ones((len(points), 1))",
                )
            ],
            "pairs",
        ),
        (
            [
                (
                    "    def hyperparameters",
                    "    average_cate = lambda self, *_: self.draws[None, None] + 1\n    def hyperparameters",
                )
            ],
            "averages",
        ),
        ([('{"effect": float(', '{f"effect_{replicate}": 1.0, "effect": float(')], "settings"),
        ([("[seed, 1]", "[1]"), ("[seed, 2]", "[2]")], "simulation"),
        ([("np.random.default_rng([seed, 2])", "np.random.default_rng()")], "contract"),
    ],
    ids=["state", "no spread", "redrawn", "averages", "names", "no seed", "impure"],
)
def test_the_check_tells_what_a_single_fit_cannot(
    name: str, tmp_path: Path, edits: list[tuple[str, str]], subject: str
) -> None:
    write_module(tmp_path, name, *edits)
    states = _states(name)
    assert states[subject] is State.PROBLEM
    assert [s for s, state in states.items() if state is State.PROBLEM] == [subject]


def test_a_parameter_that_the_estimator_does_not_know_is_noted(name: str, tmp_path: Path) -> None:
    write_module(tmp_path, name, ('return {"effect": self.draws}', 'return {"effekt": self.draws}'))
    assert _states(name)["parameters"] is State.NOTE


@pytest.mark.parametrize("part", ["rank", "median"])
def test_the_check_finds_draws_that_look_at_the_other_points(name: str, tmp_path: Path, part: str) -> None:
    x = "points.covariates.values[:, :1]"
    leaks = {"rank": f"({x}.argsort(0) % 2)", "median": f"({x} > np.median({x}))"}
    draws = "np.broadcast_to(self.draws, (len(points), len(self.draws)))"
    write_module(tmp_path, name, (draws, f"self.draws[None] + {leaks[part]}"))
    assert _states(name)["pairs"] is State.PROBLEM


def test_all_own_code_is_loaded_at_once(name: str, tmp_path: Path) -> None:
    write_module(tmp_path, name)
    load_own(own_params(name))
    strict = f"{name}_strict"
    write_module(tmp_path, strict, ("return Difference(settings)", "return Difference(settings['n_splitz'])"))
    with pytest.raises(OwnCodeError, match=r"build\(settings\) raised .*n_splitz"):
        load_own(own_params(strict))

"""Nothing that is loaded runs, and run ids stay in runs/."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from source_guards import MODULES, PICKLING, findings, found_in, unpickling, unsafe_yaml
from source_imports import PACKAGE, ROOT

from sbcflow import files, params
from sbcflow.errors import ArtifactError, ParamsError
from sbcflow.experiment.params import yaml_values
from sbcflow.sweep.layout import RUNS, run_dir

# Safe, though the finder cannot see it: (module, what it finds) and why.
SAFE_YAML = {
    ("experiment/params/yaml_values.py", "yaml.load"): "with a Loader that is a SafeLoader, see below"
}


def test_all_modules_are_looked_at() -> None:
    assert {"files.py", "sweep/gather.py", "cli/__init__.py", "workflow/scripts/fit.py"} <= MODULES.keys()
    assert len(MODULES) > 100


# Nothing unpickles, and YAML is read safely.


def test_nothing_unpickles() -> None:
    assert findings(unpickling) == {}


def test_no_workflow_file_imports_what_unpickles() -> None:
    """Snakemake's files are not Python's, so their imports are looked for line by line."""
    texts = [
        p.read_text() for p in (ROOT / "workflow").rglob("*") if p.name == "Snakefile" or p.suffix == ".smk"
    ]
    assert len(texts) > 1
    pattern = re.compile(rf"^\s*(import|from)\s+({'|'.join(PICKLING)})\b|allow_pickle", re.MULTILINE)
    assert pattern.search("  from pickle import loads") and pattern.search("import dill")
    assert not any(pattern.search(text) for text in texts)


@pytest.mark.parametrize(
    "snippet",
    [
        *(f"import {name}" for name in PICKLING),
        "def f():\n    from joblib.memory import Memory",
        "from multiprocessing import reduction as a, pickle",
        "import os, pickle as p",
        "importlib.import_module('dill.detect')",
        "__import__('marshal')",
        "np.load(path, allow_pickle=True)",
        "np.load(path, allow_pickle=1)",
        "np.load(path, allow_pickle=trusted)",
        "np.load(path, **{'allow_pickle': True})",
        "np.lib.format.read_array(stream, allow_pickle=not False)",
        "pd.read_pickle(path)",
        "from pandas import read_pickle",
        "frame.to_pickle(path)",
    ],
)
def test_what_unpickles_is_found(snippet: str) -> None:
    assert found_in(unpickling, snippet)


@pytest.mark.parametrize("snippet", ["np.load(path, allow_pickle=False)", "import json", "load(pickles)"])
def test_what_does_not_unpickle_is_not_found(snippet: str) -> None:
    assert found_in(unpickling, snippet) == []


def test_yaml_is_read_safely() -> None:
    found = {(name, what) for name, whats in findings(unsafe_yaml).items() for what in whats}
    assert found == SAFE_YAML.keys()
    assert issubclass(yaml_values.Loader, yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader)
    source = (PACKAGE / "experiment/params/yaml_values.py").read_text()
    assert source.count("yaml.load(") == source.count('yaml.load(text.decode("utf-8"), Loader=Loader)') == 1


@pytest.mark.parametrize(
    "snippet",
    [
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.SafeLoader)",
        "yaml.unsafe_load(text)",
        "yaml.full_load(text)",
        "yaml.load_all(text)",
        "read = yaml.unsafe_load_all",
        "yaml.FullLoader(text).get_data()",
        "from yaml import full_load",
        "from yaml import CLoader as SafeLoader",
        "ruamel.yaml.load(text)",
        "YAML(typ='unsafe')",
        "ruamel.yaml.YAML(typ='full')",
        "YAML('unsafe').load(text)",
        "YAML(typ=kind)",
        "YAML(**settings)",
    ],
)
def test_unsafe_yaml_is_found(snippet: str) -> None:
    assert found_in(unsafe_yaml, snippet)


@pytest.mark.parametrize(
    "snippet", ["yaml.safe_load(text)", "YAML()", "YAML(typ='safe')", "YAML(typ='rt')", "json.load(stream)"]
)
def test_safe_yaml_is_not_found(snippet: str) -> None:
    assert found_in(unsafe_yaml, snippet) == []


class Malicious:
    """What, unpickled, makes a folder."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.marker,)


@pytest.mark.parametrize("form", ["object array", "structured array", "pickle in an npz's place"])
def test_a_pickle_in_an_npz_is_refused_and_does_not_run(tmp_path: Path, form: str) -> None:
    path, marker = tmp_path / "draws.npz", tmp_path / "marker"
    if form == "pickle in an npz's place":
        path.write_bytes(pickle.dumps(Malicious(marker)))
    else:
        array = np.array([Malicious(marker)], dtype=object)
        structured = np.array([(1, Malicious(marker))], dtype=[("n", int), ("x", object)])
        np.savez(path, draws=array if form == "object array" else structured)
    with pytest.raises(ArtifactError, match=r"draws\.npz: not a sound npz") as caught:
        files.read_npz(path)
    assert "\n" not in str(caught.value)
    assert not marker.exists()
    loaded = np.load(path, allow_pickle=True)
    if isinstance(loaded, np.lib.npyio.NpzFile):
        loaded["draws"]
    assert marker.exists(), "the test's own pickle does nothing"


def malicious_yaml(marker: Path) -> str:
    return f"train_sweep: !!python/object/apply:os.mkdir ['{marker}']\n"


def test_a_call_in_a_params_file_is_refused_and_does_not_run(tmp_path: Path) -> None:
    path, marker = tmp_path / "params.yaml", tmp_path / "marker"
    path.write_text(malicious_yaml(marker))
    with pytest.raises(ParamsError, match=r"params\.yaml: not valid YAML: could not determine a") as caught:
        params.load(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="not valid YAML"):
        yaml_values.load_yaml(path.read_bytes())
    assert not marker.exists()
    yaml.unsafe_load(path.read_text())
    assert marker.exists(), "the test's own YAML does nothing"


# Paths that are made of run ids stay in runs/.

SECTIONS = ("train_sweep", "test_sweep", "exploratory_sweep", "fit_corrections", "evaluate_layered")
IDS = (*((section, "id") for section in SECTIONS), ("test_sweep", "trained_correction_from"))
BAD_IDS = [
    *(
        "../x",
        "/abs",
        "a/../b",
        "..",
        ".",
        "",
        "runs/x",
        "a/",
        "/",
        "./a",
        "a/.",
        "~",
        "~root",
        "C:x",
        "a\\b",
    ),
    *(
        "a\nb",
        "a\n",
        "\na",
        "a\r",
        "a\x00b",
        "a b",
        " a",
        "a ",
        "a\t",
        ".hidden",
        "-a",
        "a-",
        "a..b",
        "a--b",
        "_",
    ),
    *(
        "$HOME",
        "${HOME}",
        "$(id)",
        "`id`",
        "a;b",
        "a|b",
        "a*",
        "a?",
        "[a]",
        "{run}",
        "a:b",
        "a'b",
        'a"b',
        "a%2fb",
    ),
    # Other scripts' digits and letters, and characters that look like a slash, a dot or nothing.
    *(
        "é",
        "ａ",
        "а",
        "٣",
        "a∕b",
        "a／b",
        "․․",
        "．．",
        "a\u202eb",
        "a\u200b",
        "a\u2028",
        "a\u0301",
        "\ufeffa",
    ),
    *("a" * 81, "a" * 100_000, "a/" * 1000),
]
VALUES = yaml.safe_load((ROOT / "params.yaml").read_text())


def values_with(run_id: object, *places: tuple[str, str]) -> dict[str, dict[str, object]]:
    changed = {section: {**VALUES[section]} for section, _ in places}
    for section, key in places:
        changed[section][key] = run_id
    return {**VALUES, **changed}


@pytest.mark.parametrize(("section", "key"), IDS, ids=[f"{section}.{key}" for section, key in IDS])
def test_an_id_that_could_lead_elsewhere_is_refused_by_its_key(section: str, key: str) -> None:
    for run_id in (*BAD_IDS, None, 1, True, ["a"], {"a": "b"}, b"a/b"):
        with pytest.raises(ParamsError) as caught:
            params.parse(values_with(run_id, (section, key)))
        message = str(caught.value)
        assert message.startswith(f"params.yaml: {section}.{key}: "), run_id
        assert "\n" not in message, run_id


def accepted(run_id: str) -> bool:
    """Whether params take ``run_id`` as a train sweep's."""
    try:
        parsed = params.parse(values_with(run_id, IDS[0], IDS[-1]))
    except ParamsError:
        return False
    assert parsed.train_sweep.id == parsed.test_sweep.trained_correction_from == run_id
    return True


# Few characters, so that accepted ones are found often and each kind of trick is tried.
tricky = st.text(st.sampled_from("aZ09._-/\\~ \n\x00٣é∕"), max_size=8)


@settings(max_examples=600, deadline=None)
@given(st.one_of(tricky, st.text(max_size=90), st.from_regex(params.RunId.__metadata__[0].pattern)))
@example("a" * 80)
@example("..a")
@example("a\n")
def test_every_accepted_id_is_a_folder_in_runs(run_id: str) -> None:
    if accepted(run_id):
        runs = Path(RUNS).resolve()
        folder = run_dir(run_id)
        assert folder.resolve().parent == runs
        assert folder.name == run_id and not run_id.startswith(".")
        assert folder.parts == (RUNS, run_id)


def test_the_property_is_of_ids_that_there_are() -> None:
    assert accepted("a") and accepted("pilot-train.v2_3") and accepted("0") and accepted("a" * 80)
    assert not any(accepted(run_id) for run_id in BAD_IDS)

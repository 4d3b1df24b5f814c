"""The manifest: every branch of its schema, pytyche's rules, atomic writes, checksums."""

import copy
import hashlib
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import get_args

import jsonschema
import pytest

import sbcflow
from sbcflow import files, manifest, params, provenance
from sbcflow.errors import ArtifactError
from sbcflow.sweep.record import write_manifest

ROOT = Path(__file__).parents[2]
SHA = "abc1234" + "0" * 33
DIGEST = "0123456789abcdef" * 4
CALIBRATION = {
    "master_seed": 20260528,
    "n_configs": 12,
    "scales": [20000],
    "generator_family": "v2",
    "sweep_kind": "test",
    "save_samples": True,
    "links": {"trained_correction_from": "2026-05-27T11-00-00Z_abc1234"},
}


def make(**changes):
    arguments = {
        "experiment_id": "2026-05-27T12-34-56Z_abc1234",
        "timestamp": datetime(2026, 5, 27, 12, 34, 56, tzinfo=UTC),
        "git": {"sha": SHA, "dirty": False, "branch": "main"},
        "env": {"python": "3.11.9", "platform": "Linux", "jax": "0.10.0"},
        "params": {"estimator": "hurdle", "model": {"n_knots": 6}},
        "data_provenance": {"kind": "synthetic", "seed": 20260528},
        "capabilities": {
            "calibration": CALIBRATION,
            "sbcflow": {"run_kind": "sweep", "files": {"aggregate.csv": DIGEST}},
        },
    }
    return manifest.build(**{**arguments, **changes})


def edited(place, value):
    """A valid manifest with the value at ``place`` (dotted) replaced, or removed where it is ``...``."""
    document = make()
    *parents, name = place.split(".")
    inner = document
    for parent in parents:
        inner = inner[parent]
    if value is ...:
        del inner[name]
    else:
        inner[name] = value
    return document


def test_a_sweep_manifest_is_as_in_the_contract():
    document = make()
    assert list(document) == manifest.schema()["required"]
    assert document["manifest_schema_version"] == 1
    assert document["timestamp_utc"] == "2026-05-27T12:34:56Z"
    assert document["pytyche"]["calibration"] == CALIBRATION
    manifest.check(document)


def test_times_are_turned_to_utc():
    moment = datetime(2026, 5, 27, 14, 34, 56, tzinfo=timezone(timedelta(hours=2)))
    assert make(timestamp=moment)["timestamp_utc"] == "2026-05-27T12:34:56Z"
    with pytest.raises(ValueError, match="time zone"):
        make(timestamp=datetime(2026, 5, 27))


def test_built_is_what_is_read_back(tmp_path):
    calibration = {**CALIBRATION, "scales": (2000, 20000)}
    document = make(params={"templates": ("a", "b")}, capabilities={"calibration": calibration})
    manifest.write(tmp_path / "manifest.json", document)
    assert manifest.read(tmp_path / "manifest.json") == document
    assert document["params"]["templates"] == ["a", "b"]


@pytest.mark.parametrize("value", [float("nan"), object(), {1}])
def test_a_value_that_json_has_no_form_for_is_refused(value):
    with pytest.raises(ArtifactError, match="manifest: a value has no form in JSON"):
        make(params={"x": value})


@pytest.mark.parametrize(
    ("data_provenance", "capabilities"),
    [
        ({"kind": "external", "hashes": {"hillstrom.csv.gz": DIGEST}}, {"sbcflow": {"run_kind": "analysis"}}),
        ({"kind": "synthetic", "seed": 0}, {}),
        ({"kind": "synthetic", "seed": 1}, {"other": {"free": [1, None]}, "calibration": CALIBRATION}),
    ],
)
def test_other_good_manifests(data_provenance, capabilities):
    manifest.check(make(data_provenance=data_provenance, capabilities=capabilities))


@pytest.mark.parametrize("kind", ["train", "exploratory"])
def test_a_sweep_of_another_kind_has_no_links(kind):
    calibration = {k: v for k, v in CALIBRATION.items() if k != "links"} | {"sweep_kind": kind}
    manifest.check(make(capabilities={"calibration": calibration}))


@pytest.mark.parametrize("place", [f"env.{name}" for name in ("numpy", "jax-cuda12-plugin")])
def test_library_versions_are_optional(place):
    manifest.check(edited(place, "1.0"))


BAD = [
    # top level
    ("manifest_schema_version", ..., "manifest: is missing manifest_schema_version (required: manifest_sch"),
    ("manifest_schema_version", 2, "manifest_schema_version: must be the integer 1; got 2"),
    ("manifest_schema_version", 1.0, "manifest_schema_version: must be the integer 1; got 1.0"),
    ("manifest_schema_version", True, "manifest_schema_version: must be the integer 1; got true"),
    ("experiment_id", ..., "manifest: is missing experiment_id"),
    (
        "experiment_id",
        "pilot",
        "experiment_id: must be {iso8601 utc}_{short sha}, as 2026-05-27T12-34-56Z_ab",
    ),
    ("experiment_id", "2026-05-27T12-34-56Z_abc1234\n", "experiment_id: must be {iso8601 utc}_{short sha}"),
    ("experiment_id", "2026-02-30T12-34-56Z_abc1234", "must be {iso8601 utc}_{short sha}"),
    ("experiment_id", 7, "experiment_id: must be {iso8601 utc}_{short sha}"),
    ("timestamp_utc", ..., "manifest: is missing timestamp_utc"),
    ("timestamp_utc", "2026-05-27 12:34:56", "timestamp_utc: must be an ISO 8601 time in UTC"),
    ("timestamp_utc", "2026-05-27T12:34:56+02:00", "timestamp_utc: must be an ISO 8601 time in UTC"),
    ("timestamp_utc", "2026-05-32T12:34:56Z", "timestamp_utc: '2026-05-32T12:34:56Z'"),
    (
        "timestamp_utc",
        None,
        "timestamp_utc: must be an ISO 8601 time in UTC, as 2026-05-27T12:34:56Z; got null",
    ),
    ("params", ..., "manifest: is missing params"),
    ("params", [1], "params: must be an object of the run's settings; got [1]"),
    ("notes", "hi", "manifest: unknown key notes (allowed: manifest_schema_version, experiment_id"),
    # git
    ("git", ..., "manifest: is missing git"),
    ("git", "abc", "git: must be an object {sha, dirty, branch}"),
    ("git.sha", ..., "git: is missing sha (required: sha, dirty, branch)"),
    ("git.sha", 0, "git.sha: must be a commit's full sha"),
    ("git.sha", "abc1234", "git.sha: must be a commit's full sha"),
    ("git.sha", SHA + "0", "git.sha: must be a commit's full sha"),
    ("git.sha", SHA.upper(), "git.sha: must be a commit's full sha"),
    ("git.dirty", ..., "git: is missing dirty"),
    ("git.dirty", 0, "git.dirty: must be true or false"),
    ("git.branch", ..., "git: is missing branch"),
    ("git.branch", None, "git.branch: must be a branch's name"),
    ("git.remote", "x", "git: unknown key remote (allowed: sha, dirty, branch)"),
    # env
    ("env", ..., "manifest: is missing env"),
    ("env", [], "env: must be an object {python, platform, <library>: version}"),
    ("env.python", ..., "env: is missing python"),
    ("env.python", 3.11, "env.python: must be a version"),
    ("env.platform", ..., "env: is missing platform"),
    ("env.jax", "", "env.jax: must be a version"),
    ("env.jax", None, "env.jax: must be a version"),
    # data_provenance
    ("data_provenance", ..., "manifest: is missing data_provenance"),
    (
        "data_provenance",
        "synthetic",
        "data_provenance: must be {kind: synthetic, seed: integer} or {kind: ext",
    ),
    ("data_provenance", {}, "data_provenance: must be {kind: synthetic, seed: integer} or {kind: external"),
    ("data_provenance", {"kind": "real"}, "data_provenance: must be {kind: synthetic, seed: integer} or"),
    ("data_provenance", {"kind": "synthetic"}, "data_provenance: is missing seed (required: kind, seed)"),
    ("data_provenance.seed", 1.0, "data_provenance.seed: must be an integer, at least 0; got 1.0"),
    ("data_provenance.seed", True, "data_provenance.seed: must be an integer, at least 0; got true"),
    ("data_provenance.seed", -1, "data_provenance.seed: must be an integer, at least 0; got -1"),
    ("data_provenance.hashes", {"a": DIGEST}, "data_provenance: unknown key hashes (allowed: kind, seed)"),
    ("data_provenance", {"kind": "external"}, "data_provenance: is missing hashes"),
    (
        "data_provenance",
        {"kind": "external", "hashes": {}},
        "data_provenance.hashes: must be an object {name",
    ),
    (
        "data_provenance",
        {"kind": "external", "hashes": [DIGEST]},
        "data_provenance.hashes: must be an object",
    ),
    (
        "data_provenance",
        {"kind": "external", "hashes": {"a": "x"}},
        "data_provenance.hashes.a: must be a SHA-",
    ),
    (
        "data_provenance",
        {"kind": "external", "hashes": {"a": DIGEST}, "seed": 1},
        "unknown key seed (allowed:",
    ),
    # pytyche
    ("pytyche", ..., "manifest: is missing pytyche"),
    ("pytyche", [], "pytyche: must be an object with one object a capability"),
    ("pytyche.other", 1, "pytyche.other: must be an object: what one capability says of the run; got 1"),
    ("pytyche.sbcflow", 1, "pytyche.sbcflow: must be an object"),
    (
        "pytyche.sbcflow.run_kind",
        "sweeps",
        "pytyche.sbcflow.run_kind: must be one of sweep, corrections, eva",
    ),
    ("pytyche.sbcflow.files", [], "pytyche.sbcflow.files: must be an object {relative name: sha256}"),
    ("pytyche.sbcflow.files", {"a": 1}, "pytyche.sbcflow.files.a: must be a SHA-256"),
    (
        "pytyche.sbcflow.files",
        {"a": "b"},
        "pytyche.sbcflow.files.a: must be a SHA-256, 64 lower-case hex dig",
    ),
    ("pytyche.sbcflow.seal", "x", "pytyche.sbcflow.seal: must be a SHA-256, 64 lower-case hex digits"),
    ("pytyche.sbcflow.seal", None, "pytyche.sbcflow.seal: must be a SHA-256, 64 lower-case hex digits"),
    # pytyche.calibration
    ("pytyche.calibration", "x", "pytyche.calibration: must be an object that describes a sweep"),
    *[
        (f"pytyche.calibration.{name}", ..., f"pytyche.calibration: is missing {name}")
        for name in ("master_seed", "n_configs", "scales", "generator_family", "sweep_kind", "save_samples")
    ],
    (
        "pytyche.calibration.master_seed",
        "1",
        "pytyche.calibration.master_seed: must be an integer, at least 0",
    ),
    (
        "pytyche.calibration.master_seed",
        -1,
        "pytyche.calibration.master_seed: must be an integer, at least 0",
    ),
    ("pytyche.calibration.n_configs", 0, "pytyche.calibration.n_configs: must be an integer, at least 1"),
    ("pytyche.calibration.n_configs", 1.5, "pytyche.calibration.n_configs: must be an integer, at least 1"),
    ("pytyche.calibration.scales", 20000, "pytyche.calibration.scales: must be a list of distinct numbers"),
    ("pytyche.calibration.scales", [], "pytyche.calibration.scales: must be a list of distinct numbers"),
    ("pytyche.calibration.scales", [5, 5], "pytyche.calibration.scales: must be a list of distinct numbers"),
    ("pytyche.calibration.scales", [5, 0], "pytyche.calibration.scales[1]: must be an integer, at least 1"),
    (
        "pytyche.calibration.generator_family",
        "v3",
        "generator_family: must be v2, prior, or one of the user's own",
    ),
    (
        "pytyche.calibration.generator_family",
        3,
        "generator_family: must be v2, prior, or one of the user's own",
    ),
    ("pytyche.calibration.sweep_kind", "dev", "sweep_kind: must be one of train, test, exploratory"),
    ("pytyche.calibration.save_samples", "yes", "pytyche.calibration.save_samples: must be true or false"),
    (
        "pytyche.calibration.note",
        "x",
        "pytyche.calibration: unknown key note (allowed: master_seed, n_configs",
    ),
    ("pytyche.calibration.links", ..., "pytyche.calibration: is missing links (required: links)"),
    (
        "pytyche.calibration.links",
        "x",
        "pytyche.calibration.links: must be an object {trained_correction_from}",
    ),
    ("pytyche.calibration.links", {}, "pytyche.calibration.links: is missing trained_correction_from"),
    (
        "pytyche.calibration.links.more",
        1,
        "pytyche.calibration.links: unknown key more (allowed: trained_cor",
    ),
    (
        "pytyche.calibration.links.trained_correction_from",
        "pilot-train",
        "pytyche.calibration.links.trained_correction_from: must be {iso8601 utc}_{short sha}",
    ),
    (
        "pytyche.calibration.sweep_kind",
        "train",
        "pytyche.calibration.links: must be left out: only a test sweep has links",
    ),
]


@pytest.mark.parametrize(("place", "value", "message"), BAD)
def test_each_fault_is_named_with_what_is_allowed(place, value, message):
    with pytest.raises(ArtifactError) as caught:
        manifest.check(edited(place, value))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("document", [None, [], "x", 1])
def test_what_is_no_object(document):
    with pytest.raises(ArtifactError, match="manifest: must be a JSON object"):
        manifest.check(document)


def test_a_misspelled_key_is_named_before_the_one_it_was_meant_to_be():
    document = edited("params", ...) | {"parms": {}}
    with pytest.raises(ArtifactError, match="unknown key parms"):
        manifest.check(document)


def test_every_fault_of_the_schema_has_a_bad_example():
    """Each keyword of the schema that can fail, at each place, is made to fail by some row of BAD."""
    failed = set()
    for place, value, _ in BAD:
        for error in manifest._validator().iter_errors(edited(place, value)):
            for fault in [error, *(error.context or [])]:
                failed.add((fault.schema.get("description"), fault.validator))
    asserted = set()
    for node in _nodes(manifest.schema()):
        for keyword in node.keys() & ASSERTIONS:
            if keyword != "additionalProperties" or node[keyword] is False:
                asserted.add((node.get("description"), keyword))
    failed.add(("a JSON object with the keys of an experiment manifest", "type"))  # test_what_is_no_object
    condition = {(None, "const"), (None, "enum")}  # of an "if", which never fails a manifest by itself
    assert asserted - failed - condition == set()


ASSERTIONS = {
    *("type", "const", "enum", "pattern", "required", "additionalProperties", "minimum", "minLength"),
    *("minItems", "uniqueItems", "minProperties", "oneOf", "not"),
}


def _nodes(node):
    if isinstance(node, dict):
        if "properties" in node or node.keys() & ASSERTIONS:
            yield node
        for key, inner in node.items():
            if key not in ("required", "enum", "const"):
                yield from _nodes(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from _nodes(inner)


def test_the_document_in_docs_is_the_one_in_use():
    packaged = Path(sbcflow.__file__).parent / "schemas" / manifest.SCHEMA_FILE
    assert (ROOT / "docs/specs" / manifest.SCHEMA_FILE).read_bytes() == packaged.read_bytes()


def test_the_document_is_a_sound_draft_2020_12_schema():
    assert manifest.schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(manifest.schema())


def test_names_in_the_document_are_those_of_the_code():
    document = manifest.schema()
    calibration = document["$defs"]["calibration"]["properties"]
    assert document["properties"]["experiment_id"]["pattern"] == provenance.ID_PATTERN
    families = re.compile(calibration["generator_family"]["pattern"])
    assert all(families.search(name) for name in (*params.GENERATOR_FAMILIES, "mine:family", "a.b:c"))
    assert not any(families.search(name) for name in ("v3", "v2:", "mine", "9:x", "mine:family:x"))
    assert calibration["sweep_kind"]["enum"] == list(get_args(params.SweepKind))
    kinds = document["$defs"]["sbcflow"]["properties"]["run_kind"]["enum"]
    assert kinds == list(get_args(manifest.RunKind))


@pytest.mark.parametrize(
    "data_provenance",
    [{"kind": "synthetic", "seed": 3}, {"kind": "external", "hashes": {"a.csv": DIGEST}}],
)
def test_pytyche_takes_it(data_provenance):
    """The rules of pytyche 0.2.1's validate_manifest, restated; what is left out there is refused here."""
    required = {
        *("manifest_schema_version", "experiment_id", "timestamp_utc", "git", "env", "params"),
        "data_provenance",
    }
    document = make(data_provenance=data_provenance)
    assert isinstance(document, dict)
    assert required <= document.keys() <= required | {"pytyche"}
    found = document["data_provenance"]
    if found["kind"] == "synthetic":
        assert type(found["seed"]) is int
    else:
        assert found["kind"] == "external"
        assert isinstance(found["hashes"], dict) and found["hashes"]
    for name in required:
        with pytest.raises(ArtifactError, match=f"is missing {name}"):
            manifest.check({k: v for k, v in document.items() if k != name})


def test_write_refuses_a_bad_manifest_and_leaves_the_old(tmp_path):
    path = tmp_path / "manifest.json"
    manifest.write(path, make())
    before = path.read_bytes()
    with pytest.raises(ArtifactError, match=r"manifest\.json: git\.sha: must be"):
        manifest.write(path, edited("git.sha", "x"))
    assert path.read_bytes() == before


def test_an_interrupted_write_leaves_the_old(tmp_path, monkeypatch):
    path = tmp_path / "manifest.json"
    manifest.write(path, make())
    before = path.read_bytes()

    def fail(*_):
        raise OSError("killed")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="killed"):
        manifest.write(path, make(params={}))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["manifest.json"]


def test_read_names_the_file(tmp_path):
    path = tmp_path / "manifest.json"
    with pytest.raises(ArtifactError, match=r"manifest\.json: no such file"):
        manifest.read(path)
    path.write_text("{")
    with pytest.raises(ArtifactError, match=r"manifest\.json: not JSON"):
        manifest.read(path)
    path.write_text(json.dumps(edited("params", ...)))
    with pytest.raises(ArtifactError, match=r"manifest\.json: manifest: is missing params"):
        manifest.read(path)


def on_disk(path) -> dict:
    return json.loads(path.read_text())


@pytest.mark.parametrize("capabilities", [{"calibration": CALIBRATION}, {"sbcflow": {}}, {}])
def test_every_manifest_is_sealed_when_it_is_written(tmp_path, capabilities):
    path = tmp_path / "manifest.json"
    document = make(capabilities=capabilities)
    before = copy.deepcopy(document)
    manifest.write(path, document)
    assert document == before
    assert on_disk(path)["pytyche"]["sbcflow"] == {"seal": manifest.seal(document)}
    assert {k: v for k, v in on_disk(path).items() if k != "pytyche"}.items() <= document.items()
    assert manifest.read(path)["pytyche"] == {k: v for k, v in document["pytyche"].items() if v}
    assert manifest.is_intact(path, manifest.read(path))


def test_what_was_read_is_written_to_the_same_bytes(tmp_path):
    manifest.write(tmp_path / "manifest.json", make())
    before = (tmp_path / "manifest.json").read_bytes()
    manifest.write(tmp_path / "manifest.json", manifest.read(tmp_path / "manifest.json"))
    assert (tmp_path / "manifest.json").read_bytes() == before
    manifest.write(tmp_path / "manifest.json", on_disk(tmp_path / "manifest.json"))
    assert (tmp_path / "manifest.json").read_bytes() == before


def test_the_seal_is_of_canonical_json():
    """Known answer: anybody can make the seal from the manifest alone."""
    document = make()
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    expected = hashlib.sha256(text.encode("ascii")).hexdigest()
    assert manifest.seal(document) == expected
    sealed = edited("pytyche.sbcflow.seal", "0" * 64)
    assert manifest.seal(sealed) == expected
    assert manifest.seal(dict(reversed(document.items()))) == expected


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("experiment_id", "2026-05-27T12-34-57Z_abc1234"),
        ("git.branch", "main2"),
        ("env.python", "3.11.8"),
        ("params", {}),
        ("data_provenance.seed", 20260529),
        ("pytyche.calibration.master_seed", 20260529),
        ("pytyche.sbcflow.run_kind", ...),
        ("pytyche.sbcflow.files", {}),
        ("pytyche.sbcflow.note", "x"),
        ("pytyche.sbcflow.seal", "0" * 64),
        ("pytyche.other", {}),
    ],
)
def test_an_altered_manifest_is_not_read(tmp_path, place, value):
    path = tmp_path / "manifest.json"
    manifest.write(path, make())
    seal = on_disk(path)["pytyche"]["sbcflow"]["seal"]
    altered = edited(place, value)
    altered["pytyche"]["sbcflow"].setdefault("seal", seal)
    path.write_text(json.dumps(altered))
    message = f"{path}: was altered after it was written: its pytyche.sbcflow.seal does not match"
    with pytest.raises(ArtifactError, match=f"^{re.escape(message)}$"):
        manifest.read(path)


def test_a_manifest_without_a_seal_is_read(tmp_path):
    """One of pytyche's own, or of a version that knew of no seals."""
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(make()))
    assert manifest.read(path) == make()
    assert not manifest.is_intact(path, manifest.read(path))


def test_a_manifest_in_other_bytes_is_read_but_is_not_intact(tmp_path):
    path = tmp_path / "manifest.json"
    manifest.write(path, make(params={"x": 1e-05}))
    path.write_bytes(path.read_bytes().replace(b"1e-05", b"1E-05"))
    assert manifest.read(path) == make(params={"x": 1e-05})
    assert not manifest.is_intact(path, manifest.read(path))


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """A run of the pipeline with its manifest; returns what writes the manifest again."""
    monkeypatch.chdir(tmp_path)
    files.write_json("runs/pilot/scorecard.json", {})
    monkeypatch.setattr("sbcflow.sweep.record.environment", lambda: {"python": "3", "platform": "x"})
    again = partial(write_manifest, "pilot", "evaluation", params={"x": 1e-05}, seed=1, links={"a": "b"})
    again()
    monkeypatch.setattr("sbcflow.sweep.record.environment", lambda: {"python": "4", "platform": "y"})
    return again


def test_an_unchanged_run_keeps_its_manifest_seal_included(recorded):
    before = Path("runs/pilot/manifest.json").read_bytes()
    assert recorded() == json.loads(before)["experiment_id"]
    assert Path("runs/pilot/manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes().replace(b"1e-05", b"1E-05")),
        lambda path: files.write_json(path, manifest.read(path)),
    ],
    ids=["respelled", "unsealed"],
)
def test_a_run_s_manifest_that_is_not_intact_is_written_anew_under_its_id(recorded, spoil):
    path = Path("runs/pilot/manifest.json")
    former = manifest.read(path)
    spoil(path)
    assert recorded() == former["experiment_id"]
    assert manifest.is_intact(path, manifest.read(path))
    assert manifest.read(path) == former | {"env": {"python": "4", "platform": "y"}}


def test_file_checksums_cover_all_but_the_manifest_and_hidden_files(tmp_path):
    names = [
        "aggregate.csv",
        "configs/0000-aaaaaaaa/summary.json",
        "dvclive/metrics.tsv",
        "sub/manifest.json",
    ]
    hidden = [".summary.json.1a2b.tmp", "configs/.snakemake_timestamp", ".dvclive.1a.tmp/metrics.json"]
    for name in [*names, *hidden, "manifest.json"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert manifest.file_checksums(tmp_path) == dict.fromkeys(sorted(names), digest)


def test_capability(tmp_path):
    (tmp_path / "scorecard.csv").write_text("abc")
    about = manifest.capability("evaluation", tmp_path, note=1)
    assert about == {"run_kind": "evaluation", "files": manifest.file_checksums(tmp_path), "note": 1}
    manifest.check(make(capabilities={"sbcflow": about}))


def test_building_takes_nothing_from_its_arguments():
    calibration = copy.deepcopy(CALIBRATION)
    document = make(capabilities={"calibration": calibration})
    document["pytyche"]["calibration"]["scales"].append(1)
    assert calibration == CALIBRATION

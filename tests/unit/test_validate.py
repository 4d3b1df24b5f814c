"""``validate`` on run folders of every kind: sound ones pass, each planted fault is found and named."""

import csv
import random
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sbcflow import files, manifest
from sbcflow.levels import LEVELS, coverage_column, coverage_metric
from sbcflow.validate import validate

TRAIN_ID = "2026-05-27T11-00-00Z_abc1234"
TEST_ID = "2026-05-27T12-00-00Z_abc1234"
SCORES = ("rmse", "bias", "mean_width_90", "interval_score_90", "crps")


def write_manifest(root: Path, kind: str, experiment_id: str = TEST_ID, provenance=None, **capabilities):
    document = manifest.build(
        experiment_id=experiment_id,
        timestamp=datetime(2026, 5, 27, 12, tzinfo=UTC),
        git={"sha": "abc1234" + "0" * 33, "dirty": False, "branch": "main"},
        env={"python": "3.11.9", "platform": "Linux"},
        params={"tolerance": 1e-05, "names": ["é"]},
        data_provenance=provenance or {"kind": "synthetic", "seed": 2},
        capabilities={"sbcflow": manifest.capability(kind, root), **capabilities},
    )
    manifest.write(root / "manifest.json", document)


def calibration(sweep_kind="test", master_seed=2, **changes):
    links = {"links": {"trained_correction_from": TRAIN_ID}} if sweep_kind == "test" else {}
    return {
        "master_seed": master_seed,
        "n_configs": 2,
        "scales": [2000, 4000],
        "generator_family": "v2",
        "sweep_kind": sweep_kind,
        "save_samples": sweep_kind == "test",
        **links,
        **changes,
    }


def summary_of(index: int) -> dict:
    key = f"{index + 10:08x}" + "ab" * 28
    metrics = {coverage_metric(level): level * 0.9 for level in LEVELS}
    metrics |= dict.fromkeys(SCORES, 1 / (index + 3))
    return {
        "schema": 1,
        "config_id": f"{index:04d}-{key[:8]}",
        "key": key,
        "config": {
            "index": index,
            "seed": 1000 + index,
            "n_visitors": [2000, 4000][index % 2],
            "generator_family": "v2",
            "template": "constant",
            "knobs": {},
        },
        "metrics": metrics,
        "diagnostics": {"converged": True},
        "timings": {"wall_seconds": 1.5},
        "device": "cpu",
        "versions": {"jax": "0.10.0"},
        "draws_sha256": None,
    }


def row_of(summary: dict) -> dict:
    config = summary["config"]
    return {
        "config_id": summary["config_id"],
        "config_seed": config["seed"],
        "n_visitors": config["n_visitors"],
        "generator_family": config["generator_family"],
        "template": config["template"],
        **{f"metrics.{name}": value for name, value in summary["metrics"].items()},
        "diagnostics.converged": True,
        "wall_seconds": 1.5,
    }


def write_config(root: Path, summary: dict, save_samples: bool) -> None:
    folder = root / "configs" / summary["config_id"]
    if save_samples:
        draws = np.full((5, 7), summary["config"]["index"], dtype=np.float32)
        files.write_npz(folder / "draws.npz", draws=draws, truth=np.zeros(5), covariates=np.zeros((5, 2)))
        summary["draws_sha256"] = files.sha256_of(folder / "draws.npz")
    files.write_json(folder / "summary.json", summary)


def write_table(path: Path, rows: list[dict], delimiter: str = ",") -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_sweep(root: Path, sweep_kind="test", experiment_id=TEST_ID, master_seed=2, **changes) -> Path:
    root.mkdir(parents=True)
    about = calibration(sweep_kind, master_seed, **changes)
    summaries = [summary_of(index) for index in range(4)]
    for summary in summaries:
        write_config(root, summary, about["save_samples"])
    write_table(root / "aggregate.csv", [row_of(summary) for summary in summaries])
    steps = [{"step": i, "config_id": s["config_id"]} for i, s in enumerate(summaries)]
    write_table(root / "dvclive/metrics.tsv", steps, "\t")
    files.write_json(root / "dvclive/metrics.json", {"step": 3})
    files.write_text(root / "dvclive/params.yaml", "config_seed: []\n")
    provenance = {"kind": "synthetic", "seed": master_seed}
    write_manifest(root, "sweep", experiment_id, provenance, calibration=about)
    return root


def resign(root: Path, **calibration_changes) -> None:
    """Write the manifest anew over what now lies in the folder: the checksums then hold."""
    document = manifest.read(root / "manifest.json")
    document["pytyche"]["sbcflow"]["files"] = manifest.file_checksums(root)
    document["pytyche"].get("calibration", {}).update(calibration_changes)
    manifest.write(root / "manifest.json", document)


def edit_json(path: Path, **changes) -> None:
    files.write_json(path, {**files.read_json(path), **changes})


def edit_table(path: Path, edit) -> None:
    table = pd.read_csv(path, dtype=str, keep_default_na=False, sep="\t" if path.suffix == ".tsv" else ",")
    edit(table).to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")


@pytest.fixture
def runs(tmp_path):
    write_sweep(tmp_path / "train", "train", TRAIN_ID, master_seed=1)
    write_sweep(tmp_path / "test")
    return tmp_path


@pytest.fixture
def sweep(runs):
    return runs / "test"


CONFIG = "configs/0001-0000000b"


def problems(path) -> str:
    """The problems found, which must be some, each one line that names a file under ``path``."""
    report = validate(path)
    assert not report.ok
    for problem in report.problems:
        assert "\n" not in problem
        assert str(path) in problem
    return "\n".join(report.problems)


def test_sound_sweeps(runs):
    for name in ("train", "test"):
        report = validate(runs / name)
        assert report.problems == ()
        assert report.ok
        assert report.notes == ()
        assert "manifest against its schema" in report.checked
    assert "link to the train sweep" in report.checked


def test_validating_changes_nothing(sweep):
    before = manifest.file_checksums(sweep)
    edit_json(sweep / CONFIG / "summary.json", key="x")
    altered = manifest.file_checksums(sweep)
    validate(sweep)
    assert manifest.file_checksums(sweep) == altered != before


def test_a_manifest_alone(sweep):
    shutil.rmtree(sweep / "configs")
    report = validate(sweep / "manifest.json")
    assert report.ok
    assert report.checked == ("manifest against its schema", "seal of the manifest")


def test_a_relative_path(sweep, monkeypatch):
    monkeypatch.chdir(sweep)
    assert validate(".").ok
    assert validate("manifest.json").ok


def test_nothing_there(tmp_path):
    assert "nowhere: no such file or folder" in problems(tmp_path / "nowhere")


def test_a_folder_without_a_manifest(tmp_path):
    assert "manifest.json: no such file" in problems(tmp_path)


@pytest.mark.parametrize("text", ["{", "[]", '{"pytyche": {}}'])
def test_a_bad_manifest(sweep, text):
    (sweep / "manifest.json").write_text(text)
    assert "manifest.json: " in problems(sweep)


def test_a_flipped_bit_is_found(sweep):
    for name in manifest.file_checksums(sweep):
        content = bytearray((sweep / name).read_bytes())
        content[len(content) // 2] ^= 1
        (sweep / name).write_bytes(content)
        assert f"{sweep / name}: was changed: its sha256 must be" in problems(sweep)
        content[len(content) // 2] ^= 1
        (sweep / name).write_bytes(content)
    assert validate(sweep).ok


@pytest.mark.parametrize("place", ["sweep", "sweep/manifest.json"])
@pytest.mark.parametrize(
    ("old", "new"),
    [(b"1e-05", b"1E-05"), (b"\n", b" "), (b"  ", b"\t "), (b'"\n}', b'"}\n'), ("é".encode(), b"\\u00e9")],
)
def test_a_manifest_that_says_the_same_in_other_bytes(tmp_path, place, old, new):
    path = write_sweep(tmp_path / "sweep", "train") / "manifest.json"
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    assert manifest.read(path)["params"] == {"tolerance": 1e-05, "names": ["é"]}
    assert "must be, to the byte, what was written under pytyche.sbcflow.seal" in problems(tmp_path / place)


@pytest.mark.parametrize("place", ["sweep", "sweep/manifest.json"])
def test_a_manifest_without_a_seal(tmp_path, place):
    path = write_sweep(tmp_path / "sweep", "train") / "manifest.json"
    files.write_json(path, manifest.read(path))
    (problem,) = validate(tmp_path / place).problems
    assert problem.startswith(f"{path}: must be, to the byte, what was written under pytyche.sbcflow.seal; ")
    assert problem.endswith("making the run again seals it")


@pytest.mark.parametrize("place", ["sweep", "sweep/manifest.json"])
@pytest.mark.parametrize("edit", [{"timestamp_utc": "2026-05-27T12:00:01Z"}, {"params": {}}])
def test_an_edited_manifest(tmp_path, place, edit):
    path = write_sweep(tmp_path / "sweep", "train") / "manifest.json"
    edit_json(path, **edit)
    (problem,) = validate(tmp_path / place).problems
    message = "was altered after it was written: its pytyche.sbcflow.seal does not match"
    assert problem == f"{path}: {message}"


def test_a_manifest_with_a_number_beyond_all_floats(sweep):
    path = sweep / "manifest.json"
    path.write_bytes(path.read_bytes().replace(b"1e-05", b"1e+999"))
    assert "manifest.json: a value has no form in JSON" in problems(sweep)


def test_a_missing_and_an_unlisted_file(sweep):
    (sweep / "dvclive/params.yaml").rename(sweep / "dvclive/other.yaml")
    found = problems(sweep)
    assert "dvclive/params.yaml: is missing; the manifest lists it" in found
    assert "dvclive/other.yaml: is not listed in the manifest" in found
    assert "dvclive/params.yaml: no such file; a run of the kind sweep has it" in found


def test_hidden_leftovers_are_no_part_of_a_run(sweep):
    (sweep / CONFIG / ".summary.json.12ab.tmp").write_text("{")
    (sweep / "configs/.snakemake_timestamp").touch()
    assert validate(sweep).ok


def test_a_truncated_summary_is_named(sweep):
    path = sweep / CONFIG / "summary.json"
    path.write_text(path.read_text()[:100])
    assert f"{CONFIG}/summary.json: not JSON, truncated or altered" in problems(sweep)


@pytest.mark.parametrize("key", ["run_kind", "files"])
def test_what_a_folder_needs_of_its_manifest(sweep, key):
    document = manifest.read(sweep / "manifest.json")
    del document["pytyche"]["sbcflow"][key]
    manifest.write(sweep / "manifest.json", document)
    assert f"manifest.json: pytyche.sbcflow.{key} is missing" in problems(sweep)


@pytest.mark.parametrize("name", ["calibration", "sbcflow"])
def test_a_capability_that_is_missing(sweep, name):
    document = manifest.read(sweep / "manifest.json")
    del document["pytyche"][name]
    manifest.write(sweep / "manifest.json", document)
    assert f"manifest.json: pytyche.{name}" in problems(sweep)


def test_a_seed_of_another_sweep(sweep):
    resign(sweep, master_seed=3)
    message = "data_provenance is {'kind': 'synthetic', 'seed': 2}; must be {'kind': 'synthetic', 'seed': 3}"
    assert message in problems(sweep)


# The faults below pass the checksums: a writer made them, not an editor.


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"key": "ff" * 32}, f"key is '{'ff' * 32}'; must begin as its folder says"),
        ({"key": "0000000b"}, "key is '0000000b'; must be 64 lower-case hex digits"),
        ({"config_id": "0002-0000000b"}, "config_id is '0002-0000000b'; must be '0001-0000000b'"),
        ({"config": {}}, "config.index is None; must be 1"),
        ({"config": {"index": 2}}, "config.index is 2; must be 1"),
        ({"config": {"n_visitors": 7}}, "config.n_visitors is 7; must be one of [2000, 4000]"),
        ({"config": {"generator_family": "prior"}}, "generator_family is 'prior'; must be 'v2'"),
        ({"draws_sha256": "0" * 64}, "(draws_sha256 of summary.json) is '"),
        ({"draws_sha256": None}, "(draws_sha256 of summary.json) is '"),
        ({"metrics": {}}, "metrics.coverage_90 of 0001-0000000b is '0.81'; its summary.json says None"),
        ({"metrics": {"rmse": 2.5}}, "metrics.rmse of 0001-0000000b is '0.25'; its summary.json says 2.5"),
        ({"config": {"seed": 5}}, "config_seed of 0001-0000000b is '1001'; its summary.json says 5"),
    ],
)
def test_a_summary_that_does_not_fit(sweep, changes, message):
    edit_json(sweep / CONFIG / "summary.json", **changes)
    resign(sweep)
    assert message in problems(sweep)


@pytest.mark.parametrize("content", [[], "x", None, {"config": 1, "metrics": []}])
def test_a_summary_of_another_shape(sweep, content):
    files.write_json(sweep / CONFIG / "summary.json", content)
    resign(sweep)
    assert f"{CONFIG}/summary.json: is missing schema, " in problems(sweep)


def test_a_summary_whose_parts_have_another_shape(sweep):
    edit_json(sweep / CONFIG / "summary.json", config=[], metrics=3, key=None)
    resign(sweep)
    assert "config.index is None; must be 1" in problems(sweep)


@pytest.mark.parametrize("key", ["schema", "key", "diagnostics", "draws_sha256"])
def test_a_summary_lacks_a_key(sweep, key):
    summary = files.read_json(sweep / CONFIG / "summary.json")
    del summary[key]
    files.write_json(sweep / CONFIG / "summary.json", summary)
    resign(sweep)
    assert f"{CONFIG}/summary.json: is missing {key}" in problems(sweep)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"draws": np.zeros((3, 4))}, "must hold draws (n_test, n_draws) and truth (n_test,)"),
        ({"draws": np.zeros(3), "truth": np.zeros(3)}, "must hold draws"),
        ({"draws": np.zeros((3, 4)), "truth": np.zeros(4)}, "must hold draws"),
    ],
)
def test_draws_of_another_shape(sweep, arrays, message):
    files.write_npz(sweep / CONFIG / "draws.npz", **arrays)
    edit_json(sweep / CONFIG / "summary.json", draws_sha256=files.sha256_of(sweep / CONFIG / "draws.npz"))
    resign(sweep)
    assert message in problems(sweep)


def test_draws_that_are_truncated(sweep):
    path = sweep / CONFIG / "draws.npz"
    path.write_bytes(path.read_bytes()[:-30])
    assert f"{CONFIG}/draws.npz: not a sound npz" in problems(sweep)


def test_draws_are_there_exactly_where_they_are_kept(runs):
    (runs / "test" / CONFIG / "draws.npz").rename(runs / "train" / CONFIG / "draws.npz")
    resign(runs / "test")
    resign(runs / "train")
    assert "draws.npz: is missing; the sweep's save_samples is true" in problems(runs / "test")
    assert "draws.npz: is there; the sweep's save_samples is false" in problems(runs / "train")


def test_a_config_too_few(sweep):
    shutil.rmtree(sweep / CONFIG)
    resign(sweep)
    found = problems(sweep)
    assert "configs: has the indices 0, 2-3; n_configs x scales of the manifest ask for 0-3" in found
    assert "aggregate.csv: its config_id must be the folders of configs/, in index order" in found


def test_two_keys_of_one_config(sweep):
    shutil.copytree(sweep / CONFIG, sweep / "configs/0001-ffffffff")
    resign(sweep)
    assert "configs: has the indices 0-1, 1-3" in problems(sweep)


def test_a_folder_with_another_name(sweep):
    (sweep / CONFIG).rename(sweep / "configs/one")
    resign(sweep)
    assert "configs: one: not a config's folder; expected <index>-<key8>" in problems(sweep)


def test_counts_of_the_manifest(sweep):
    resign(sweep, n_configs=3)
    found = problems(sweep)
    assert "aggregate.csv: has 4 rows; n_configs x scales of the manifest are 6" in found
    assert "configs: has the indices 0-3; n_configs x scales of the manifest ask for 0-5" in found
    assert "number of rows at 2000 visitors is 2; must be 3" in found


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t[:-1], "has 3 rows; n_configs x scales of the manifest are 4"),
        (lambda t: t[:0], "has no row; a sweep has one a config"),
        (lambda t: t[::-1], "its config_id must be the folders of configs/, in index order"),
        (lambda t: t.drop(columns="metrics.crps"), "has no column metrics.crps"),
        (lambda t: t.drop(columns="config_id"), "has no column config_id"),
        (lambda t: t.drop(columns=coverage_column(0.975)), "has no column metrics.coverage_975"),
        (lambda t: t.assign(**{"metrics.coverage_90": "1.01"}), "is '1.01'; a coverage lies in [0, 1]"),
        (lambda t: t.assign(**{"metrics.coverage_90": "-0.1"}), "is '-0.1'; a coverage lies in [0, 1]"),
        (lambda t: t.assign(**{"metrics.coverage_90": ""}), "is ''; a coverage lies in [0, 1]"),
        (lambda t: t.assign(**{"metrics.coverage_90": "nan"}), "is 'nan'; a coverage lies in [0, 1]"),
        (lambda t: t.assign(**{"metrics.coverage_90": "0.9"}), "is '0.9'; its summary.json says 0.81"),
        (lambda t: t.assign(n_visitors="2000"), "number of rows at 2000 visitors is 4; must be 2"),
        (lambda t: t.assign(generator_family="prior"), "is 'prior'; its summary.json says 'v2'"),
    ],
)
def test_an_aggregate_that_does_not_fit(sweep, edit, message):
    edit_table(sweep / "aggregate.csv", edit)
    resign(sweep)
    assert message in problems(sweep)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'"', b"a,b\n1\n"])
def test_an_aggregate_that_is_no_table(sweep, content):
    (sweep / "aggregate.csv").write_bytes(content)
    resign(sweep)
    assert "aggregate.csv: " in problems(sweep)


def test_a_truncated_last_row(sweep):
    text = (sweep / "aggregate.csv").read_text()
    (sweep / "aggregate.csv").write_text(text[:-40])
    resign(sweep)
    assert "aggregate.csv: truncated or altered: every row must have" in problems(sweep)


@pytest.mark.parametrize("edit", [lambda t: t[:-1], lambda t: t[::-1], lambda t: t.drop(columns="config_id")])
def test_dvclive_tells_the_same_configs(sweep, edit):
    edit_table(sweep / "dvclive/metrics.tsv", edit)
    resign(sweep)
    assert "dvclive/metrics.tsv: its config_id must be those of aggregate.csv, in that order" in problems(
        sweep
    )


def test_a_link_to_no_run_beside(runs):
    document = manifest.read(runs / "train/manifest.json") | {"experiment_id": "2026-05-27T11-00-01Z_abc1234"}
    manifest.write(runs / "train/manifest.json", document)
    message = (
        f"trained_correction_from is {TRAIN_ID}; must be one of the runs beside it: 2026-05-27T11-00-01Z"
    )
    assert message in problems(runs / "test")


def test_a_link_to_a_run_that_is_no_train_sweep(runs):
    shutil.rmtree(runs / "train")
    write_sweep(runs / "train", "exploratory", TRAIN_ID, master_seed=1)
    assert f"{TRAIN_ID}; that run must be a train sweep" in problems(runs / "test")


def test_a_train_sweep_of_the_same_seed(runs):
    shutil.rmtree(runs / "train")
    write_sweep(runs / "train", "train", TRAIN_ID, master_seed=2)
    assert f"pytyche.calibration.master_seed is 2; {TRAIN_ID} has it too" in problems(runs / "test")


def test_a_link_that_cannot_be_followed_is_a_note(runs):
    shutil.rmtree(runs / "train")
    report = validate(runs / "test")
    assert report.ok
    (note,) = report.notes
    assert f"trained_correction_from ({TRAIN_ID}) was not followed" in note


def write_corrections(root: Path) -> Path:
    from sbcflow.calibration.coverage_curve import CoverageCurve
    from sbcflow.calibration.layered import LayeredCorrection
    from sbcflow.calibration.regime import Range, Regime
    from sbcflow.calibration.scale_family import ScaleFamily

    actual = tuple(0.9 * level for level in LEVELS)
    correction = LayeredCorrection(
        curve=CoverageCurve(LEVELS, actual, actual, actual, n_fits=24, n_bootstrap=100, seed=1),
        scale=ScaleFamily(0.9, LEVELS[-1], actual[-1], actual[-1], 288, 24, True, ""),
        regime=Regime(*[Range(1.0, 2.0)] * 4),
        trained_on=TRAIN_ID,
        n_excluded=0,
    )
    for name, content in correction.to_files().items():
        files.write_json(root / name, content)
    write_manifest(root, "corrections")
    return root


def test_corrections(tmp_path):
    root = write_corrections(tmp_path / "corrections")
    assert validate(root).problems == ()
    edit_json(root / "coverage_correction.json", y_values=[0.5])
    resign(root)
    assert "coverage_correction.json: " in problems(root)


def test_corrections_of_an_unknown_method(tmp_path):
    root = write_corrections(tmp_path / "corrections")
    edit_json(root / "scale_family_correction.json", fit_method="guess")
    resign(root)
    assert "scale_family_correction.json: fit_method must be gaussian_scale_lsq" in problems(root)


def test_a_correction_by_regime_that_cannot_be(tmp_path):
    root = write_corrections(tmp_path / "corrections")
    files.write_json(root / "regime_correction.json", {"schema_version": 2})
    write_manifest(root, "corrections")
    assert "regime_correction.json: schema_version must be 1, got 2" in problems(root)


def write_evaluation(root: Path) -> Path:
    root.mkdir()
    write_table(root / "scorecard.csv", [{"level": 0.9, "method": "raw", "coverage": 0.85}])
    files.write_json(root / "scorecard.json", {"verdict": "no better than raw"})
    write_manifest(root, "evaluation")
    return root


def test_an_evaluation(tmp_path):
    root = write_evaluation(tmp_path / "evaluation")
    assert validate(root).problems == ()
    (root / "scorecard.csv").write_text("level,method\n")
    (root / "scorecard.json").write_text("[]")
    resign(root)
    found = problems(root)
    assert "scorecard.csv: has no row" in found
    assert "scorecard.json: must be an object" in found
    (root / "scorecard.json").write_text("{")
    resign(root)
    assert "scorecard.json: not JSON" in problems(root)


def test_an_evaluation_whose_cells_cannot_be_read(tmp_path):
    root = write_evaluation(tmp_path / "evaluation")
    files.write_json(root / "conditional.json", {"schema_version": 1})
    write_table(root / "conditional.csv", [{"target": "visitor"}])
    write_manifest(root, "evaluation")
    assert "conditional.csv: is missing the columns dimension" in problems(root)


def write_analysis(root: Path) -> Path:
    root.mkdir()
    write_table(root / "effects.csv", [{"arm": "mens", "segment": "all", "ate": 0.77}])
    pd.DataFrame({"cate": [0.1, 0.2]}).to_parquet(root / "cate.parquet")
    write_manifest(root, "analysis", provenance={"kind": "external", "hashes": {"h.csv.gz": "ab" * 32}})
    return root


def test_an_analysis(tmp_path):
    root = write_analysis(tmp_path / "analysis")
    assert validate(root).problems == ()
    pd.DataFrame({"cate": []}).to_parquet(root / "cate.parquet")
    (root / "effects.csv").write_text("arm\n")
    write_manifest(root, "analysis")
    found = problems(root)
    assert "cate.parquet: has no row; must have one a visitor" in found
    assert "effects.csv: has no row" in found
    assert "manifest.json: data_provenance.kind is synthetic; an analysis has external data" in found


@pytest.mark.parametrize("content", [b"", b"PAR1", b"x" * 100])
def test_a_parquet_file_that_is_none(tmp_path, content):
    root = write_analysis(tmp_path / "analysis")
    (root / "cate.parquet").write_bytes(content)
    resign(root)
    assert "cate.parquet: not a sound parquet file" in problems(root)


@pytest.mark.parametrize("write", [write_corrections, write_evaluation, write_analysis])
def test_every_kind_misses_its_files(tmp_path, write):
    root = write(tmp_path / "run")
    for name in manifest.file_checksums(root):
        (root / name).rename(tmp_path / "aside")
        assert f"{root / name}: no such file; a run of the kind" in problems(root)
        (tmp_path / "aside").rename(root / name)
    assert validate(root).ok


def test_checking_a_sweep_imports_no_jax(sweep):
    code = "import sys; from sbcflow.validate import validate; assert validate(sys.argv[1]).ok; "
    code += "assert not {'jax', 'numpyro', 'pandas', 'dvclive'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code, str(sweep)], check=True)


WHOLE_UP_TO = 120
SAMPLE = 300


def flipped_places(content: bytes, name: str) -> list[int]:
    """Every byte of a manifest and of what is hardly longer than a line, else a sample drawn by its name."""
    if name == "manifest.json" or len(content) <= WHOLE_UP_TO:
        return list(range(len(content)))
    return sorted(random.Random(name).sample(range(len(content)), min(SAMPLE, len(content))))


def unseen_flips(path: Path, root: Path) -> list[tuple[str, int, int]]:
    """Flip a random bit at places of a file, one at a time; return those that ``validate`` does not find."""
    whole, name = path.read_bytes(), path.name
    draw, unseen = random.Random(f"bits of {name}"), []
    for place in flipped_places(whole, name):
        bit = draw.randrange(8)
        damaged = bytearray(whole)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        if validate(root).ok:
            unseen.append((name, place, bit))
    path.write_bytes(whole)
    return unseen


@pytest.mark.parametrize("write", [write_sweep, write_corrections, write_evaluation, write_analysis])
def test_no_flipped_bit_goes_unseen(tmp_path, write):
    """In every file of a run: a random bit of each byte of manifest.json and of files of up to 120 bytes,
    and of 300 random bytes of every longer one (fixed seed). Some 5,000 flips in a sweep, 1,400 in
    corrections, 900 in an evaluation, 1,200 in an analysis, each checked by ``validate`` itself.
    """
    root = write(tmp_path / "run")
    names = [*manifest.file_checksums(root), "manifest.json"]
    assert len(names) == (13 if write is write_sweep else 3)
    assert [flip for name in names for flip in unseen_flips(root / name, root)] == []
    assert validate(root).ok


def test_no_flipped_bit_of_a_manifest_alone_goes_unseen(tmp_path):
    """Every byte, a random bit each: some 2,200 flips."""
    path = write_sweep(tmp_path / "run") / "manifest.json"
    assert unseen_flips(path, path) == []


def test_flips_would_be_unseen_without_checksums(sweep, monkeypatch):
    """The search for flips can fail: with neither checksums nor seal it does."""
    monkeypatch.setattr("sbcflow.validate.folder._check_checksums", lambda *_: None)
    monkeypatch.setattr("sbcflow.validate.folder._check_seal", lambda *_: None)
    assert unseen_flips(sweep / CONFIG / "summary.json", sweep)

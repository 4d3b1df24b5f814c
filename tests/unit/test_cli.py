"""The command line: what each command prints, its exit code, and that bad input is one line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_examples import ROOT, shop, write_correction, write_params, write_regime_correction

from sbcflow import cli, runtime
from sbcflow.calibration.corrections import Corrections
from sbcflow.calibration.evaluate import TestFit
from sbcflow.calibration.layered import LayeredCorrection
from sbcflow.calibration.scorecard import evaluate, render
from sbcflow.files import write_json, write_npz
from sbcflow.params import EvaluationSettings


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


class Shell:
    """Runs ``sbcflow`` in this process, in a folder of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *arguments: object) -> Answer:
        self._monkeypatch.setattr(sys, "argv", ["sbcflow", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = self._capsys.readouterr()
        code = ended.value.code
        return Answer(int(code) if code is not None else 0, captured.out, captured.err)


@pytest.fixture
def sbcflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.chdir(tmp_path)
    # It sets variables of the whole process, for libraries that tests have imported already.
    monkeypatch.setattr(runtime, "configure", lambda: None)
    return Shell(monkeypatch, capsys)


def _one_line_error(answer: Answer) -> str:
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.startswith("error: ")
    assert answer.err.count("\n") == 1
    return answer.err.removeprefix("error: ").strip()


def test_help_imports_no_heavy_library() -> None:
    code = (
        "import sys; from sbcflow.cli import app\n"
        "try: app(['--help'])\n"
        "finally: print(sorted({'jax', 'numpy', 'pandas', 'pydantic', 'dvc'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "analyze" in done.stdout
    assert done.stdout.rstrip().endswith("[]")


@pytest.mark.parametrize(
    "arguments", [("no-such-command",), ("calibrate",), ("analyze", "--seed", "-1", "x")]
)
def test_bad_usage_exits_with_2(sbcflow: Shell, arguments: tuple[str, ...]) -> None:
    answer = sbcflow(*arguments)
    assert answer.code == 2
    assert "Error" in answer.err and "Traceback" not in answer.err


def test_params_check_shows_each_sweep(sbcflow: Shell, tmp_path: Path) -> None:
    write_params(tmp_path / "params.yaml")
    answer = sbcflow("params", "check")
    assert answer.code == 0
    first, *sweeps = answer.out.splitlines()
    assert first == "params.yaml: ok"
    assert [line.split()[0] for line in sweeps] == ["train_sweep", "test_sweep", "exploratory_sweep"]
    assert "smoke-train: 3 fits (3 configs at each of 800 visitors), family v2" in sweeps[0]


def test_params_check_names_a_bad_key(sbcflow: Shell, tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text().replace("n_configs: 24", "n_config: 24")
    (tmp_path / "other.yaml").write_text(text)
    message = _one_line_error(sbcflow("params", "check", "--params", "other.yaml"))
    assert message.startswith("other.yaml: train_sweep.n_config: unknown key; did you mean n_configs?")


def test_params_apply_puts_a_scenario_in(sbcflow: Shell, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    (tmp_path / "small.yaml").write_text("train_sweep:\n  n_configs: 5\n")
    assert sbcflow("params", "apply", "small.yaml").code == 0
    assert "pilot-train: 5 fits" in sbcflow("params", "check").out
    before = (tmp_path / "params.yaml").read_text()
    (tmp_path / "wrong.yaml").write_text("train_sweep:\n  n_configs: 0\n")
    assert "train_sweep.n_configs" in _one_line_error(sbcflow("params", "apply", "wrong.yaml"))
    assert (tmp_path / "params.yaml").read_text() == before


def test_validate_prints_every_problem_and_exits_with_1(sbcflow: Shell, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text("{}")
    answer = sbcflow("validate", "manifest.json", "nowhere")
    assert answer.code == 1
    lines = answer.out.splitlines()
    assert lines[0].startswith("manifest.json: manifest: is missing")
    assert lines[1].startswith("nowhere: no such file or folder")
    assert lines[-1] == "2 problems"


@pytest.fixture
def evaluation(tmp_path: Path) -> tuple[Path, str]:
    """The folder of an evaluation, and its scorecard as it was printed when it was made."""
    rng = np.random.default_rng(4)
    fits = []
    for i in range(4):
        truth = rng.normal(size=30)
        draws = (truth[:, None] + 0.8 * rng.normal(size=(30, 200)) + rng.normal(size=(30, 1))).astype(
            np.float32
        )
        fits.append(TestFit(f"{i:04d}-abcdef01", 800, "reversal", 0.05, True, draws, truth))
    settings = EvaluationSettings(id="evaluation", n_bootstrap=100, seed=1)
    correction = LayeredCorrection.load(write_correction(tmp_path / "correction"))
    scorecard = evaluate(fits, Corrections(correction), settings)
    folder = tmp_path / "evaluation"
    folder.mkdir()
    scorecard.table.to_csv(folder / "scorecard.csv", index=False)
    write_json(folder / "scorecard.json", scorecard.summary)
    return folder, render(scorecard)


def test_scorecard_prints_what_was_written(sbcflow: Shell, evaluation: tuple[Path, str]) -> None:
    folder, printed = evaluation
    answer = sbcflow("scorecard", folder)
    assert (answer.code, answer.out) == (0, printed)


def test_scorecard_is_by_default_that_of_params(sbcflow: Shell, tmp_path: Path) -> None:
    write_params(tmp_path / "params.yaml")
    message = _one_line_error(sbcflow("scorecard"))
    assert message.startswith("runs/smoke-evaluation/scorecard.csv: no such file")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("scorecard.json", "{}", "is missing n_fits"),
        ("scorecard.json", "{", "not JSON"),
        ("scorecard.csv", "level\n1\n", "is missing the columns group_kind"),
        ("scorecard.csv", "", "cannot be read"),
    ],
)
def test_a_damaged_scorecard_is_named(
    sbcflow: Shell, evaluation: tuple[Path, str], name: str, content: str, said: str
) -> None:
    (evaluation[0] / name).write_text(content)
    message = _one_line_error(sbcflow("scorecard", evaluation[0]))
    assert message.startswith(str(evaluation[0] / name)) and said in message


def test_a_scorecard_without_a_level_is_refused(sbcflow: Shell, evaluation: tuple[Path, str]) -> None:
    path = evaluation[0] / "scorecard.csv"
    table = pd.read_csv(path)
    table[table["level"] != 0.9].to_csv(path, index=False)
    assert "rows over all fits; must have 36" in _one_line_error(sbcflow("scorecard", evaluation[0]))


@pytest.fixture
def draws(tmp_path: Path) -> Path:
    path = tmp_path / "draws.npz"
    write_npz(path, draws=np.random.default_rng(1).normal(size=(7, 500)).astype(np.float32))
    return path


def test_calibrate_writes_the_correction_s_intervals(sbcflow: Shell, tmp_path: Path, draws: Path) -> None:
    folder = write_correction(tmp_path / "correction")
    answer = sbcflow(
        "calibrate", "--draws", draws, "--correction", folder, "--level", 0.9, "--out", "deep/out.csv"
    )
    assert answer.code == 0
    written = pd.read_csv(tmp_path / "deep/out.csv")
    expected = LayeredCorrection.load(folder).intervals(np.load(draws)["draws"], 0.9)
    assert list(written.columns) == ["lower", "upper"]
    np.testing.assert_allclose(written["lower"], expected.lower, rtol=1e-14)
    np.testing.assert_allclose(written["upper"], expected.upper, rtol=1e-14)
    assert f"7 intervals at 0.9, rule: {expected.regime}" in answer.out


BAD_DRAWS = [
    ({"samples": np.zeros((2, 5))}, 0.9, "must hold an array 'draws', has samples"),
    ({"draws": np.zeros(5)}, 0.9, "draws: must have shape (n_points, n_draws), got (5,)"),
    ({"draws": np.zeros((2, 1))}, 0.9, "draws: must have shape"),
    ({"draws": np.float64(1.0)}, 0.9, "draws: must have shape"),
    ({"draws": np.zeros((0, 5))}, 0.9, "draws: must have shape"),
    ({"draws": np.zeros((2, 5), dtype=int)}, 0.9, "draws: must be floating point"),
    ({"draws": np.full((2, 5), np.nan)}, 0.9, "draws: must all be finite"),
    ({"draws": np.zeros((2, 5))}, 1.0, "level: must lie between 0 and 1"),
    ({"draws": np.zeros((2, 5))}, -0.1, "level: must lie between 0 and 1"),
    ({"draws": np.zeros((2, 5))}, "nan", "level: must lie between 0 and 1"),
]


@pytest.mark.parametrize(("arrays", "level", "said"), BAD_DRAWS)
def test_calibrate_refuses_bad_input(
    sbcflow: Shell, tmp_path: Path, arrays: dict[str, np.ndarray], level: object, said: str
) -> None:
    write_npz(tmp_path / "bad.npz", **arrays)
    folder = write_correction(tmp_path / "correction")
    answer = sbcflow(
        "calibrate", "--draws", "bad.npz", "--correction", folder, f"--level={level}", "--out", "out.csv"
    )
    assert said in _one_line_error(answer)
    assert not (tmp_path / "out.csv").exists()


def test_calibrate_names_a_missing_correction(sbcflow: Shell, draws: Path) -> None:
    answer = sbcflow("calibrate", "--draws", draws, "--correction", "no", "--level", 0.9, "--out", "o.csv")
    assert _one_line_error(answer).startswith("no/coverage_correction.json: no such file")


ANALYSIS = ("cate.parquet", "effects.csv", "manifest.json", "report.html")
OUTSIDE = (*ANALYSIS, "scenario.yaml")
ANALYZE = (
    "analyze",
    "shop.csv",
    "--arm",
    "arm",
    "--control",
    "None",
    "--converted",
    "bought",
    "--revenue",
    "spend",
)


@pytest.fixture
def project(sbcflow: Shell, tmp_path: Path) -> Shell:
    """A shell in a folder with params.yaml (small fits), shop.csv and a correction."""
    write_params(tmp_path / "params.yaml")
    shop().to_csv(tmp_path / "shop.csv", index=False)
    write_correction(tmp_path / "correction")
    return sbcflow


def test_analyze_writes_a_valid_run_and_replaces_its_own(project: Shell, tmp_path: Path) -> None:
    answer = project(*ANALYZE, "--correction", "correction", "--out", "out")
    assert answer.code == 0, answer.err
    assert answer.out.endswith("".join(f"out/{name}\n" for name in OUTSIDE))
    assert "Outside the correction's regime: visitors: 600" in answer.out
    assert "shop.csv: 600 visitors (None " in answer.err and "city (categorical)" in answer.err
    validated = project("validate", "out")
    assert (validated.code, validated.out.split(" (")[0]) == (0, "out: ok")
    first = (tmp_path / "out/effects.csv").read_bytes()
    assert project(*ANALYZE, "--correction", "correction", "--out", "out").code == 0
    assert (tmp_path / "out/effects.csv").read_bytes() == first
    assert project(*ANALYZE, "--correction", "correction", "--out", "out", "--seed", 1).code == 0
    assert (tmp_path / "out/effects.csv").read_bytes() != first
    assert len(list(tmp_path.iterdir())) == 4


def test_analyze_records_where_everything_came_from(project: Shell, tmp_path: Path) -> None:
    assert project(*ANALYZE, "--features", "age, city", "--out", "out").code == 0
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["data_provenance"]["kind"] == "external"
    assert list(manifest["data_provenance"]["hashes"]) == ["shop.csv"]
    assert manifest["params"]["arguments"]["features"] == ["age", "city"]
    assert manifest["params"]["arguments"]["exclude"] == []
    assert manifest["params"]["inference"]["n_draws"] == 200
    about = manifest["pytyche"]["sbcflow"]
    assert (about["run_kind"], about["regime"]["ok"]) == ("analysis", None)
    assert "links" not in about
    table = pd.read_csv(tmp_path / "out/effects.csv")
    assert table["calibrated_lower_90"].isna().all()


def test_analyze_records_what_was_excluded_and_what_was_left(project: Shell, tmp_path: Path) -> None:
    excluded = ("--exclude", "visitor, city", "--exclude", "member")
    shop().assign(visitor=range(600)).to_csv(tmp_path / "shop.csv", index=False)
    assert project(*ANALYZE, *excluded, "--out", "out").code == 0
    arguments = json.loads((tmp_path / "out/manifest.json").read_text())["params"]["arguments"]
    assert arguments["exclude"] == ["visitor", "city", "member"]
    assert arguments["features"] == ["age"]


def test_analyze_goes_by_regime_unless_told_says_so_of_visitors_and_records_it(
    project: Shell, tmp_path: Path
) -> None:
    write_regime_correction(tmp_path / "correction")
    by_regime = ("--correction", "correction", "--out", "out")
    answer = project(*ANALYZE, *by_regime)
    assert answer.code == 0, answer.err
    assert "visitors' intervals follow the rule: regime, nowhere narrower than raw: outside" in answer.out
    assert "nowhere narrower than raw: outside the regime" in answer.out
    assert "Intervals of single visitors (cate.parquet) did change, by regime: 90%" in answer.out
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["params"]["arguments"]["method"] == "regime"
    assert "regime_correction.json" in manifest["pytyche"]["sbcflow"]["links"]["correction"]
    assert project("validate", "out").code == 0
    layered = ("--correction", "correction", "--method", "layered", "--out", "layered")
    answer = project(*ANALYZE, *layered)
    assert answer.code == 0 and "visitors' intervals follow the layered rule: as asked" in answer.out
    write_regime_correction(tmp_path / "correction", n_fits=90)
    answer = project(*ANALYZE, "--correction", "correction", "--out", "few")
    assert "the one by regime is of 90 train fits, fewer than 150" in answer.out
    tables = [pd.read_csv(tmp_path / folder / "effects.csv") for folder in ("out", "layered")]
    pd.testing.assert_frame_equal(*tables)


@pytest.mark.parametrize(("most", "said"), [(0, True), (10_000_000, False)])
def test_analyze_says_first_that_it_reads_a_large_file(
    project: Shell, monkeypatch: pytest.MonkeyPatch, most: int, said: bool
) -> None:
    monkeypatch.setattr("sbcflow.analysis.run.LARGE_FILE", most)
    answer = project(*ANALYZE, "--control", "Nine", "--out", "out")
    assert answer.err.startswith("reading shop.csv\nerror: ") == said
    assert answer.err.startswith("error: ") != said


BAD_ANALYSES = [
    (("--control", "Nine"), "shop.csv: column arm: no visitor has the control value 'Nine'"),
    (("--features", "age,bought"), "shop.csv: column bought: is arm, converted or revenue"),
    (("--exclude", "ctiy"), "shop.csv: no column 'ctiy'; did you mean city?"),
    (("--correction", "params.yaml"), "params.yaml/coverage_correction.json: no such file"),
    (("--method", "regime"), "method: regime needs a correction (--correction DIR)"),
    (("--method", "best"), "method: must be one of regime, layered, got 'best'"),
    (
        ("--method", "regime", "--correction", "correction"),
        "correction/regime_correction.json: no such file; fit_corrections writes it from a train sweep",
    ),
    (("--params", "none.yaml"), "none.yaml: no such file"),
    (("--out", "correction"), "correction: holds other files; --out must be a new or empty folder"),
    (("--out", "shop.csv"), "shop.csv: is not a folder; --out must be"),
    (("--out", "shop.csv/out"), "shop.csv is no folder that can be written in; --out must be"),
    (("--out", "."), ".: holds the working folder; --out must be"),
]


@pytest.mark.parametrize(("arguments", "said"), BAD_ANALYSES)
def test_analyze_refuses_bad_input_before_any_work(
    project: Shell, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    answer = project(*ANALYZE, "--out", "out", *arguments)
    assert said in _one_line_error(answer)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_an_analysis_with_someone_s_own_file_in_it_is_kept(project: Shell, tmp_path: Path) -> None:
    assert project(*ANALYZE, "--out", "out").code == 0
    (tmp_path / "out/notes.txt").write_text("mine")
    assert "out: holds other files" in _one_line_error(project(*ANALYZE, "--out", "out"))


def test_what_a_machine_may_read_comes_as_json(
    project: Shell, evaluation: tuple[Path, str], draws: Path
) -> None:
    def answered(*arguments: object, code: int = 0) -> object:
        answer = project(*arguments, "--json")
        assert answer.code == code, answer.err
        return json.loads(answer.out)

    checked = answered("params", "check")
    assert checked["sweeps"]["train_sweep"]["n_configs"] == 3
    card = answered("scorecard", evaluation[0])
    table = pd.read_csv(evaluation[0] / "scorecard.csv")
    assert (card["summary"]["n_fits"], len(card["table"])) == (4, len(table))
    np.testing.assert_allclose([row["coverage"] for row in card["table"]], table["coverage"])
    given = ("--draws", draws, "--correction", "correction", "--level", 0.9, "--out", "intervals.csv")
    assert answered("calibrate", *given)["intervals"] == 7
    analysed = answered(*ANALYZE, "--out", "out")
    assert analysed["files"] == [f"out/{name}" for name in ANALYSIS]
    assert analysed["effects"][0]["calibrated_lower_90"] is None
    sound, missing = answered("validate", "out", "nowhere", code=1)
    assert (sound["path"], sound["ok"], sound["problems"]) == ("out", True, [])
    assert not missing["ok"] and missing["problems"][0].startswith("nowhere: no such file")

"""The report of a run: it says what the run's files say, of the runs that belong to it, or nothing."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from report_runs import ESCALATED, N_TEST, N_TRAIN, SCALES, make_analysis, make_evaluation
from sbcflow import manifest
from sbcflow.calibration.comparison import BETTER, NO_BETTER, WORSE
from sbcflow.calibration.conditional.card import ConditionalCard
from sbcflow.cli import app
from sbcflow.errors import ArtifactError, ParamsError
from sbcflow.files import write_json
from sbcflow.report import value
from sbcflow.report.cells import cells_section
from sbcflow.report.command import make_reports
from sbcflow.report.evaluation import MEANING
from sbcflow.report.page import render
from sbcflow.report.svg import inline
from sbcflow.report.value import Column, Report, Section, Table
from sbcflow.report.write import build, write_report
from sbcflow.sweep.layout import REPORT
from sbcflow.validate import validate

N_FITS = (N_TRAIN + N_TEST) * len(SCALES)
MOST_BYTES = 5_000_000


@pytest.fixture(scope="module")
def report(evaluation: Path) -> Report:
    return build(evaluation)


@pytest.fixture
def own(evaluation: Path, tmp_path: Path) -> Path:
    """A copy of the runs to damage; the evaluation's folder."""
    shutil.copytree(evaluation.parent, tmp_path / "runs")
    return tmp_path / "runs" / evaluation.name


def section(report: Report, name: str) -> Section:
    (found,) = [one for one in report.sections if one.id == name]
    return found


def table(report: Report, name: str) -> Table:
    (found,) = [one for part in report.sections for one in part.tables if one.id == name]
    return found


def column(one: Table, key: str) -> list[value.Cell]:
    keys = [column.key for column in one.columns]
    return [row[keys.index(key)] for row in one.rows]


def test_the_verdict_comes_first_and_is_the_scorecards(report: Report, evaluation: Path) -> None:
    sentence = json.loads((evaluation / "scorecard.json").read_text())["verdict"]["sentence"]
    headline, _, reason = sentence.partition(": ")
    assert report.verdict == f"{headline}."
    assert report.reason.casefold() == reason.casefold()
    assert {BETTER, NO_BETTER, WORSE} == MEANING.keys()


def test_coverage_is_that_of_the_scorecard(report: Report, evaluation: Path) -> None:
    card = pd.read_csv(evaluation / "scorecard.csv").query("group_kind == 'all' and method == 'layered'")
    shown = table(report, "coverage")
    assert column(shown, "level") == card["level"].tolist()
    assert column(shown, "coverage_layered") == card["coverage"].tolist()
    assert column(shown, "coverage_upper_layered") == card["coverage_upper"].tolist()


def test_a_correction_by_regime_is_told_drawn_and_measured(tmp_path: Path) -> None:
    folder = make_evaluation(tmp_path, n_train=76)
    card = pd.read_csv(folder / "scorecard.csv")
    at = card.query("group_kind == 'all' and method == 'regime'")
    report = build(folder)
    assert column(table(report, "coverage"), "coverage_regime") == at["coverage"].tolist()
    assert report.tiles[0].detail.startswith("by regime; raw ")
    assert report.verdict.startswith("The regime correction is")
    assert "points with raw intervals" in section(report, "coverage").sentence
    assert section(report, "coverage").sentence.endswith("with the one by regime.")
    # A third of the 151 fits that converged learns.
    assert (
        "learnt on 50 of the train fits; the other 101 guarantee" in section(report, "correction").notes[-1]
    )
    curves = pd.read_csv(tmp_path / "metrics/coverage_curve.csv")
    assert curves["calibrated"].tolist() == curves["regime"].tolist() == at["coverage"].tolist()
    assert list(curves) == ["nominal", "ideal", "raw", "r_of_p", "layered", "regime", "calibrated"]
    measured = json.loads((tmp_path / "metrics/evaluate_layered.json").read_text())
    assert measured["default_method"] == "regime" and "regime" in measured["crps"]
    assert render(report).count("by regime") > 10


def test_without_one_the_default_is_layered(evaluation: Path) -> None:
    project = evaluation.parent.parent
    curves = pd.read_csv(project / "metrics/coverage_curve.csv")
    assert curves["calibrated"].tolist() == curves["layered"].tolist() and "regime" not in curves
    measured = json.loads((project / "metrics/evaluate_layered.json").read_text())
    assert measured["default_method"] == "layered"


def test_groups_are_those_of_the_scorecard(report: Report, evaluation: Path) -> None:
    card = pd.read_csv(evaluation / "scorecard.csv")
    at = card[(card["level"] == 0.9) & (card["method"] == "raw") & (card["group_kind"] != "all")]
    shown = table(report, "groups")
    assert column(shown, "group") == at["group"].tolist()
    assert column(shown, "coverage_raw") == at["coverage"].tolist()
    assert column(shown, "mean_width_raw") == at["mean_width"].tolist()


def test_cells_are_those_of_the_conditional_scorecard(report: Report, evaluation: Path) -> None:
    card = pd.read_csv(evaluation / "conditional.csv", dtype={"cell": str})
    at = card[(card["level"] == 0.9) & (card["dimension"] != "all")]
    shown = table(report, "cells")
    for method in ("raw", "layered"):
        rows = at[at["method"] == method]
        assert column(shown, "cell") == rows["cell"].tolist()
        assert column(shown, f"coverage_{method}") == rows["coverage"].tolist()
    assert column(shown, "score_to_raw_layered") == at.query("method == 'layered'")["score_to_raw"].tolist()
    # The few fits here name no cell; tests/unit/test_conditional_cells.py has enough.
    assert section(report, "cells").sentence.startswith("No cell has 10 fits")


def test_a_target_that_is_left_out_has_no_picture(evaluation: Path) -> None:
    card = ConditionalCard.load(evaluation)
    left_out = {"ate": "no draws of averages", "segment": "no draws of averages"}
    visitors = card.table[card.table["target"] == "visitor"]
    found = cells_section(ConditionalCard(visitors, {**card.summary, "left_out": left_out}))
    assert [picture.id for picture in found.pictures] == ["cells-visitor-by-estimated-size"]


def test_an_evaluation_of_old_has_no_section_on_cells(own: Path) -> None:
    for name in ("conditional.csv", "conditional.json"):
        (own / name).unlink()
    assert "cells" not in {one.id for one in build(own).sections}


def test_every_subject_has_its_picture(report: Report) -> None:
    names = {picture.id for picture in report.pictures}
    kinds = ("template", "conversion-rate", "n-visitors")
    assert {"coverage-curve", "correction-curve", "ranks-ate-1", "score-changes", "fit-times"} <= names
    assert {"cells-visitor-by-estimated-size"} <= names
    assert {f"{score}-by-{kind}" for score in ("coverage", "rmse", "width") for kind in kinds} <= names
    assert all(len(picture.alt) > 40 and picture.caption for picture in report.pictures)


def test_fits_that_went_another_way_are_told(report: Report) -> None:
    shown = table(report, "fits")
    remarks = column(shown, "remark")
    assert len(shown.rows) == N_FITS
    assert sum("not converged" in str(remark) for remark in remarks) == 1
    assert sum("NUTS" in str(remark) for remark in remarks) == N_FITS // ESCALATED
    seconds = column(shown, "wall_seconds")
    assert seconds == sorted(seconds, reverse=True)
    assert "1 did not converge" in section(report, "fits").sentence


def test_the_lineage_proves_that_no_seed_is_shared(report: Report) -> None:
    assert "share no seed" in section(report, "lineage").sentence
    assert [step.title for step in section(report, "lineage").steps] == [
        *("Train sweep", "Corrections", "Test sweep", "Evaluation")
    ]
    seeds = table(report, "seeds")
    assert len(set(column(seeds, "config_seed"))) == N_FITS
    assert set(column(seeds, "in_other_sweep")) == {False}


def reseal(folder: Path, name: str) -> None:
    manifest.relist(folder, name)


def test_a_shared_seed_is_told(own: Path) -> None:
    train, test = (own.parent / f"pilot-{kind}/aggregate.csv" for kind in ("train", "test"))
    fits = pd.read_csv(test)
    fits.loc[0, "config_seed"] = pd.read_csv(train)["config_seed"][0]
    fits.to_csv(test, index=False)
    reseal(test.parent, "aggregate.csv")
    sentence = section(build(own), "lineage").sentence
    assert sentence.startswith("Not proved: ") and "1 share a seed" in sentence


def test_equal_runs_give_equal_pages(own: Path) -> None:
    before, sealed = (own / REPORT).read_bytes(), (own / "manifest.json").read_bytes()
    write_report(build(own), own)
    assert (own / REPORT).read_bytes() == before
    assert (own / "manifest.json").read_bytes() == sealed
    assert len(before) < MOST_BYTES


@pytest.mark.parametrize("run", ["evaluation", "analysis"])
def test_the_page_is_listed_in_the_manifest(run: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(run)
    assert validate(folder).ok
    assert REPORT in manifest.read(folder / "manifest.json")["pytyche"]["sbcflow"]["files"]


def test_an_edited_page_is_found_and_made_anew(own: Path) -> None:
    right = (own / REPORT).read_text()
    (own / REPORT).write_text(right.replace("no better", "better"))
    assert not validate(own).ok
    write_report(build(own), own)
    assert (own / REPORT).read_text() == right and validate(own).ok


@pytest.mark.parametrize("name", ["pilot-train", "pilot-test", "pilot-corrections"])
def test_a_run_that_is_gone_is_named(own: Path, name: str) -> None:
    shutil.rmtree(own.parent / name)
    with pytest.raises(
        ArtifactError, match=rf"names the {name.removeprefix('pilot-')} run .*dvc pull"
    ) as caught:
        build(own)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "file",
    ["scorecard.csv", "../pilot-train/aggregate.csv", "../pilot-corrections/coverage_correction.json"],
)
def test_an_altered_file_is_refused_by_name(own: Path, file: str) -> None:
    path = own / file
    path.write_text(path.read_text().replace("0.", "0.1", 1))
    with pytest.raises(ArtifactError, match=rf"{path.name}: is not what manifest\.json lists"):
        build(own)


def test_another_kind_of_run_is_refused(evaluation: Path) -> None:
    with pytest.raises(ArtifactError, match="is of a run of the kind sweep; a report is of an evaluation"):
        build(evaluation.parent / "pilot-train")


def test_an_analysis_tells_effects_regime_and_origin(analysis: Path) -> None:
    report = build(analysis)
    effects = pd.read_csv(analysis / "effects.csv")
    shown = table(report, "effects-1")
    assert column(shown, "segment")[0] == "all"
    assert len(shown.rows) == len(effects)
    ranked = column(shown, "ate")[1:]
    assert ranked == sorted(ranked, reverse=True)
    assert "visitors: 600 lies outside" in section(report, "regime").sentence
    assert {picture.id for picture in report.pictures} == {"effects-1", "regime"}
    assert any("unlike those" in warning for warning in report.warnings)


def test_an_analysis_says_what_its_correction_left_raw(analysis: Path, tmp_path: Path) -> None:
    report = build(make_analysis(tmp_path, narrowness=1.3))
    assert report.reason.startswith("90% intervals, raw, as the correction would narrow them: banner")
    assert any("are raw, not calibrated" in one for one in report.meaning)
    widths = manifest.read(tmp_path / "analysis/manifest.json")["pytyche"]["sbcflow"]["mean_width_90"]
    assert widths["calibrated"] < widths["raw"]
    said = f"{widths['raw']:.3g} wide raw and {widths['calibrated']:.3g} calibrated"
    assert any(said in one for one in report.meaning)
    assert build(analysis).reason.startswith("90% intervals, calibrated: banner")
    assert any("widened each of" in one for one in build(analysis).meaning)


def test_an_analysis_without_a_correction_says_so(tmp_path: Path) -> None:
    report = build(make_analysis(tmp_path, with_correction=False))
    assert "No correction was given" in section(report, "regime").sentence
    assert report.reason.startswith("90% intervals, raw: ")
    assert set(column(table(report, "effects-1"), "calibrated_lower_90")) == {None}


def test_names_from_data_are_text_and_not_markup(tmp_path: Path) -> None:
    arm = "<script>alert(1)</script>\"' & co"
    page = (make_analysis(tmp_path, arm=arm) / REPORT).read_text()
    assert "<script>alert" not in page
    assert page.count("<script>") == 1
    labels = re.findall(r'aria-label="([^"]*)"', page)
    assert any(
        "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39; &amp; co"
        in label.replace("&quot;", "&#34;").replace("&#x27;", "&#39;")
        for label in labels
    )


def test_an_arm_may_have_any_name(tmp_path: Path) -> None:
    for n, arm in enumerate(("n/a", "01", "$5 off_$")):
        folder = tmp_path / str(n)
        folder.mkdir()
        report = build(make_analysis(folder, arm=arm))
        assert section(report, "arm-1").title == f"Effect of {arm}"


class Ids(HTMLParser):
    """Collects the ids of a page, and what refers to one."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = re.findall(r"url\(#([^)]+)\)", text)
        self.feed(text)

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, content in attrs:
            if name == "id":
                self.ids.append(str(content))
            elif name in ("href", "xlink:href") and str(content).startswith("#"):
                self.links.append(str(content)[1:])


def test_ids_are_unique_and_all_links_lead_somewhere(evaluation: Path) -> None:
    found = Ids((evaluation / REPORT).read_text())
    assert len(found.ids) == len(set(found.ids)) > 100
    assert set(found.links) <= set(found.ids) and len(found.links) > 50


def test_no_page_asks_for_anything(evaluation: Path, analysis: Path) -> None:
    for folder in (evaluation, analysis):
        text = (folder / REPORT).read_text()
        assert set(re.findall(r"https?://[^\"' )]+", text)) <= {
            *("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink")
        }
        assert not re.search(r"@import|<link[^>]+stylesheet|\bsrc=", text)
        assert "default-src 'none'" in text


def test_figures_follow_the_page(report: Report) -> None:
    page = render(report)
    inside = page[page.index("<main") : page.index("</main>")]
    assert "var(--raw)" in inside and "#b8430b" not in inside
    assert "DejaVu" not in inside


def test_an_svg_gets_ids_of_its_own() -> None:
    svg = (
        b'<?xml version="1.0"?><svg width="1pt" height="2pt" viewBox="0 0 1 2"><metadata>x</metadata>'
        b'<g id="a" clip-path="url(#b)"/><use href="#a"/></svg>'
    )
    expected = (
        '<svg role="img" aria-label="a &lt; b" viewBox="0 0 1 2"><g id="p-a" clip-path="url(#p-b)"/>'
        '<use href="#p-a"/></svg>'
    )
    assert inline(svg, "p", "a < b") == expected


@pytest.mark.parametrize(
    ("kind", "cell", "shown"),
    [
        ("number", 0.0123456, "0.0123"),
        ("number", 12345.6, "12,346"),
        ("number", -0.5, "−0.5"),
        ("number", 1e-7, "0.0000001"),
        ("signed", 0.25, "+0.250"),
        ("signed", -123.4, "−123"),
        ("signed", 1234.5, "+1,234"),
        ("signed", 0.0, "0"),
        ("percent", 0.9995, "99.95%"),
        ("count", 20000, "20,000"),
        ("flag", False, "no"),
        ("number", None, "–"),
        ("text", "", "–"),
    ],
)
def test_numbers_are_rounded_for_people(kind: value.Kind, cell: value.Cell, shown: str) -> None:
    assert Column("x", "x", kind).shown(cell) == shown


def test_long_tables_are_cut_and_say_so() -> None:
    frame = pd.DataFrame({"x": range(value.MOST_ROWS + 1)})
    cut = Table.of("t", "caption", (Column("x", "x"),), frame)
    assert len(cut.rows) == value.MOST_ROWS and cut.note == "The first 500 of 501 rows."
    assert Table.of("t", "caption", (Column("x", "x"),), frame.head(3)).note == ""


def test_the_command_writes_page_and_figures(own: Path, tmp_path: Path) -> None:
    (own / REPORT).unlink()
    done = CliRunner().invoke(app, ["report", str(own), "--figures", str(tmp_path / "figures"), "--json"])
    assert done.exit_code == 0, done.output
    (made,) = json.loads(done.stdout)
    assert made["report"] == str(own / REPORT) and made["bytes"] == (own / REPORT).stat().st_size
    written = {path.name for path in (tmp_path / "figures").iterdir()}
    assert written == {Path(name).name for name in made["figures"]}
    assert {"coverage-curve.svg", "coverage-curve.png"} <= written
    assert validate(own).ok


def test_elsewhere_the_run_stays_as_it_is(own: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in own.iterdir()}
    (made,) = make_reports([own], tmp_path / "there.html", None)
    assert made.path.read_bytes() == before[own / REPORT]
    assert {path: path.read_bytes() for path in own.iterdir()} == before


def test_what_cannot_be_done_is_refused_before_anything_is_written(own: Path, tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="takes the report of one run, got 2"):
        make_reports([own, own], tmp_path / "x.html", None)
    with pytest.raises(ParamsError, match="two runs have one name"):
        make_reports([own, own], None, tmp_path / "figures")
    assert not (tmp_path / "x.html").exists()


def test_an_analysis_may_be_replaced_though_it_has_a_report(tmp_path: Path) -> None:
    make_analysis(tmp_path)
    assert (make_analysis(tmp_path) / REPORT).is_file()


def test_an_older_analysis_has_no_picture_of_its_regime(analysis: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(analysis, tmp_path / "older"))
    content = manifest.read(folder / "manifest.json")
    del content["pytyche"]["sbcflow"]["regime"]["trained"]
    manifest.write(folder / "manifest.json", content)
    assert section(build(folder), "regime").pictures == ()


def test_a_manifest_lists_what_was_written_after_it(tmp_path: Path, analysis: Path) -> None:
    folder = Path(shutil.copytree(analysis, tmp_path / "more"))
    write_json(folder / "more.json", {})
    assert not validate(folder).ok
    manifest.relist(folder, "more.json")
    assert validate(folder).ok

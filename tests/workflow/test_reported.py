"""The report as a part of the pipeline: made with the evaluation, the same bytes again, redrawn alone."""

from __future__ import annotations

from workflow_project import Project

PAGE = "runs/smoke-evaluation/report.html"
MANIFEST = "runs/smoke-evaluation/manifest.json"


def test_a_report_is_made_with_the_evaluation_and_stays(project: Project) -> None:
    """One story, since each step needs the state that the last one left."""
    project.use_difference_estimator()
    project.commit("fits that take no time")
    project.repro()
    assert "ok (checked" in project.run("sbcflow", "validate", "runs/smoke-evaluation").stdout
    before = {name: project.text(name) for name in (PAGE, MANIFEST)}
    _again_nothing_changes(project, before)
    _a_changed_picture_redraws_the_page_alone(project, before)


def _again_nothing_changes(project: Project, before: dict[str, str]) -> None:
    done = project.run("dvc", "repro", "--force", "--single-item", "evaluate_layered")
    assert "rule report" in done.stdout
    assert {name: project.text(name) for name in before} == before
    project.run("sbcflow", "report")
    assert {name: project.text(name) for name in before} == before
    assert project.run("dvc", "status").stdout.endswith("up to date.\n")


def _a_changed_picture_redraws_the_page_alone(project: Project, before: dict[str, str]) -> None:
    project.edit("src/sbcflow/plots/coverage.py", "coverage of the truth", "share of truths held")
    status = project.run("dvc", "status").stdout
    assert "evaluate_layered:" in status and "train_sweep:" not in status and "fit_corrections:" not in status
    assert project.repro() == 0
    assert "share of truths held" in project.text(PAGE)
    assert "share of truths held" not in before[PAGE]
    assert "ok (checked" in project.run("sbcflow", "validate", "runs/smoke-evaluation").stdout

"""Reports as files: the page in its run folder, or elsewhere, and its figures beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from sbcflow.errors import ArtifactError
from sbcflow.files import write_bytes, write_text
from sbcflow.manifest import MANIFEST_FILE, relist
from sbcflow.plots.style import PAPER, png_bytes, svg_bytes
from sbcflow.report.analysis import analysis_report
from sbcflow.report.evaluation import evaluation_report
from sbcflow.report.page import render
from sbcflow.report.runs import Run, read_run
from sbcflow.report.value import Report
from sbcflow.sweep.layout import REPORT, run_dir
from sbcflow.sweep.record import making

BUILDERS: Mapping[str, Callable[[Run], Report]] = MappingProxyType(
    {"evaluation": evaluation_report, "analysis": analysis_report}
)


def build(folder: Path, name: str | None = None) -> Report:
    """Return the report of a run folder; ``name`` is its name where it is not in its place yet.

    Raises:
        ArtifactError: it is no evaluation or analysis, or a file that is needed is missing or altered.
    """
    run = read_run(folder, name)
    kind = run.about.get("run_kind")
    if not isinstance(kind, str) or kind not in BUILDERS:
        raise ArtifactError(
            f"{folder / MANIFEST_FILE}: is of a run of the kind {kind}; a report is of an evaluation "
            "(runs/<evaluate_layered id>) or of an analysis (sbcflow analyze --out)"
        )
    return BUILDERS[kind](run)


def write_report(report: Report, folder: Path) -> Path:
    """Write the page of a run's report in the run's folder, list it in the manifest, return its path.

    Equal runs give equal bytes.
    """
    path = folder / REPORT
    write_text(path, render(report))
    relist(folder, REPORT)
    return path


def write_run_report(run_id: str) -> Path:
    """Write the report of an evaluation of the pipeline, alone in its folder; return its path.

    Raises:
        ArtifactError: as :func:`build`.
    """
    folder = run_dir(run_id)
    with making(run_id):
        return write_report(build(folder), folder)


def write_figures(report: Report, folder: Path) -> list[Path]:
    """Write every picture of a report as SVG and as PNG, on white paper; return the paths."""
    written = []
    for picture in report.pictures:
        for suffix, draw in (("svg", lambda figure: svg_bytes(figure, PAPER)), ("png", png_bytes)):
            path = folder / f"{picture.id}.{suffix}"
            write_bytes(path, draw(picture.draw()))
            written.append(path)
    return written

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
from sbcflow.sweep.layout import REPORT

BUILDERS: Mapping[str, Callable[[Run], Report]] = MappingProxyType(
    {"evaluation": evaluation_report, "analysis": analysis_report}
)


def build(folder: Path) -> Report:
    """Return the report of a run folder.

    Raises:
        ArtifactError: it is no evaluation or analysis, or a file that is needed is missing or altered.
    """
    run = read_run(folder)
    kind = run.about.get("run_kind")
    if not isinstance(kind, str) or kind not in BUILDERS:
        raise ArtifactError(
            f"{folder / MANIFEST_FILE}: is of a run of the kind {kind}; a report is of an evaluation "
            "(runs/<evaluate_layered id>) or of an analysis (sbcflow analyze --out)"
        )
    return BUILDERS[kind](run)


def write_report(folder: Path, out: Path | None = None) -> Path:
    """Write the report of a run and return its path: in the run's folder, listed in its manifest, or ``out``.

    Equal runs give equal bytes.

    Raises:
        ArtifactError: as :func:`build`.
    """
    page = render(build(folder))
    path = out if out is not None else folder / REPORT
    write_text(path, page)
    if out is None:
        relist(folder, REPORT)
    return path


def write_figures(report: Report, folder: Path) -> list[Path]:
    """Write every picture of a report as SVG and as PNG, on white paper; return the paths."""
    written = []
    for picture in report.pictures:
        for suffix, draw in (("svg", lambda figure: svg_bytes(figure, PAPER)), ("png", png_bytes)):
            path = folder / f"{picture.id}.{suffix}"
            write_bytes(path, draw(picture.draw()))
            written.append(path)
    return written

"""``sbcflow validate`` and ``scorecard``: what lies in run folders, checked and shown."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sbcflow.cli.shared import PARAMS_FILE, Json, ParamsOption, echo, rows

if TYPE_CHECKING:
    from sbcflow.validate import Report


class Target(StrEnum):
    """The effects that a conditional scorecard tells apart (tests hold them to its TARGETS)."""

    VISITOR = "visitor"
    ATE = "ate"
    SEGMENT = "segment"


class Dimension(StrEnum):
    """What a conditional scorecard's cells go by (tests hold them to its DIMENSIONS)."""

    TEMPLATE = "template"
    N_VISITORS = "n_visitors"
    CONVERSION_RATE = "conversion_rate"
    SEGMENT_SIZE = "segment_size"
    EFFECT_SIZE = "effect_size"
    ESTIMATED_SIZE = "estimated_size"


def validate_command(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Manifests or run folders.")],
    as_json: Json = False,
) -> None:
    """Check manifests and run folders: schema, keys, checksums, row counts, links. Exit 1 on a problem."""
    from sbcflow.validate import validate

    reports = {str(path): validate(path) for path in paths}
    n_problems = sum(len(report.problems) for report in reports.values())
    lines = [line for path, report in reports.items() for line in _report_lines(path, report)]
    if n_problems:
        lines.append(f"{n_problems} problem{'s' if n_problems > 1 else ''}")
    plain = [{"path": path, "ok": report.ok} | asdict(report) for path, report in reports.items()]
    echo(plain, "".join(f"{line}\n" for line in lines), as_json)
    if n_problems:
        raise typer.Exit(1)


def _report_lines(path: str, report: Report) -> list[str]:
    lines = [*report.problems, *(f"note: {note}" for note in report.notes)]
    return [*lines, f"{path}: ok (checked {'; '.join(report.checked)})"] if report.ok else lines


def scorecard_command(
    run_dir: Annotated[
        Path | None,
        typer.Argument(metavar="RUN_DIR", help="An evaluation; by default the one that params.yaml names."),
    ] = None,
    by: Annotated[Dimension | None, typer.Option(help="Coverage cell by cell, of 90% intervals.")] = None,
    target: Annotated[Target, typer.Option(help="With --by: the effects to show.")] = Target.VISITOR,
    params: ParamsOption = PARAMS_FILE,
    as_json: Json = False,
) -> None:
    """Print the scorecard of an evaluation: coverage level by level; or, with --by, where it holds."""
    from sbcflow.calibration.conditional.card import ConditionalCard
    from sbcflow.calibration.conditional.render import render_cells, render_worst
    from sbcflow.calibration.scorecard import Scorecard, render
    from sbcflow.inspection.audit import find_audit
    from sbcflow.inspection.audit_text import render_audit
    from sbcflow.params import load
    from sbcflow.sweep.layout import run_dir as folder_of

    folder = run_dir or folder_of(load(params).evaluate_layered.id)
    if by is not None:
        cells = ConditionalCard.load(folder)
        text = render_cells(cells, by, target)
        content = {"summary": cells.summary, "table": rows(cells.cells(by, target))}
        echo(content, text, as_json)
        return
    card = Scorecard.load(folder)
    where = ConditionalCard.load(folder).summary if ConditionalCard.is_in(folder) else None
    audit = find_audit(folder)
    text = render(card) + (render_worst(where) if where else "")
    text += f"\nAudit of {render_audit(audit)}" if audit else ""
    beside = {"conditional": where, "audit": audit}
    echo({"summary": card.summary, **beside, "table": rows(card.table)}, text, as_json)


def compare_corrections_command(
    train: Annotated[str, typer.Argument(metavar="TRAIN", help="The run id of the sweep to fit on.")],
    test: Annotated[str, typer.Argument(metavar="TEST", help="The run id of the sweep to score on.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What to write: a .csv of all levels, or the main ones as .md."),
    ] = None,
    params: ParamsOption = PARAMS_FILE,
    as_json: Json = False,
) -> None:
    """Fit every correction on one sweep and score it on another: raw, layered, regime and their rivals.

    Both sweeps need save_samples: true. The corrections' settings are those of params.yaml.
    """
    from sbcflow.calibration.rivals.render import markdown_rivals, render_rivals
    from sbcflow.files import write_text
    from sbcflow.params import load
    from sbcflow.sweep.rivals import compare_corrections

    values = load(params)
    compared = compare_corrections(train, test, values.fit_corrections, values.evaluate_layered)
    if out is not None:
        is_page = out.suffix == ".md"
        write_text(out, markdown_rivals(compared.table) if is_page else compared.table.to_csv(index=False))
    head = f"Fitted on {compared.n_train} fits of {train}, scored on {compared.n_test} fits of {test}"
    text = render_rivals(compared.table, head) + "".join(f"note: {note}\n" for note in compared.notes)
    plain = {"n_train": compared.n_train, "n_test": compared.n_test, "notes": compared.notes}
    echo(plain | {"table": rows(compared.table)}, text, as_json)

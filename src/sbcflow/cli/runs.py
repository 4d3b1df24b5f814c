"""``sbcflow validate`` and ``scorecard``: what lies in run folders, checked and shown."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sbcflow.cli.shared import PARAMS_FILE, Json, ParamsOption, echo, rows

if TYPE_CHECKING:
    from sbcflow.validate import Report


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
    params: ParamsOption = PARAMS_FILE,
    as_json: Json = False,
) -> None:
    """Print the scorecard of an evaluation: coverage raw, by R(p) and layered, level by level."""
    from sbcflow.calibration.scorecard import Scorecard, render
    from sbcflow.inspection.audit import find_audit
    from sbcflow.inspection.audit_text import render_audit
    from sbcflow.params import load
    from sbcflow.sweep.layout import run_dir as folder_of

    folder = run_dir or folder_of(load(params).evaluate_layered.id)
    card = Scorecard.load(folder)
    audit = find_audit(folder)
    told = f"\nAudit of {render_audit(audit)}" if audit else ""
    echo({"summary": card.summary, "table": rows(card.table), "audit": audit}, render(card) + told, as_json)


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

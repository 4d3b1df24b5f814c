"""The command line. Each command imports what it needs when it runs, so that help is instant."""

from __future__ import annotations

import sys

import typer

from sbcflow.cli import experiments, values
from sbcflow.cli.analysis import analyze_command, calibrate_command
from sbcflow.cli.doctor import check_estimator_command, doctor_command
from sbcflow.cli.explore import explore_command
from sbcflow.cli.help import APPLY, CHECK, EXPERIMENTS, OVERVIEW, RUN, example
from sbcflow.cli.project import new_command, sources_command
from sbcflow.cli.report import report_command
from sbcflow.cli.runs import compare_corrections_command, scorecard_command, validate_command
from sbcflow.cli.sweeps import audit_command, explain_command, replay_command, status_command
from sbcflow.errors import SbcflowError

BAD_INPUT = 2
ANALYZE = (
    "sbcflow analyze visitors.csv --arm group --control A --converted bought \\",
    "  --revenue spent --correction runs/pilot-corrections --out effects",
)
CALIBRATE = (
    "sbcflow calibrate --draws draws.npz --correction runs/pilot-corrections \\",
    "  --level 0.9 --out intervals.csv",
)
COMPARE = ("sbcflow compare-corrections shop-train shop-test --out rivals.csv",)
EXPLORE = ("sbcflow explore --set model.severity.shift_scale=0.25,0.5 --jobs 2",)

app = typer.Typer(
    name="sbcflow",
    help=OVERVIEW,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
for name, command, panel, usage in (
    ("new", new_command, RUN, ("sbcflow new shop --own-model",)),
    ("status", status_command, RUN, ("sbcflow status pilot-train --watch",)),
    ("explain", explain_command, RUN, ("sbcflow explain train_sweep",)),
    ("replay", replay_command, RUN, ("sbcflow replay pilot-train 7",)),
    ("audit", audit_command, RUN, ("sbcflow audit pilot-train --share 0.1",)),
    ("scorecard", scorecard_command, RUN, ("sbcflow scorecard runs/pilot-evaluation",)),
    ("compare-corrections", compare_corrections_command, RUN, COMPARE),
    ("report", report_command, RUN, ("sbcflow report runs/pilot-evaluation",)),
    ("analyze", analyze_command, APPLY, ANALYZE),
    ("calibrate", calibrate_command, APPLY, CALIBRATE),
    ("explore", explore_command, EXPERIMENTS, EXPLORE),
    ("doctor", doctor_command, CHECK, ("sbcflow doctor",)),
    ("check-estimator", check_estimator_command, CHECK, ("sbcflow check-estimator --visitors 5000",)),
    ("sources", sources_command, CHECK, ("sbcflow sources",)),
    ("validate", validate_command, CHECK, ("sbcflow validate runs/*",)),
):
    app.command(name, rich_help_panel=panel, epilog=example(*usage))(command)
app.add_typer(experiments.app, name="exp", rich_help_panel=EXPERIMENTS)
app.add_typer(values.app, name="params", rich_help_panel=CHECK)


def main() -> None:
    """Run the command line; an error that sbcflow raises on purpose is one line on stderr, and exit 2."""
    try:
        app()
    except SbcflowError as error:
        _fail(str(error))
    except OSError as error:
        if error.filename is None:
            raise
        _fail(f"{error.filename}: {error.strerror}")


def _fail(message: str) -> None:
    print(f"error: {' '.join(message.splitlines())}", file=sys.stderr)
    sys.exit(BAD_INPUT)

"""The command line. Each command imports what it needs when it runs, so that help is instant."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sbcflow.cli import experiments
from sbcflow.cli.doctor import doctor_command
from sbcflow.cli.explore import explore_command
from sbcflow.cli.sweeps import explain_command, replay_command, status_command
from sbcflow.errors import SbcflowError

if TYPE_CHECKING:
    from sbcflow.params import SweepSettings

BAD_INPUT = 2
PARAMS_FILE = "params.yaml"

app = typer.Typer(
    name="sbcflow",
    help="Calibrated intervals for treatment effects: simulate, fit, measure, correct, prove, apply.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
params_app = typer.Typer(help="Check params.yaml, or put a scenario into it.", no_args_is_help=True)
app.add_typer(params_app, name="params")
app.add_typer(experiments.app, name="exp")
app.command("doctor")(doctor_command)
app.command("explore")(explore_command)
app.command("status")(status_command)
app.command("explain")(explain_command)
app.command("replay")(replay_command)

ParamsOption = Annotated[Path, typer.Option("--params", metavar="FILE", help="The file of run values.")]


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


@params_app.command("check")
def check_params(params: ParamsOption = Path(PARAMS_FILE)) -> None:
    """Check params.yaml and show the size of each sweep."""
    from sbcflow.params import load

    values = load(params)
    typer.echo(f"{params}: ok")
    for kind, sweep in values.sweeps().items():
        typer.echo(_sweep_line(f"{kind}_sweep", sweep))


def _sweep_line(section: str, sweep: SweepSettings) -> str:
    scales = ", ".join(f"{scale:,}" for scale in sweep.scales)
    return (
        f"{section:<18}{sweep.id}: {sweep.n_configs * len(sweep.scales)} fits ({sweep.n_configs} configs at "
        f"each of {scales} visitors), family {sweep.generator_family}"
    )


@params_app.command("apply")
def apply_params(
    scenario: Annotated[Path, typer.Argument(metavar="FILE", help="The values that differ.")],
    params: ParamsOption = Path(PARAMS_FILE),
) -> None:
    """Put the values of a scenario (config/*.yaml) into params.yaml."""
    from sbcflow.scenario import apply_scenario

    apply_scenario(scenario, params)
    typer.echo(f"{params}: now holds the values of {scenario}")


@app.command()
def validate(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Manifests or run folders.")],
) -> None:
    """Check manifests and run folders: schema, keys, checksums, row counts, links. Exit 1 on a problem."""
    from sbcflow.validate import validate as check

    n_problems = 0
    for path in paths:
        report = check(path)
        n_problems += len(report.problems)
        for line in (*report.problems, *(f"note: {note}" for note in report.notes)):
            typer.echo(line)
        if report.ok:
            typer.echo(f"{path}: ok (checked {'; '.join(report.checked)})")
    if n_problems:
        typer.echo(f"{n_problems} problem{'s' if n_problems > 1 else ''}")
        raise typer.Exit(1)


@app.command()
def scorecard(
    run_dir: Annotated[
        Path | None,
        typer.Argument(metavar="RUN_DIR", help="An evaluation; by default the one that params.yaml names."),
    ] = None,
    params: ParamsOption = Path(PARAMS_FILE),
) -> None:
    """Print the scorecard of an evaluation: coverage raw, by R(p) and layered, level by level."""
    from sbcflow.calibration.scorecard import Scorecard, render
    from sbcflow.params import load
    from sbcflow.sweep.layout import run_dir as folder_of

    folder = run_dir or folder_of(load(params).evaluate_layered.id)
    typer.echo(render(Scorecard.load(folder)), nl=False)


@app.command()
def calibrate(
    draws: Annotated[
        Path, typer.Option(metavar="FILE", help="An npz with the array draws (n_points, n_draws).")
    ],
    correction: Annotated[Path, typer.Option(metavar="DIR", help="The folder of a fitted correction.")],
    level: Annotated[float, typer.Option(metavar="L", help="The wanted coverage, between 0 and 1.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The csv to write: columns lower, upper.")],
) -> None:
    """Write the calibrated interval of each point's posterior draws."""
    from sbcflow.analysis.calibrate import calibrate_file

    intervals = calibrate_file(draws, correction, level, out)
    typer.echo(f"{out}: {len(intervals.lower)} intervals at {level:g}, rule: {intervals.regime}")


@app.command()
def analyze(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="A .csv, .csv.gz or .parquet, a row a visitor.")
    ],
    arm: Annotated[str, typer.Option(metavar="COL", help="The column of the arm.")],
    control: Annotated[str, typer.Option(metavar="VALUE", help="The arm column's value for control.")],
    converted: Annotated[str, typer.Option(metavar="COL", help="The column of conversion, 0 or 1.")],
    revenue: Annotated[str, typer.Option(metavar="COL", help="The column of revenue, 0 without conversion.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where effects.csv and the rest go.")],
    features: Annotated[
        str | None,
        typer.Option(
            metavar="COL,...",
            help="What was known of visitors before assignment; by default every other column, unless one "
            "differs between the arms as an outcome does.",
        ),
    ] = None,
    correction: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A fitted correction; without it, raw intervals alone.")
    ] = None,
    params: ParamsOption = Path(PARAMS_FILE),
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="The seed of the posterior draws.")] = 0,
) -> None:
    """Analyse a real experiment: effects on everybody, on segments and on each visitor."""
    from sbcflow import runtime

    runtime.configure()
    from sbcflow.analysis.read import Roles
    from sbcflow.analysis.render import render
    from sbcflow.analysis.run import Request
    from sbcflow.analysis.run import analyze as run

    named = tuple(name.strip() for name in features.split(",")) if features is not None else None
    roles = Roles(arm, control, converted, revenue, named)
    analysis = run(Request(data, roles, out, correction, params, seed), say=_progress)
    typer.echo(render(analysis.effects, analysis.regime, analysis.notes), nl=False)
    for path in sorted(out.iterdir()):
        typer.echo(path)


def _progress(line: str) -> None:
    typer.echo(line, err=True)

"""``sbcflow analyze`` and ``calibrate``: a correction applied to data of one's own."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sbcflow.cli.shared import PARAMS_FILE, Json, ParamsOption, echo, progress, rows


def analyze_command(
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
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="COL,...", help="Columns that are no features; may be given several times."),
    ] = None,
    correction: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A fitted correction; without it, raw intervals alone.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="M",
            help="How visitors' intervals are corrected: regime, or layered; by default regime where that "
            "was fitted on 150 fits or more.",
        ),
    ] = None,
    params: ParamsOption = PARAMS_FILE,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="The seed of the posterior draws.")] = 0,
    as_json: Json = False,
) -> None:
    """Analyse a real experiment: effects on everybody, on segments and on each visitor."""
    from sbcflow import runtime

    runtime.configure()
    from sbcflow.analysis.read import Roles
    from sbcflow.analysis.render import render
    from sbcflow.analysis.run import Request
    from sbcflow.analysis.run import analyze as run

    named = _names(features) if features is not None else None
    excluded = tuple(name for part in exclude or () for name in _names(part))
    roles = Roles(arm, control, converted, revenue, named, excluded)
    analysis = run(Request(data, roles, out, correction, params, seed, method), say=progress)
    files = [str(path) for path in sorted(out.iterdir())]
    text = render(
        analysis.effects,
        analysis.regime,
        analysis.widths,
        analysis.notes,
        analysis.next_step,
        analysis.method,
    )
    text += "".join(f"{path}\n" for path in files)
    plain = {
        "regime": asdict(analysis.regime),
        "mean_width_90": asdict(analysis.widths),
        "notes": analysis.notes,
        "next_step": analysis.next_step,
        "files": files,
    }
    echo({"effects": rows(analysis.effects)} | plain, text, as_json)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


def calibrate_command(
    draws: Annotated[
        Path, typer.Option(metavar="FILE", help="An npz with the array draws (n_points, n_draws).")
    ],
    correction: Annotated[Path, typer.Option(metavar="DIR", help="The folder of a fitted correction.")],
    level: Annotated[float, typer.Option(metavar="L", help="The wanted coverage, between 0 and 1.")],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The csv to write: columns lower, upper.")],
    method: Annotated[
        str,
        typer.Option(metavar="M", help="layered, or regime: by what the posteriors of one fit show."),
    ] = "layered",
    as_json: Json = False,
) -> None:
    """Write the calibrated interval of each point's posterior draws."""
    from sbcflow.analysis.calibrate import calibrate_file

    intervals = calibrate_file(draws, correction, level, out, method)
    n_intervals = len(intervals.lower)
    plain = {"out": str(out), "intervals": n_intervals, "level": level, "rule": intervals.regime}
    echo(plain, f"{out}: {n_intervals} intervals at {level:g}, rule: {intervals.regime}\n", as_json)

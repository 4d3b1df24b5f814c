"""``sbcflow params``: the run values, checked or changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sbcflow.cli.help import example
from sbcflow.cli.shared import PARAMS_FILE, Json, ParamsOption, echo

if TYPE_CHECKING:
    from sbcflow.params import PrecisionSettings, SweepSettings

app = typer.Typer(help="Check params.yaml, or put a scenario into it.", no_args_is_help=True)


@app.command("check", epilog=example("sbcflow params check"))
def check_params(params: ParamsOption = PARAMS_FILE, as_json: Json = False) -> None:
    """Check params.yaml and show the size of each sweep."""
    from sbcflow.own.load import load_own
    from sbcflow.params import load
    from sbcflow.sweep.own_sources import check_own_sources
    from sbcflow.sweep.rounds import check_rounds

    loaded = load(params)
    check_own_sources(loaded)
    load_own(loaded)
    check_rounds(loaded)
    sweeps = {f"{kind}_sweep": sweep for kind, sweep in loaded.sweeps().items()}
    lines = [f"{params}: ok", *(_sweep_line(section, sweep) for section, sweep in sweeps.items())]
    plain = {section: sweep.model_dump(mode="json") for section, sweep in sweeps.items()}
    echo({"params": str(params), "sweeps": plain}, "\n".join(lines) + "\n", as_json)


def _sweep_line(section: str, sweep: SweepSettings) -> str:
    scales = ", ".join(f"{scale:,}" for scale in sweep.scales)
    most, wanted = ("", "") if sweep.precision is None else ("at most ", _wanted(sweep.precision))
    return (
        f"{section:<18}{sweep.id}: {most}{sweep.most_configs * len(sweep.scales)} fits ({most}"
        f"{sweep.most_configs} configs at each of {scales} visitors{wanted}), family {sweep.generator_family}"
    )


def _wanted(precision: PrecisionSettings) -> str:
    return f", until {100 * precision.level:g}% coverage is known to +-{precision.half_width:g}"


@app.command("apply", epilog=example("sbcflow params apply config/production.yaml"))
def apply_params(
    scenario: Annotated[Path, typer.Argument(metavar="FILE", help="The values that differ.")],
    params: ParamsOption = PARAMS_FILE,
) -> None:
    """Put the values of a scenario (config/*.yaml) into params.yaml."""
    from sbcflow.scenario import apply_scenario

    apply_scenario(scenario, params)
    typer.echo(f"{params}: now holds the values of {scenario}")

"""``sbcflow explore``: sweeps over combinations of run values, each saved as an experiment."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from sbcflow.cli.shared import PARAMS_FILE, Json, ParamsOption, echo, progress

TERMINATED = 128 + signal.SIGTERM


def explore_command(
    sets: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="KEY=V1,V2,...",
            help="Values of a key of params.yaml; every combination with those of other --set is run.",
        ),
    ],
    jobs: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Fits at once; by default what Snakemake's profile says."),
    ] = None,
    params: ParamsOption = PARAMS_FILE,
    as_json: Json = False,
) -> None:
    """Run an exploratory sweep for every combination of values; save each as an experiment.

    A sweep that fails is saved as failed with its log, and the rest go on; exit 1 then. Run again, it does
    only what is missing.
    """
    from sbcflow.explore import Outcome, explore, render
    from sbcflow.explore.combinations import parse_sets

    # Snakemake is ended as on Ctrl-C, and not left behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    results = explore(parse_sets(sets), jobs=jobs, params=params, say=progress)
    echo([result.plain() for result in results], render(results), as_json)
    if any(result.outcome is Outcome.FAILED for result in results):
        raise typer.Exit(1)

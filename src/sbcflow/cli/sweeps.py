"""``sbcflow status``, ``explain`` and ``replay``: a sweep looked at from its files."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from sbcflow.cli.shared import PARAMS_FILE, Json, ParamsOption, echo, progress

if TYPE_CHECKING:
    from sbcflow.inspection.watch import Statuses

INTERRUPTED = 128 + signal.SIGINT

SWEEP_HELP = "A sweep's run id, or its section of params.yaml."
Sweep = Annotated[str, typer.Argument(metavar="SWEEP", help=SWEEP_HELP)]


def status_command(
    sweep: Annotated[
        str | None, typer.Argument(metavar="SWEEP", help=f"{SWEEP_HELP} By default all that have begun.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Go on until all is fitted and gathered.")] = False,
    every: Annotated[
        float, typer.Option(min=0.1, metavar="SECONDS", help="How long --watch waits between two looks.")
    ] = 5.0,
    params: ParamsOption = PARAMS_FILE,
    as_json: Json = False,
) -> None:
    """Show how far a sweep is: done, running, failed, missing, how long it will take, on which machines.

    From its files alone, on any machine that sees them, at any time; writes nothing.
    """
    from sbcflow.inspection import watch as watching
    from sbcflow.inspection.sweeps import begun_sweeps, find_sweep
    from sbcflow.params import load

    values = load(params)
    look = watching.looker(values, begun_sweeps(values) if sweep is None else [find_sweep(values, sweep)])
    if not watch:
        statuses = look()
        echo([one.plain() for one in statuses], watching.text_of(statuses), as_json)
        return
    on_terminal = sys.stdout.isatty() and not as_json
    try:
        watching.watch(look, _shower(as_json, on_terminal), every, always=on_terminal)
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _shower(as_json: bool, on_terminal: bool) -> Callable[[Statuses], None]:
    """Return what shows a status that is watched: redrawn, as a block with its time, or a JSON line."""
    from sbcflow.inspection.watch import CLEAR, text_of

    def show(statuses: Statuses) -> None:
        if as_json:
            typer.echo(json.dumps([one.plain() for one in statuses]))
        else:
            head = CLEAR if on_terminal else f"-- {time.strftime('%Y-%m-%d %H:%M:%S')}\n"
            typer.echo(head + text_of(statuses))

    return show


def explain_command(sweep: Sweep, params: ParamsOption = PARAMS_FILE, as_json: Json = False) -> None:
    """Say of each config that would be fitted what has changed: code, a setting, the version of a library."""
    from sbcflow.inspection.explain import explain_sweep
    from sbcflow.inspection.explain_text import render_explained
    from sbcflow.inspection.sweeps import find_sweep
    from sbcflow.params import load

    values = load(params)
    explained = explain_sweep(values, find_sweep(values, sweep))
    echo(explained.plain(), render_explained(explained), as_json)


def audit_command(
    sweep: Sweep,
    share: Annotated[float, typer.Option(metavar="S", help="The share of its fits, in (0, 1].")] = 0.05,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="The seed that draws them.")] = 0,
    params: ParamsOption = PARAMS_FILE,
    as_json: Json = False,
) -> None:
    """Fit a random share of a sweep again by NUTS: how much miscalibration is the approximation's.

    What `snakemake audit` fitted is used, the rest is fitted here. Writes nothing.
    """
    from sbcflow import runtime
    from sbcflow.devices import claim_gpu

    claim_gpu()
    runtime.configure()
    from sbcflow.inspection.audit import audit
    from sbcflow.inspection.audit_text import render_audit
    from sbcflow.inspection.sweeps import find_sweep
    from sbcflow.params import load

    values = load(params)
    found = audit(values, find_sweep(values, sweep), share, seed, say=progress)
    echo(found.plain(), render_audit(found.plain()), as_json)


def replay_command(
    sweep: Sweep,
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="A config's id, as 0007-1a2b3c4d, or index.")
    ],
    params: ParamsOption = PARAMS_FILE,
    as_json: Json = False,
) -> None:
    """Fit one config again, elsewhere, and compare each field with what is recorded.

    Exit 1 if one differs.
    """
    from sbcflow import runtime
    from sbcflow.devices import claim_gpu

    claim_gpu()
    runtime.configure()
    from sbcflow.inspection.replay import replay
    from sbcflow.inspection.replay_text import render_replay
    from sbcflow.inspection.sweeps import find_sweep
    from sbcflow.params import load

    values = load(params)
    replayed = replay(values, find_sweep(values, sweep), config, say=progress)
    echo(replayed.plain(), render_replay(replayed), as_json)
    if not replayed.is_same:
        raise typer.Exit(1)

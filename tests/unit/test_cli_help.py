"""Help: every command has an example that it would take, and the shell completes names."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import typer.main
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from sbcflow.cli import app
from sbcflow.cli.help import OVERVIEW

ROOT = typer.main.get_command(app)


def leaves(
    command: TyperCommand | TyperGroup, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], TyperCommand]]:
    """Every command that is no group, with the words that call it."""
    if isinstance(command, TyperGroup):
        for name, inner in command.commands.items():
            yield from leaves(inner, (*path, name))
    else:
        yield path, command


COMMANDS = dict(leaves(ROOT))


def examples(command: TyperCommand) -> list[list[str]]:
    """The command lines of a command's epilog, in words."""
    lines = (command.epilog or "").replace("\\\n", "").splitlines()
    return [shlex.split(line) for line in lines if line.startswith("  ")]


def parse(words: list[str]) -> None:
    """Parse a command line as the command would, and call nothing."""
    command, context, rest = ROOT, None, words[1:]
    while isinstance(command, TyperGroup):
        context = typer.Context(command, parent=context)
        _, command, rest = command.resolve_command(context, rest)
    command.make_context(words[-1], list(rest), parent=context)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_shows_an_example_that_it_takes(path: tuple[str, ...]) -> None:
    shown = examples(COMMANDS[path])
    assert shown
    for words in shown:
        assert words[: 1 + len(path)] == ["sbcflow", *path]
        parse(words)


@pytest.mark.parametrize("line", ["sbcflow calibrate --draws d.npz", "sbcflow status --wacth", "sbcflow no"])
def test_the_check_of_examples_catches_one_that_would_be_refused(line: str) -> None:
    with pytest.raises(TyperException):
        parse(line.split())


def test_the_overview_names_six_things_and_commands_that_exist() -> None:
    lines = [line.split()[:2] for line in OVERVIEW.splitlines() if line.startswith("  ")]
    assert len(lines) == 6
    ours = [second for first, second in lines if first == "sbcflow"]
    assert len(ours) == 5
    assert {(name,) for name in ours} <= COMMANDS.keys()


@pytest.mark.parametrize(("typed", "offered"), [("sbcflow st", "status"), ("sbcflow exp che", "checkpoint")])
def test_the_shell_completes_commands(typed: str, offered: str) -> None:
    words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
    command = Path(sys.executable).with_name("sbcflow")
    environment = os.environ | words | {"_SBCFLOW_COMPLETE": "complete_bash"}
    done = subprocess.run([command], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [offered]

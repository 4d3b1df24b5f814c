"""Make the pages that show what commands print: python docs/capture.py [help] [runs].

``help`` writes cli-help.md, the help of every command, quick and the same on every machine; a test sees that
it is current. ``runs`` writes cli-captured.md: commands run in a copy of this project on the smallest
scenario, in a terminal of 100 columns and through a pipe. Without a word, both.
"""

from __future__ import annotations

import os
import platform
import pty
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import typer.main
from typer import rich_utils
from typer.testing import CliRunner

from sbcflow.cli import app
from sbcflow.files import write_text

ROOT = Path(__file__).parents[1]
HELP, CAPTURED = (ROOT / "docs" / name for name in ("cli-help.md", "cli-captured.md"))
WIDTH = 100
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

HELP_HEAD = """\
# Help of every command
As `--help` prints it, {width} columns wide. `python docs/capture.py help` makes this page; [Commands](cli.md)
says more of each command.
"""
RUNS_HEAD = """\
# What commands print
On two cores without a GPU, in a copy of this project on `config/smoke.yaml`, whose fits are small but real.
`python docs/capture.py runs` makes this page; colours are left out, and folders renamed.
"""


def render_help() -> str:
    """Return the page of the help of every command, in the order in which they are listed."""
    parts = [HELP_HEAD.format(width=WIDTH)]
    for words in _commands(typer.main.get_command(app), ()):
        parts.append(f"\n## {' '.join(('sbcflow', *words))}\n```text\n{_help(words)}```\n")
    return "".join(parts)


def _commands(command: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from _commands(child, (*path, name))


def _help(words: tuple[str, ...]) -> str:
    width, forced = rich_utils.MAX_WIDTH, rich_utils.FORCE_TERMINAL
    rich_utils.MAX_WIDTH, rich_utils.FORCE_TERMINAL = WIDTH, False
    try:
        done = CliRunner().invoke(app, [*words, "--help"], prog_name="sbcflow")
    finally:
        rich_utils.MAX_WIDTH, rich_utils.FORCE_TERMINAL = width, forced
    return _plain(done.output)


def _plain(text: str) -> str:
    """Return text without orders to a terminal, blank ends of lines, and blank lines around."""
    lines = [line.rstrip() for line in ESCAPES.sub("", text).replace("\r\n", "\n").split("\n")]
    return "\n".join(lines).strip("\n") + "\n"


def render_runs() -> str:
    """Run the commands and return the page of what they printed; about a minute."""
    with tempfile.TemporaryDirectory() as folder:
        project = _Project(Path(folder))
        parts = [
            RUNS_HEAD,
            "\n## Is this machine fit?\n",
            project.in_terminal("sbcflow doctor"),
            "\n## Completion\n`sbcflow --install-completion` sets up your shell; or put in `~/.bashrc`:\n\n",
            project.through_pipe("sbcflow --show-completion bash"),
            "\nFrom then on the shell completes commands and options:\n\n",
            project.through_pipe(
                "COMP_WORDS='sbcflow s' COMP_CWORD=1 _SBCFLOW_COMPLETE=complete_bash sbcflow"
            ),
            "\n## A run in a terminal\n",
            project.in_terminal("sbcflow params apply config/smoke.yaml"),
            project.in_terminal("sbcflow params check"),
            project.in_terminal("dvc repro train_sweep"),
            project.in_terminal("sbcflow status"),
            "\n## A run through a pipe\nThe same lines without colours. Nothing waits for a key.\n\n",
            project.through_pipe("snakemake exploratory_sweep 2>&1"),
            project.through_pipe("sbcflow status exploratory_sweep --watch"),
            project.through_pipe("sbcflow status exploratory_sweep --json | head -n 12"),
            "\n## An error\n",
            project.in_terminal("sbcflow explain pilot_train"),
        ]
    return "".join(parts)


class _Project:
    """A clone of this repository in ``folder``, in which commands are run and shown."""

    def __init__(self, folder: Path) -> None:
        self.path, home = folder / "sbcflow", folder / "home"
        home.mkdir()
        identity = "[user]\n\tname = You\n\temail = you@example.org\n"
        write_text(home / ".gitconfig", identity)
        _check(["git", "clone", "--quiet", str(ROOT), str(self.path)], ROOT, dict(os.environ))
        self.shown = {
            str(self.path): "~/sbcflow",
            str(home): "~",
            sys.prefix: "~/sbcflow/.venv",
            platform.platform(): "Linux-x86_64",
        }
        self.env = {
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.path / "src"),
            "COLUMNS": str(WIDTH),
            "TERM": "xterm-256color",
            "LC_ALL": "C.UTF-8",
            "JAX_PLATFORMS": "cpu",
        }

    def in_terminal(self, command: str) -> str:
        """Return a block of a command and what it wrote to a terminal."""
        leader, follower = pty.openpty()
        with subprocess.Popen(
            ["bash", "-c", f"stty cols {WIDTH} -onlcr; {command}"],
            cwd=self.path,
            env=self.env,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
        ) as process:
            os.close(follower)
            text = b"".join(_chunks(leader)).decode()
            process.wait()
        os.close(leader)
        return self._block(command, text)

    def through_pipe(self, command: str) -> str:
        """Return a block of a command and what it wrote into a pipe."""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.path, env=self.env, capture_output=True, text=True, check=False
        )
        return self._block(command, done.stdout)

    def _block(self, command: str, text: str) -> str:
        for name, other in self.shown.items():
            text = text.replace(name, other)
        return f"```text\n$ {command}\n{_plain(text)}```\n"


def _chunks(leader: int) -> Iterator[bytes]:
    """Yield what arrives at a terminal until nobody has it open."""
    while True:
        try:
            chunk = os.read(leader, 1 << 16)
        except OSError:  # Linux says so of a terminal whose last process is gone
            return
        if not chunk:
            return
        yield chunk


def _check(command: list[str], folder: Path, env: dict[str, str]) -> None:
    subprocess.run(command, cwd=folder, env=env, check=True)


def main(words: list[str]) -> None:
    pages = {"help": (HELP, render_help), "runs": (CAPTURED, render_runs)}
    for word in words or pages:
        page, render = pages[word]
        write_text(page, render())


if __name__ == "__main__":
    main(sys.argv[1:])

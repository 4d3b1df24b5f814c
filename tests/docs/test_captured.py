"""The pages of captured output: the help is that of the commands, and the runs are such as they say."""

from __future__ import annotations

import importlib.util
import re
from types import ModuleType

import pytest
import typer.main

from sbcflow.cli import app
from workflow_project import ROOT

DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def capture() -> ModuleType:
    spec = importlib.util.spec_from_file_location("capture", DOCS / "capture.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_help_is_current(capture: ModuleType) -> None:
    assert (DOCS / "cli-help.md").read_text() == capture.render_help(), "run: python docs/capture.py help"


def test_every_command_is_on_the_page(capture: ModuleType) -> None:
    page = capture.render_help()
    for name, command in typer.main.get_command(app).commands.items():
        assert f"\n## sbcflow {name}\n" in page
        for inner in getattr(command, "commands", {}):
            assert f"\n## sbcflow {name} {inner}\n" in page


def test_a_changed_help_is_another_page(capture: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    before = capture.render_help()
    monkeypatch.setattr(app.registered_commands[0], "help", "Do something else.")
    assert "Do something else." not in before
    assert "Do something else." in capture.render_help()


def test_lines_fit_and_hold_no_colours(capture: ModuleType) -> None:
    for name in ("cli-help.md", "cli-captured.md"):
        text = (DOCS / name).read_text()
        blocks = re.findall(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        assert blocks and "\x1b" not in text and "\r" not in text
    help_blocks = re.findall(r"^```text\n(.*?)^```", capture.render_help(), re.MULTILINE | re.DOTALL)
    assert max(len(line) for block in help_blocks for line in block.splitlines()) <= capture.WIDTH


def test_the_captured_runs_name_no_place_of_the_machine_that_made_them() -> None:
    text = (DOCS / "cli-captured.md").read_text()
    assert re.findall(r"(?<![\w~.])/(?!dev/|usr/bin/)[a-z]+/[\w/.-]+", text) == []


def test_colours_and_blank_ends_are_left_out(capture: ModuleType) -> None:
    assert capture._plain("\n\x1b[1;31mred\x1b[0m  \r\nplain\n\n") == "red\nplain\n"


def test_a_terminal_is_one_and_a_pipe_is_none(capture: ModuleType) -> None:
    project = object.__new__(capture._Project)
    project.path, project.shown, project.env = ROOT, {"workstation": "host"}, {"PATH": "/usr/bin:/bin"}
    ask = "test -t 1 && echo workstation terminal; test -t 1 || echo pipe"
    assert project.in_terminal(ask) == f"```text\n$ {ask}\nhost terminal\n```\n"
    assert project.through_pipe(ask) == f"```text\n$ {ask}\npipe\n```\n"

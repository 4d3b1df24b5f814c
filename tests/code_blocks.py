"""The fenced code blocks of README and docs: what they are, which of them run, and a page's run.

A comment right above a fence, which no reader sees, says what is unusual of it::

    <!-- not run: REASON -->
    <!-- printed by the block above -->
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).parents[1]
RUNNER = Path(__file__).with_name("block_runner.py")
RUNNABLE = ("python", "sh")
SHOWN = ("text", "yaml", "toml", "json", "csv")
NOT_RUN = re.compile(r"<!-- not run:(.*)-->")
PRINTED = "<!-- printed by the block above -->"
FENCE = re.compile(r"^```(.*)$")
TIMEOUT = 300


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line of its fence, counted from 1.

    ``reason`` says why it is not run, where it is marked so; ``printed`` is what it must print, where the
    page shows that.
    """

    language: str
    text: str
    line: int
    reason: str | None = None
    printed: str | None = None

    @property
    def runs(self) -> bool:
        return self.language in RUNNABLE and self.reason is None


@dataclass(frozen=True)
class Ran:
    """What became of a block: its exit code, what it printed, and what it said on stderr."""

    code: int
    stdout: str
    stderr: str


def pages() -> list[Path]:
    """Return README.md and every page of docs/."""
    found = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md"))]
    return [page for page in found if "_build" not in page.parts]


def page_id(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks_of(text: str) -> list[Block]:
    """Return the blocks of a page, in order.

    Raises:
        ValueError: a fence that stays open or is indented, a mark that is above no block that it could be
            of, a reason that is empty, a language that nobody decides about.
    """
    found: list[Block] = []
    lines = text.splitlines()
    at = 0
    while at < len(lines):
        mark = lines[at - 1] if at else ""
        if opened := FENCE.match(lines[at]):
            end = next((i for i in range(at + 1, len(lines)) if lines[i].rstrip() == "```"), None)
            if end is None:
                raise ValueError(f"line {at + 1}: the fence stays open")
            body = "".join(f"{line}\n" for line in lines[at + 1 : end])
            _add(found, Block(opened[1].strip(), body, at + 1), mark)
            at = end
        elif lines[at].lstrip().startswith("```"):
            raise ValueError(f"line {at + 1}: a fence that is indented")
        elif _is_mark(lines[at]) and not (at + 1 < len(lines) and FENCE.match(lines[at + 1])):
            raise ValueError(f"line {at + 1}: a mark above no fence")
        at += 1
    return found


def _is_mark(line: str) -> bool:
    return line.startswith(("<!-- not run", "<!-- printed"))


def _add(found: list[Block], block: Block, mark: str) -> None:
    """Add a block as its mark says; what another one printed goes to that one."""
    if not (block.language in (*RUNNABLE, *SHOWN) or block.language.startswith("{")):
        raise ValueError(f"line {block.line}: {block.language!r} is no language that runs or is shown")
    if mark == PRINTED:
        if block.language != "text" or not found or not found[-1].runs:
            raise ValueError(f"line {block.line}: printed by no block that runs")
        found[-1] = replace(found[-1], printed=block.text)
        return
    if _is_mark(mark):
        reason = NOT_RUN.fullmatch(mark)
        if block.language not in RUNNABLE or reason is None or not reason[1].strip():
            raise ValueError(f"line {block.line}: {mark}: must be of a block that could run, with a reason")
        block = replace(block, reason=reason[1].strip())
    found.append(block)


def run_blocks(blocks: Sequence[Block], folder: Path, env: Mapping[str, str]) -> list[Ran]:
    """Run blocks in order in a folder, in one process that Python's share; stops at one that fails."""
    given = json.dumps([[block.language, block.text, f"line {block.line}"] for block in blocks])
    done = subprocess.run(
        [sys.executable, str(RUNNER)],
        cwd=folder,
        env=dict(env),
        input=given,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
    )
    return [Ran(*one) for one in json.loads(done.stdout.splitlines()[-1])]


def failures(blocks: Sequence[Block], ran: Sequence[Ran]) -> list[str]:
    """Say of each block that failed, never ran, or printed something else, which it is and what it said."""
    said = []
    for block, one in zip(blocks, ran, strict=False):
        if one.code:
            said.append(f"line {block.line}: exit code {one.code}\n{block.text}{one.stdout}{one.stderr}")
        elif block.printed is not None and one.stdout.rstrip() != block.printed.rstrip():
            said.append(f"line {block.line}: printed\n{one.stdout}and not\n{block.printed}")
    if len(ran) < len(blocks):
        said.append(f"line {blocks[len(ran)].line} and what follows it never ran")
    return said

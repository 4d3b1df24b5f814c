"""Every code block of README and docs runs as it stands, but for those that a mark in the page names."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from code_blocks import Block, blocks_of, failures, page_id, pages, run_blocks
from workflow_project import ROOT, Project

# Pages about a project of another kind, and the tests that run their blocks by the same functions.
RUN_ELSEWHERE = {"docs/experiments.md": "tests/repo/test_exp_examples.py"}
# How many blocks of a page do not run; the page says of each why.
NOT_RUN = {
    "README.md": 4,
    "docs/howto/cluster.md": 1,
    "docs/howto/migrate.md": 1,
    "docs/howto/remotes.md": 2,
    "docs/tutorial.md": 1,
}
WITH_BLOCKS = [page for page in pages() if any(block.runs for block in blocks_of(page.read_text()))]
HERE = [page for page in WITH_BLOCKS if page_id(page) not in RUN_ELSEWHERE]


@pytest.mark.parametrize("page", HERE, ids=page_id)
def test_the_blocks_of_a_page_run(page: Path, copy: Project) -> None:
    """In order, in one copy of the pilot, so that a block can use what those before it made."""
    blocks = [block for block in blocks_of(page.read_text()) if block.runs]
    assert failures(blocks, run_blocks(blocks, copy.path, copy.env)) == []


def test_other_pages_are_run_by_the_tests_that_are_named() -> None:
    assert RUN_ELSEWHERE.keys() <= {page_id(page) for page in WITH_BLOCKS}
    for name in RUN_ELSEWHERE.values():
        assert "blocks_of(" in (ROOT / name).read_text()


def test_the_blocks_that_do_not_run_are_those_that_are_marked_here_too() -> None:
    """A mark is for what no plain machine can do, so another one is decided here as well as in its page."""
    found = {page_id(page): blocks_of(page.read_text()) for page in pages()}
    marked = {page: sum(block.reason is not None for block in blocks) for page, blocks in found.items()}
    assert {page: count for page, count in marked.items() if count} == NOT_RUN
    assert sum(block.runs for blocks in found.values() for block in blocks) > 50


# What the tests above rest on.


PAGE = """\
```python
x = 2
```
Text.
```python
print(x + 1)
```
<!-- printed by the block above -->
```text
3
```
```sh
echo $((1 + 1))
```
<!-- not run: needs a cluster -->
```sh
exit 7
```
```yaml
a: 1
```
"""


def run(text: str, folder: Path) -> list[str]:
    blocks = [block for block in blocks_of(text) if block.runs]
    return failures(blocks, run_blocks(blocks, folder, os.environ))


def test_blocks_are_found_with_their_marks() -> None:
    first, second, third, marked, shown = blocks_of(PAGE)
    assert (first, second.printed) == (Block("python", "x = 2\n", 1), "3\n")
    assert third.runs and third.line == 12
    assert marked.reason == "needs a cluster" and not marked.runs
    assert shown.language == "yaml" and not shown.runs


def test_a_page_that_is_right_passes(tmp_path: Path) -> None:
    assert run(PAGE, tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("print(x + 1)", "print(y + 1)", "NameError"),
        ("print(x + 1)", "raise SystemExit(0)", "line 5: exit code 1"),
        ("print(x + 1)", "print(x + 2)", "printed\n4\nand not\n3"),
        ("echo $((1 + 1))", "false\necho", "line 12: exit code 1"),
        ("echo $((1 + 1))", "echo $unset", "unbound variable"),
        ("x = 2", "1 / 0", "line 5 and what follows it never ran"),
        ("<!-- not run: needs a cluster -->\n", "", "line 15: exit code 7"),
    ],
)
def test_a_page_that_is_wrong_is_caught(old: str, new: str, said: str, tmp_path: Path) -> None:
    assert old in PAGE
    assert said in "\n".join(run(PAGE.replace(old, new), tmp_path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<!-- not run: -->\n```sh\nls\n```\n", "with a reason"),
        ("<!-- not run -->\n```sh\nls\n```\n", "with a reason"),
        ("<!-- not run: why -->\n\n```sh\nls\n```\n", "above no fence"),
        ("<!-- not run: why -->\n```text\nls\n```\n", "could run"),
        ("<!-- printed by the block above -->\n```text\n3\n```\n", "by no block"),
        ("```bash\nls\n```\n", "'bash' is no language"),
        ("```\nls\n```\n", "'' is no language"),
        ("```sh\nls\n", "stays open"),
        ("- a\n  ```sh\n  ls\n  ```\n", "indented"),
    ],
)
def test_marks_and_fences_that_could_hide_a_block_are_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        blocks_of(text)

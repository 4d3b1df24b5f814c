"""Links in README and docs lead somewhere, headings included; no network is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from code_blocks import page_id
from workflow_project import ROOT

PAGES = sorted(
    page
    for pattern in (
        "README.md",
        "CHANGELOG.md",
        "docs/**/*.md",
        "*/README.md",
        "workflow/**/*.md",
        "tests/*/README.md",
    )
    for page in ROOT.glob(pattern)
    if "_build" not in page.parts
)
FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```", re.MULTILINE | re.DOTALL)


def links_of(text: str) -> list[str]:
    """Return the targets of a page's links and pictures, code left out."""
    prose = re.sub(r"`[^`\n]*`", lambda found: "x" * len(found[0]), FENCED.sub("", text))
    return LINK.findall(prose)


@cache
def anchors_of(page: Path) -> frozenset[str]:
    """Return the names of a page's headings, as GitHub and MyST make them, numbered where one comes again."""
    names: list[str] = []
    for heading in HEADING.findall(FENCED.sub("", page.read_text())):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.replace("`", ""))
        name = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        names.append(f"{name}-{names.count(name)}" if name in names else name)
    return frozenset(names)


def broken(page: Path, text: str) -> Iterator[str]:
    """Yield the links of a page at ``page`` that lead nowhere."""
    for link in links_of(text):
        target, _, anchor = link.partition("#")
        if "://" in link or link.startswith("mailto:"):
            continue
        place = (page.parent / target) if target else page
        if not place.exists() or not place.resolve().is_relative_to(ROOT):
            yield link
            continue
        if anchor and (place.suffix != ".md" or anchor not in anchors_of(place)):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    assert list(broken(page, page.read_text())) == []


def test_every_page_of_docs_is_in_the_contents() -> None:
    index = ROOT / "docs/index.md"
    lines = [line for body in TOCTREE.findall(index.read_text()) for line in body.splitlines()]
    entries = [line for line in lines if line and not line.startswith(":")]
    listed = {page for entry in entries for page in index.parent.glob(f"{entry}.md")}
    built = {page for page in index.parent.glob("**/*.md") if "_build" not in page.parts}
    assert listed == built - {index}
    assert len(listed) >= len(entries)


PAGE = ROOT / "docs/concepts.md"


@pytest.mark.parametrize(
    "link",
    [
        "nowhere.md",
        "model.md#no-such-heading",
        "#neither",
        "../../outside.md",
        "model.md#Exact-checks",
        "conf.py#a",
    ],
)
def test_a_broken_link_is_found(link: str) -> None:
    assert list(broken(PAGE, f"See [this]({link}) and [that](model.md).")) == [link]
    assert list(broken(PAGE, f"![A picture]({link})")) == [link]
    assert list(broken(PAGE, f'See [`code`]({link} "title").')) == [link]


def test_what_is_no_link_of_ours_is_left_alone() -> None:
    text = "`[a](nowhere.md)` [b](https://example.org/#c)\n```sh\n[d](nowhere.md)\n```\n[e](model.md#exact-checks)"
    assert list(broken(PAGE, text)) == []
    assert links_of(text) == ["https://example.org/#c", "model.md#exact-checks"]


def test_headings_are_named_as_readers_of_markdown_name_them(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text('# A `b` [c](d.md)!\n## "Outside" the 2nd\n## Same\n## Same\n```sh\n# no heading\n```\n')
    assert anchors_of(page) == {"a-b-c", "outside-the-2nd", "same", "same-1"}

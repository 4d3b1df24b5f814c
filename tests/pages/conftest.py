"""A browser for all tests of pages, and the pages: those of made-up runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import find_chromium
from playwright.sync_api import Browser, sync_playwright


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium here, and none can be installed (a Debian, as root): install chromium")
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture(params=["evaluation", "analysis"])
def path(request: pytest.FixtureRequest) -> Path:
    """The page of an evaluation, and that of an analysis."""
    folder: Path = request.getfixturevalue(request.param)
    return folder / "report.html"

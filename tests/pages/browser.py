"""A page as a reader meets it: opened in headless Chromium, with all that it says and asks for on the way."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SERIOUS = ("serious", "critical")
INSTALL = ("apt-get", "install", "--quiet", "--quiet", "--yes", "--no-install-recommends", "chromium")


def find_chromium() -> str | None:
    """Return a Chromium; on a Debian as root, install one where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (("apt-get", "update", "--quiet", "--quiet"), INSTALL):
            subprocess.run(command, env=environment, capture_output=True, timeout=900, check=False)
        found = next(filter(None, map(shutil.which, NAMES)), None)
    return found


@dataclass
class Seen:
    """An open page, and what it complained of and asked for."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def open_all_tables(self) -> None:
        """Open what is folded away, so that checks see it."""
        self.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")


@contextmanager
def opened(browser: Browser, path: Path, width: int, scheme: str = "light") -> Iterator[Seen]:
    """Open a page at a width in CSS pixels, in the light or the dark."""
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)  # type: ignore[arg-type]
    seen = Seen(page)
    page.on("console", lambda message: seen.complaints.append(message.text))
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on("request", lambda request: seen.requests.append(request.url))
    try:
        page.goto(path.as_uri())
        yield seen
    finally:
        page.close()


def requests_elsewhere(seen: Seen, path: Path) -> list[str]:
    """Return what the page asked for beside itself and what it carries in itself."""
    return [url for url in seen.requests if url != path.as_uri() and not url.startswith(("data:", "blob:"))]


def overflow(seen: Seen) -> int:
    """Return by how many pixels the page is wider than its window."""
    return int(seen.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def violations(seen: Seen) -> list[str]:
    """Return what axe finds that is serious or critical, with where."""
    found = Axe().run(seen.page).response["violations"]
    return [
        f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']][:3]}"
        for one in found
        if one["impact"] in SERIOUS
    ]


def column_values(table: Locator, column: int) -> list[str]:
    """Return the full values of a column, in the order that is shown."""
    cells = table.locator(f"tbody tr td:nth-child({column + 1})")
    values: list[str] = cells.evaluate_all("(cells) => cells.map((cell) => cell.dataset.value)")
    return values


def is_sorted(values: list[str], *, numeric: bool, down: bool) -> bool:
    """Return whether values are in order, numbers as numbers, what is empty last."""
    full = [value for value in values if value != ""]
    if values != full + [""] * (len(values) - len(full)):
        return False
    keys = [float(value) for value in full] if numeric else full
    return keys == sorted(keys, reverse=down)

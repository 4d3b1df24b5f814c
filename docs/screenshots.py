"""Remakes docs/images/: `python docs/screenshots.py runs/pilot-evaluation hillstrom`.

Takes the folder of an evaluation and that of an analysis, each with its report.html, and needs Chromium.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

IMAGES = Path(__file__).parent / "images"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZES = {"desktop": (1280, 1640), "phone": (390, 1500)}
COLOURS = 128


def main(evaluation: Path, analysis: Path) -> None:
    """Take a picture of both pages at both widths."""
    chromium = next(filter(None, map(shutil.which, BROWSERS)), None)
    if chromium is None:
        sys.exit("error: no Chromium on the PATH; install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, folder in (("report", evaluation), ("analyze", analysis)):
            for device, size in SIZES.items():
                take(browser, folder / "report.html", size, IMAGES / f"{name}-{device}.png")
        browser.close()


def take(browser: Browser, page: Path, size: tuple[int, int], out: Path) -> None:
    """Take the top of a page, in few colours, so that the file is small."""
    width, height = size
    tab = browser.new_page(viewport={"width": width, "height": height}, color_scheme="light")
    tab.goto(page.resolve().as_uri())
    image = Image.open(io.BytesIO(tab.screenshot()))
    tab.close()
    out.parent.mkdir(exist_ok=True)
    image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(out, optimize=True)
    print(f"{out.name}: {image.width} x {image.height}, {out.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

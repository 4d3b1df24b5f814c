"""A figure's SVG as a part of a page: ids of its own, the page's fonts, colours that follow dark mode."""

from __future__ import annotations

import re
from html import escape

from sbcflow.plots.style import PALETTE

NAMES = {colour.light: name for name, colour in PALETTE.items()}
COLOUR = re.compile("|".join(map(re.escape, NAMES)))
METADATA = re.compile(r"<metadata>.*?</metadata>|<style\b.*?</style>", re.DOTALL)
SIZE = re.compile(r'(<svg\b[^>]*?) width="[^"]*" height="[^"]*"')
# Fonts are the page's; to turn a text by nothing only costs bytes.
FONT = re.compile(r" font-family: [^;\"]+;")
TURN = re.compile(r' transform="rotate\(-?0 [^)]*\)"')


def inline(svg: bytes, name: str, alt: str) -> str:
    """Return an SVG of ``plots.svg_bytes`` as markup for a page, described by ``alt``.

    Colours of the palette become ``var(--name)``, which the page's style defines for light and dark.
    """
    text = svg.decode("utf-8")
    text = METADATA.sub("", text[text.index("<svg") :])
    text = TURN.sub("", FONT.sub("", SIZE.sub(r"\1", text, count=1)))
    text = COLOUR.sub(lambda found: f"var(--{NAMES[found[0]]})", text)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r">\s+<", "><", text)
    described = f'<svg role="img" aria-label="{escape(alt, quote=True)}"'
    return text.replace("<svg", described, 1).strip()

"""The look of every figure: colours, type, and a figure that writes the same bytes for the same picture."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from types import MappingProxyType
from typing import IO, Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sbcflow.plots.layout import WholeLayout


@dataclass(frozen=True)
class Colour:
    """A colour of the palette: as drawn, on white paper, and what a dark page puts in its place."""

    light: str
    dark: str


# Told apart by the colour-blind (orange, blue, green-blue and purple; methods have markers of their own
# too), each at 4.5:1 or more against its paper (tests/unit/test_plots_style.py).
PALETTE: Mapping[str, Colour] = MappingProxyType(
    {
        "ink": Colour("#1b2530", "#e8edf3"),
        "muted": Colour("#566373", "#a9b6c5"),
        "rule": Colour("#d7dde4", "#36424f"),
        "raw": Colour("#b8430b", "#ff9d5c"),
        "curve": Colour("#3a63b8", "#90b4ff"),
        "layered": Colour("#0b6e69", "#43d1c0"),
        "regime": Colour("#7b3294", "#d79bec"),
        "alarm": Colour("#b3162b", "#ff8f94"),
        "paper": Colour("#ffffff", "#18212b"),
    }
)
INK, MUTED, RULE, RAW, CURVE, LAYERED, REGIME, ALARM, PAPER = (colour.light for colour in PALETTE.values())

METHOD_LABELS: Mapping[str, str] = MappingProxyType(
    {"raw": "raw", "r_of_p": "R(p)", "layered": "layered", "regime": "by regime"}
)
METHOD_COLOURS: Mapping[str, str] = MappingProxyType(
    {"raw": RAW, "r_of_p": CURVE, "layered": LAYERED, "regime": REGIME}
)
METHOD_MARKERS: Mapping[str, str] = MappingProxyType(
    {"raw": "o", "r_of_p": "s", "layered": "D", "regime": "^"}
)

WIDTH, HEIGHT = 4.2, 3.2
LEGEND_COLUMNS = 4
LEGEND_PAD = 0.5  # in letters' heights: legends stand clear of the figure's edge
DOTS_PER_INCH = 200
STYLE: Any = MappingProxyType(
    {
        "svg.fonttype": "none",
        "svg.hashsalt": "sbcflow",
        "text.parse_math": False,  # a name from data may hold dollars
        "font.family": ["DejaVu Sans"],
        "font.size": 9.5,
        "axes.labelsize": 9.5,
        "axes.labelcolor": MUTED,
        "axes.labelpad": 6,
        "axes.edgecolor": RULE,
        "axes.linewidth": 0.8,
        "axes.axisbelow": True,
        "axes.grid": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.titlesize": 9.5,
        "axes.titlelocation": "left",
        "axes.titlecolor": INK,
        "grid.color": RULE,
        "grid.linewidth": 0.6,
        "text.color": INK,
        "xtick.color": RULE,
        "ytick.color": RULE,
        "xtick.labelcolor": MUTED,
        "ytick.labelcolor": MUTED,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "xtick.major.size": 3,
        "ytick.major.size": 0,
        "ytick.minor.size": 0,
        "xtick.minor.size": 0,
        "lines.linewidth": 1.8,
        "lines.markersize": 5,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "legend.handlelength": 1.8,
        "legend.columnspacing": 1.4,
        "legend.borderaxespad": 0,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
    }
)


class Chart(Figure):
    """A figure that a notebook shows as SVG, without pyplot; saved in our style, on white paper."""

    def savefig(
        self,
        fname: str | PathLike[Any] | IO[Any],
        *,
        transparent: bool | None = None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Save the figure as matplotlib does, but for the style and the paper."""
        paper = {} if transparent else {"facecolor": PAPER}
        with mpl.rc_context(STYLE):
            super().savefig(fname, transparent=transparent, **{**paper, **kwargs})

    def _repr_svg_(self) -> str:
        return svg_bytes(self, facecolor=PAPER).decode("utf-8")


@contextmanager
def canvas(axes: Axes | None, height: float = HEIGHT, width: float = WIDTH) -> Iterator[Axes]:
    """Yield the axes to draw on, in our style: those given, or the only ones of a new figure (inches)."""
    with mpl.rc_context(STYLE):
        yield axes if axes is not None else Chart(figsize=(width, height), layout=WholeLayout()).subplots()


def figure_of(axes: Axes) -> Figure:
    """Return the whole figure that axes belong to."""
    found = axes.get_figure(root=True)
    assert isinstance(found, Figure)
    return found


def spread(n_methods: int) -> list[float]:
    """Return how far, in rows, the marks of each of n methods stand from the middle of their row."""
    gap = 0.3 if n_methods < 3 else 0.24
    return [gap * (i - (n_methods - 1) / 2) for i in range(n_methods)]


def legend_above(axes: Axes) -> None:
    """Put the legend over the picture, where it hides nothing: at the left end of a figure of ours."""
    figure = axes.get_figure(root=True)
    if isinstance(figure, Chart):
        handles = axes.get_legend_handles_labels()
        place: dict[str, Any] = {"loc": "outside upper left", "borderaxespad": LEGEND_PAD}
        figure.legend(*handles, ncols=LEGEND_COLUMNS, **place)
    else:
        axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.03), ncols=LEGEND_COLUMNS)


def svg_bytes(figure: Figure, facecolor: str = "none") -> bytes:
    """Return a figure as SVG: text as text, and the same bytes for the same picture."""
    stream = io.BytesIO()
    with mpl.rc_context(STYLE):
        metadata = {"Date": None, "Creator": None}
        figure.savefig(stream, format="svg", metadata=metadata, facecolor=facecolor, dpi=DOTS_PER_INCH)
    return stream.getvalue()


def png_bytes(figure: Figure, dots_per_inch: int = DOTS_PER_INCH) -> bytes:
    """Return a figure as PNG on white paper."""
    stream = io.BytesIO()
    with mpl.rc_context(STYLE):
        metadata = {"Software": None}
        figure.savefig(stream, format="png", metadata=metadata, dpi=dots_per_inch, facecolor=PAPER)
    return stream.getvalue()

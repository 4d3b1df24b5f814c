"""Figures: legible, the same bytes for the same picture, and nothing global changed."""

from __future__ import annotations

import re
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from sbcflow import plots
from sbcflow.plots.style import PALETTE, STYLE

TEXT_CONTRAST = 4.5
INKS = [name for name in PALETTE if name not in ("paper", "rule")]


def luminance(colour: str) -> float:
    """The relative luminance of WCAG 2."""
    parts = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_what_wcag_says() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("name", INKS)
@pytest.mark.parametrize("mode", ["light", "dark"])
def test_every_ink_is_legible_on_its_paper(name: str, mode: str) -> None:
    assert contrast(getattr(PALETTE[name], mode), getattr(PALETTE["paper"], mode)) >= TEXT_CONTRAST


def test_colours_can_be_told_from_one_another_in_a_page() -> None:
    assert len({colour.light for colour in PALETTE.values()}) == len(PALETTE)


def times(n: int = 5) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "wall_seconds": np.arange(n, 0, -1.0),
            "diagnostics.converged": True,
            "diagnostics.escalated": [False] * (n - 1) + [True],
        }
    )


def test_equal_pictures_are_equal_bytes() -> None:
    one, other = (plots.svg_bytes(plots.plot_times(times())) for _ in range(2))
    assert one == other
    assert one != plots.svg_bytes(plots.plot_times(times(6)))
    assert not re.search(rb"<dc:date>|Matplotlib v", one)


def test_text_is_text() -> None:
    svg = plots.svg_bytes(plots.plot_times(times())).decode()
    assert ">fits, shortest first</text>" in svg
    assert ">went to NUTS</text>" in svg


def test_a_notebook_shows_a_figure_by_itself() -> None:
    assert plots.plot_times(times())._repr_svg_().startswith("<?xml")
    assert plots.png_bytes(plots.plot_times(times())).startswith(b"\x89PNG")


def test_given_axes_are_drawn_on_and_settings_stay() -> None:
    before = dict(mpl.rcParams)
    figure = Figure()
    axes = figure.subplots()
    assert plots.plot_times(times(), axes) is figure
    assert axes.get_ylabel() == "seconds"
    assert axes.get_legend() is not None
    plots.svg_bytes(figure)
    assert dict(mpl.rcParams) == before
    assert any(before[name] != value for name, value in STYLE.items()), "the style changes nothing"


def test_nothing_goes_through_pyplot() -> None:
    code = "import sys; from sbcflow import plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

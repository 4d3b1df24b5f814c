"""Figures are whole, however they are saved: no text runs off the paper."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from analysis_examples import write_correction
from matplotlib.figure import Figure
from matplotlib.text import Text
from notebook_runs import write_analysis, write_evaluation, write_sweep
from PIL import Image

import sbcflow
from sbcflow import plots
from sbcflow.calibration.layered import LayeredCorrection
from sbcflow.calibration.regime import Observed
from sbcflow.plots import style

CLEAR = 2.0  # points between any text and the edge
OBSERVED = Observed(n_visitors=100_000, conversion_rate=0.05, n_arms=2, severity_sd=0.9)


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Callable[[], Figure]]:
    """Each picture of the notebook, by name, to be drawn anew for each way of saving it."""
    folder = tmp_path_factory.mktemp("runs")
    correction = LayeredCorrection.load(write_correction(folder / "correction"))
    sweep = sbcflow.load(write_sweep(folder / "sweep"))
    evaluation = sbcflow.load(write_evaluation(folder / "evaluation", correction))
    analysis = sbcflow.load(write_analysis(folder / "analysis", regime_ok=True))
    long = [f"days_since_the_visitor_signed_up=third {k} of 3" for k in (1, 2)]
    return {
        "effects": lambda: plots.plot_effects(analysis.effects.assign(segment=["all", *long])),
        "coverage": evaluation.plot_coverage,
        "coverage error": evaluation.plot_coverage_error,
        "scores": evaluation.plot_scores,
        "groups": evaluation.plot_groups,
        "cells": evaluation.plot_cells,
        "against a template": lambda: sweep.plot_against("template", "coverage"),
        "against a number": lambda: sweep.plot_against("conversion_rate", "width"),
        "times": sweep.plot_times,
        "ranks": lambda: sweep.plot_ranks("cate_0"),
        "correction": lambda: plots.plot_correction(correction),
        "regime": lambda: plots.plot_regime(correction.regime, OBSERVED),
    }


@pytest.fixture
def nearest(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, float]]:
    """Distances in points from each text that is drawn to the nearest edge; below 0 it runs off."""
    found: dict[str, float] = {}
    draw = Text.draw

    def recorded(self: Text, renderer: object, *args: object, **kwargs: object) -> None:
        draw(self, renderer, *args, **kwargs)
        figure = self.get_figure(root=True)
        box, paper = self.get_window_extent(renderer), figure.bbox
        if self.get_visible() and self.get_text():
            room = min(box.x0, box.y0, paper.x1 - box.x1, paper.y1 - box.y1)
            found[self.get_text()] = room * 72 / figure.dpi

    monkeypatch.setattr(Text, "draw", recorded)
    return found


@pytest.mark.parametrize(("form", "dots"), [("png", 72), ("png", 200), ("svg", 100), ("pdf", 100)])
def test_all_text_lies_on_the_paper(
    figures: dict[str, Callable[[], Figure]], nearest: dict[str, float], form: str, dots: int
) -> None:
    for name, figure in figures.items():
        nearest.clear()
        figure().savefig(io.BytesIO(), format=form, dpi=dots)
        assert len(nearest) > 5, name
        assert min(nearest.values()) > CLEAR, (name, min(nearest, key=nearest.__getitem__))


def test_constrained_layout_alone_lets_a_label_run_off(
    figures: dict[str, Callable[[], Figure]], nearest: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "WholeLayout", lambda: "constrained")
    figures["effects"]().savefig(io.BytesIO(), format="png", dpi=72)
    assert nearest["effect in revenue per visitor, 90% intervals"] < 0


def test_a_label_with_room_stays_in_the_middle(figures: dict[str, Callable[[], Figure]]) -> None:
    figure = figures["coverage"]()
    figure.savefig(io.BytesIO(), format="png")
    assert figure.axes[0].xaxis.label.get_position()[0] == 0.5


def test_a_figure_saved_by_itself_is_on_paper_and_the_same_each_time(
    figures: dict[str, Callable[[], Figure]], tmp_path: Path
) -> None:
    figures["times"]().savefig(tmp_path / "times.png")
    assert np.asarray(Image.open(tmp_path / "times.png"))[0, 0].tolist() == [255, 255, 255, 255]
    figures["times"]().savefig(tmp_path / "clear.png", transparent=True)
    assert np.asarray(Image.open(tmp_path / "clear.png"))[0, 0, 3] == 0
    one, other = io.BytesIO(), io.BytesIO()
    for stream in (one, other):
        figures["times"]().savefig(stream, format="svg", metadata={"Date": None})
    assert one.getvalue() == other.getvalue()

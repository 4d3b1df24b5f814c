"""PIT values and their simultaneous band: known answers, and posteriors that are wrong on purpose."""

from __future__ import annotations

import numpy as np
import pytest

from sbcflow.plots.uniformity import (
    CONFIDENCE,
    pit_of_ranks,
    plot_pit,
    plot_ranks,
    uniformity,
)

N_FITS, N_DRAWS, N_REPEATS = 40, 200, 600


def share_inside(make_ranks) -> float:
    """The share of made-up sweeps whose ranks stay in the band; ``make_ranks(rng)`` returns (n_fits,)."""
    rng = np.random.default_rng(11)
    seeds = range(N_REPEATS)
    return float(np.mean([uniformity(pit_of_ranks(make_ranks(rng), N_DRAWS, s)).inside for s in seeds]))


def ranks_of(rng: np.random.Generator, shift: float = 0.0, spread: float = 1.0) -> np.ndarray:
    """Ranks of truths among draws that are ``shift`` off and ``spread`` times as wide as they should be."""
    draws = shift + spread * rng.standard_normal((N_FITS, N_DRAWS))
    return (draws < rng.standard_normal((N_FITS, 1))).sum(axis=1)


def test_uniform_ranks_stay_inside_at_the_stated_rate() -> None:
    share = share_inside(ranks_of)
    standard_error = (CONFIDENCE * (1 - CONFIDENCE) / N_REPEATS) ** 0.5
    assert abs(share - CONFIDENCE) < 4 * standard_error


def test_biased_draws_leave_the_band() -> None:
    assert share_inside(lambda rng: ranks_of(rng, shift=0.7)) < 0.15
    assert share_inside(lambda rng: ranks_of(rng, spread=0.4)) < 0.15


def test_the_sign_says_which_way() -> None:
    rng = np.random.default_rng(1)
    assert uniformity(pit_of_ranks(ranks_of(rng, shift=1.0), N_DRAWS)).largest > 0
    assert uniformity(pit_of_ranks(ranks_of(rng, shift=-1.0), N_DRAWS)).largest < 0


def test_pit_of_uniform_ranks_is_uniform() -> None:
    pit = pit_of_ranks(np.tile(np.arange(4), 5000), 3)
    assert pit.min() > 0 and pit.max() < 1
    counts = np.histogram(pit, bins=np.linspace(0, 1, 9))[0]
    assert np.abs(counts / len(pit) - 1 / 8).max() < 0.01
    assert np.array_equal(np.floor(pit * 4), np.tile(np.arange(4), 5000))


@pytest.mark.parametrize("ranks", [[-1, 2], [0, 11]])
def test_ranks_out_of_range_are_refused(ranks: list[int]) -> None:
    with pytest.raises(ValueError, match=r"ranks must lie in 0\.\.10"):
        pit_of_ranks(ranks, 10)


@pytest.mark.parametrize("pit", [[0.5, 0.5], [0.1, 0.2, 1.1], [0.1, np.nan, 0.3]])
def test_values_that_are_no_pit_are_refused(pit: list[float]) -> None:
    with pytest.raises(ValueError, match="PIT values must be"):
        uniformity(pit)


def test_the_ecdf_is_taken_over_the_whole_interval() -> None:
    """Not over the range of the values: values all in the middle must show."""
    found = uniformity(np.linspace(0.4, 0.6, 21))
    assert found.at[0] == pytest.approx(1 / 21)
    assert found.deviation[0] == pytest.approx(-1 / 21)
    assert not found.inside


def test_many_values_are_looked_at_in_200_places() -> None:
    rng = np.random.default_rng(4)
    inside = [uniformity(rng.random(5000)).inside for _ in range(200)]
    assert len(uniformity(rng.random(5000)).at) == 199
    assert 0.87 < np.mean(inside) < 0.99
    assert not uniformity(rng.random(5000) ** 1.1).inside


def test_a_picture_says_whether_it_stays_inside() -> None:
    rng = np.random.default_rng(3)
    for ranks, words in ((ranks_of(rng), "inside the band"), (ranks_of(rng, shift=2.0), "leaves the band")):
        (legend,) = plot_ranks(ranks, N_DRAWS).legends
        assert f"{N_FITS} fits: {words}" in [text.get_text() for text in legend.get_texts()]


def test_what_is_drawn_is_the_ecdf_less_the_uniform() -> None:
    pit = [0.1, 0.2, 0.3, 0.9]
    line = plot_pit(pit).axes[0].lines[-1]
    assert line.get_xdata() == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert line.get_ydata() == pytest.approx([0, 0.25, 0.25, 0, 0])

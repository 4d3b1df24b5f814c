"""Test fits on their way to the scorecard, reduced to sums by cell, one fit's draws in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from sbcflow.calibration.conditional.dimensions import (
    ATE,
    DIMENSIONS,
    SEGMENT,
    TARGETS,
    VISITOR,
    Band,
    Points,
    bands_of,
)
from sbcflow.calibration.evaluate import CRPS_LEVELS, Method, TestFit, naming
from sbcflow.calibration.intervals import Reading
from sbcflow.data import FloatArray
from sbcflow.scoring import checked_truth, covers, interval_score, order_draws

SHOWN_LEVELS = (0.5, 0.8, 0.9, 0.95, 0.99)


@dataclass(frozen=True, order=True)
class Cell:
    """Some effects of a target: those of one band of a dimension. Cells sort as tables show them."""

    target_order: int
    dimension_order: int
    band: Band

    @property
    def target(self) -> str:
        """One of ``TARGETS``."""
        return TARGETS[self.target_order]

    @property
    def dimension(self) -> str:
        """One of ``DIMENSIONS``."""
        return tuple(DIMENSIONS)[self.dimension_order]

    @property
    def name(self) -> str:
        """The band's name."""
        return self.band[1]


@dataclass(frozen=True)
class Part:
    """What one fit has in a cell: sums over its ``n_points`` points there.

    ``coverage``, ``width`` and ``score`` (n_methods, n_levels) in the order of ``SHOWN_LEVELS``, ``crps``
    (n_methods,). ``unit`` is the mean raw posterior sd over all of the fit's effects of the target: seen
    without the truth and the same for every method, so that scores divided by it stay proper.
    """

    fit: int
    n_points: int
    unit: float
    coverage: FloatArray
    width: FloatArray
    score: FloatArray
    crps: FloatArray


class Collector:
    """Gathers the parts of each cell. ``visitors`` and ``averages`` are the methods by name, raw first.

    ``parts`` are those gathered so far by cell; ``n_fits`` how many fits; ``n_without_averages`` how many of
    them brought no average effects.
    """

    def __init__(self, visitors: Mapping[str, Method], averages: Mapping[str, Method]) -> None:
        if list(visitors) != list(averages):
            raise ValueError(f"methods of visitors and averages differ: {list(visitors)}, {list(averages)}")
        self._visitors, self._averages = visitors, averages
        self.methods = tuple(visitors)
        self.parts: dict[Cell, list[Part]] = {}
        self.n_fits = 0
        self.n_without_averages = 0

    def watch(self, fits: Iterable[TestFit]) -> Iterator[TestFit]:
        """Yield the fits as they come, and gather the parts of each that converged.

        Raises:
            ArtifactError: draws or truth that cannot be scored, naming the config.
        """
        for fit in fits:
            if fit.converged:
                self._add(fit)
            yield fit

    def _add(self, fit: TestFit) -> None:
        with naming(fit):
            groups = [*_effects_of(fit)]
        for effects in groups:
            methods = self._visitors if effects.share is None else self._averages
            scores = [_score(method(effects.ordered), effects.truth) for method in methods.values()]
            together = [np.stack(of) for of in zip(*scores, strict=True)]
            for points, rows in _targets_of(effects):
                self._add_points(points, [values[..., rows] for values in together])
        self.n_without_averages += fit.averages is None
        self.n_fits += 1

    def _add_points(self, points: Points, scores: list[FloatArray]) -> None:
        unit = float(points.sd.mean()) or 1.0
        for order, dimension in enumerate(DIMENSIONS):
            bands = bands_of(points, dimension)
            for band in sorted(set(bands)):
                here = np.array([of == band for of in bands])
                sums = [np.asarray(values[..., here].sum(axis=-1)) for values in scores]
                cell = Cell(TARGETS.index(points.target), order, band)
                self.parts.setdefault(cell, []).append(Part(self.n_fits, int(here.sum()), unit, *sums))


@dataclass(frozen=True)
class _Effects:
    """Effects of a fit that the same methods read: of visitors, or averages, everybody's ``n_ate`` first."""

    fit: TestFit
    ordered: FloatArray
    truth: FloatArray
    share: FloatArray | None = None
    n_ate: int = 0


def _effects_of(fit: TestFit) -> Iterator[_Effects]:
    yield _Effects(fit, _by_draw(order_draws(fit.draws)), checked_truth(fit.truth, len(fit.draws)))
    if fit.averages is not None:
        draws, n_arms = (
            fit.averages.draws.reshape(-1, fit.averages.draws.shape[-1]),
            fit.averages.truth.shape[1],
        )
        truth = checked_truth(fit.averages.truth.reshape(-1), len(draws))
        share = np.repeat(fit.averages.share, n_arms)
        yield _Effects(fit, _by_draw(order_draws(draws)), truth, share, n_arms)


def _by_draw(ordered: FloatArray) -> FloatArray:
    """The same values, laid out by draw: all that reads quantiles takes whole columns."""
    return np.asfortranarray(ordered)


def _targets_of(effects: _Effects) -> Iterator[tuple[Points, slice]]:
    if effects.share is None:
        targets = {VISITOR: slice(None)}
    else:
        targets = {ATE: slice(effects.n_ate), SEGMENT: slice(effects.n_ate, None)}
    for target, rows in targets.items():
        truth = effects.truth[rows]
        share = None if effects.share is None else effects.share[rows]
        if len(truth):
            yield Points(target, effects.fit, effects.ordered[rows], truth, share), rows


def _score(ends: Reading, truth: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Coverage, width and interval score (n_levels, n_points), and CRPS (n_points,) as in ``crps_of``."""
    levels = np.array([*SHOWN_LEVELS, *CRPS_LEVELS])
    lower, upper = (np.stack(end) for end in zip(*(ends(level) for level in levels), strict=True))
    # It broadcasts; its signature stays as it is, being in the key of every fit.
    scores = interval_score(lower, upper, truth, levels[:, None])  # type: ignore[arg-type]
    shown = slice(len(SHOWN_LEVELS))
    losses = (1.0 - levels[:, None]) / 2.0 * scores
    return (
        covers(lower[shown], upper[shown], truth).astype(np.float64),
        upper[shown] - lower[shown],
        scores[shown],
        losses[len(SHOWN_LEVELS) :].mean(axis=0),
    )

"""The regularised basis of the hurdle model: levels, splines and pairwise products of covariates.

Columns stand in the order constant, main, curve, interaction. Main columns are a continuous feature
(clamped to its central quantiles) or a binary one, standardised, and a centred indicator per level
of a categorical one. Curve columns are natural cubic splines in the Demmler-Reinsch form (Demmler
and Reinsch 1975; Wood 2017, section 5.3.6): orthogonal to constant and line, the wigglier ones scaled down so
that equal prior variances penalise the integrated squared second derivative. Interaction columns
are standardised products of main columns of two different features.

A block's columns are computed as rows of an array (n_columns, m): each column lies in one piece, so that
making one is a pass over contiguous memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import combinations, groupby

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from sbcflow.data import Covariates, Feature, FloatArray
from sbcflow.errors import DataError
from sbcflow.params import BasisSettings

GROUPS = ("main", "curve", "interaction")
CLAMP_QUANTILES = (0.005, 0.995)
KNOT_QUANTILES = (0.05, 0.95)
SMALLEST_KNOT_GAP = 0.02
N_REFERENCE = 20_000
N_CURVATURE_GRID = 400
SMALLEST_SPREAD = 1e-6


@dataclass(frozen=True)
class Structure:
    """What is static about a basis; two trials of one structure share a compiled program.

    ``main_source`` gives the feature of each main column, ``main_level`` its level code or -1;
    ``curve_sources`` the features of each stack of splines and ``curve_sizes`` the columns of one of
    them; ``pairs`` the main columns multiplied in each interaction column.
    """

    main_source: tuple[int, ...]
    main_level: tuple[int, ...]
    curve_sources: tuple[tuple[int, ...], ...]
    curve_sizes: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]

    @property
    def group_sizes(self) -> tuple[int, int, int]:
        stacks = zip(self.curve_sources, self.curve_sizes, strict=True)
        return len(self.main_source), sum(len(sources) * size for sources, size in stacks), len(self.pairs)

    @property
    def n_columns(self) -> int:
        return 1 + sum(self.group_sizes)

    @property
    def group_of_column(self) -> tuple[int, ...]:
        """Index into GROUPS of each column; -1 for the constant."""
        sizes = self.group_sizes
        return (-1, *(group for group, size in enumerate(sizes) for _ in range(size)))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Affine:
    """``(clip(x, low, high) - centre) * factor`` of each of k columns (k, m); arrays (k,) float32."""

    low: jax.Array
    high: jax.Array
    centre: jax.Array
    factor: jax.Array

    def __call__(self, raw: jax.Array) -> jax.Array:
        low, high, centre, factor = (a[:, None] for a in (self.low, self.high, self.centre, self.factor))
        return (jnp.clip(raw, low, high) - centre) * factor


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Curves:
    """Splines of f features, ``map @ [1, t, terms(t)]`` with t a feature clamped and put on 0..1.

    ``low`` and ``high`` (f,), ``knots`` (f, n_knots) on that range, ``map`` (f, n_knots - 2, n_knots);
    float32.
    """

    low: jax.Array
    high: jax.Array
    knots: jax.Array
    map: jax.Array

    def __call__(self, raw: jax.Array) -> jax.Array:
        low, high = self.low[:, None], self.high[:, None]
        position = (jnp.clip(raw, low, high) - low) / (high - low)
        return (self.map @ _spline_columns(position, self.knots)).reshape(-1, raw.shape[1])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Basis:
    """A basis made ready on a trial's covariates: what its columns are, and their arrays."""

    main: Affine
    curves: tuple[Curves, ...]
    pairs: Affine
    structure: Structure = field(metadata={"static": True})

    def columns(self, values: jax.Array) -> jax.Array:
        """Return the columns (n_columns, m) float32 at covariate values (m, n_features) float32."""
        by_feature = values.T
        main = self.main(_main_source(self.structure, by_feature))
        parts = [jnp.ones((1, len(values)), main.dtype), main]
        parts += [
            curves(by_feature[np.array(sources)])
            for curves, sources in zip(self.curves, self.structure.curve_sources, strict=True)
        ]
        if self.structure.pairs:
            left, right = np.array(self.structure.pairs).T
            parts.append(self.pairs(main[left] * main[right]))
        return jnp.concatenate(parts)


def _main_source(structure: Structure, by_feature: jax.Array) -> jax.Array:
    """Return the raw main columns: a feature's values, or the indicator of one of its levels."""
    level = np.array(structure.main_level, dtype=np.float32)[:, None]
    source = by_feature[np.array(structure.main_source)]
    return jnp.where(level >= 0, (source == level).astype(source.dtype), source)


def _spline_columns(position: jax.Array, knots: jax.Array) -> jax.Array:
    """Return constant, line and the n_knots - 2 further terms of natural cubic splines, (f, n_knots, m).

    ``position`` (f, m) and ``knots`` (f, n_knots) of f features. Hastie, Tibshirani and Friedman (2009),
    equations 5.4 and 5.5; linear outside the outer knots.
    """
    cubes = jnp.maximum(position[:, None] - knots[:, :, None], 0.0) ** 3
    slopes = (cubes[:, :-1] - cubes[:, -1:]) / (knots[:, -1:] - knots[:, :-1])[:, :, None]
    terms = slopes[:, :-1] - slopes[:, -1:]
    line = position[:, None]
    return jnp.concatenate([jnp.ones_like(line), line, terms], axis=1)


_compiled_spline_columns = jax.jit(_spline_columns)


def make_basis(covariates: Covariates, settings: BasisSettings) -> Basis:
    """Make the basis of a trial from its covariates alone (never from an outcome).

    Centres, spreads, knots and quantiles come from an evenly spaced subset of at most N_REFERENCE
    visitors, so that time and memory do not grow with the trial.

    Raises:
        DataError: the basis would have more than ``settings.max_columns`` columns.
    """
    stride = math.ceil(len(covariates) / N_REFERENCE)
    reference = covariates.values[::stride].astype(np.float64)
    knots = _knots(covariates.features, reference, settings.n_knots)
    structure = _structure(covariates.features, knots, settings.interactions)
    if structure.n_columns > settings.max_columns:
        raise DataError(
            f"the basis of {len(covariates.features)} features has {structure.n_columns} columns, over "
            f"model.basis.max_columns = {settings.max_columns}; name fewer features, or set "
            "model.basis.interactions to false"
        )
    main, main_columns = _fit_main(structure, covariates.features, reference)
    return Basis(
        main=main,
        curves=tuple(_fit_curves(reference, knots, sources) for sources in structure.curve_sources),
        pairs=_fit_pairs(structure, main_columns),
        structure=structure,
    )


def _structure(features: tuple[Feature, ...], knots: dict[int, FloatArray], interactions: bool) -> Structure:
    columns = [
        (source, level)
        for source, feature in enumerate(features)
        for level in (range(len(feature.levels)) if feature.kind == "categorical" else (-1,))
    ]
    pairs = [
        (left, right)
        for left, right in combinations(range(len(columns)), 2)
        if columns[left][0] != columns[right][0]
    ]
    stacks = groupby(sorted(knots, key=lambda source: len(knots[source])), lambda source: len(knots[source]))
    curves = {n_knots: tuple(sources) for n_knots, sources in stacks}
    return Structure(
        main_source=tuple(source for source, _ in columns),
        main_level=tuple(level for _, level in columns),
        curve_sources=tuple(curves.values()),
        curve_sizes=tuple(n_knots - 2 for n_knots in curves),
        pairs=tuple(pairs) if interactions else (),
    )


def _clamp(values: FloatArray) -> tuple[float, float]:
    low, high = np.quantile(values, CLAMP_QUANTILES)
    if low == high:
        low, high = values.min(), values.max()
    return float(low), float(high)


def _knots(features: tuple[Feature, ...], reference: FloatArray, n_knots: int) -> dict[int, FloatArray]:
    """Knots on the clamped 0..1 range of each continuous feature that has at least three of them.

    Knots are values that occur, so that the data tell all curves apart, and SMALLEST_KNOT_GAP apart:
    where a heavy tail crowds them, curves are differences of cubes too large for float32.
    """
    found = {}
    for source, feature in enumerate(features):
        if feature.kind != "continuous":
            continue
        low, high = _clamp(reference[:, source])
        if high == low:
            continue
        position = (np.clip(reference[:, source], low, high) - low) / (high - low)
        quantiles = np.linspace(*KNOT_QUANTILES, n_knots)
        knots = _apart(np.quantile(position, quantiles, method="inverted_cdf"))
        if len(knots) >= 3:
            found[source] = knots
    return found


def _apart(knots: FloatArray) -> FloatArray:
    """Return the sorted knots less those within SMALLEST_KNOT_GAP of the one kept before."""
    kept = [knots[0]]
    for knot in knots[1:]:
        if knot - kept[-1] >= SMALLEST_KNOT_GAP:
            kept.append(knot)
    return np.array(kept)


def _fit_main(
    structure: Structure, features: tuple[Feature, ...], reference: FloatArray
) -> tuple[Affine, FloatArray]:
    columns = np.empty((len(reference), len(structure.main_source)))
    low, high, centre, factor = np.empty((4, columns.shape[1]))
    for j, (source, level) in enumerate(zip(structure.main_source, structure.main_level, strict=True)):
        raw = reference[:, source] if level < 0 else (reference[:, source] == level).astype(np.float64)
        low[j], high[j] = _clamp(raw) if features[source].kind == "continuous" else (0.0, 1.0)
        clipped = np.clip(raw, low[j], high[j])
        centre[j] = clipped.mean()
        factor[j] = 1.0 if level >= 0 else _inverse_spread(clipped)
        columns[:, j] = (clipped - centre[j]) * factor[j]
    return Affine(*map(_float32, (low, high, centre, factor))), columns


def _inverse_spread(column: FloatArray) -> float:
    """One over the standard deviation of a column; a column without any is switched off."""
    spread = float(column.std())
    return 1.0 / spread if spread > SMALLEST_SPREAD else 0.0


def _fit_curves(reference: FloatArray, knots: dict[int, FloatArray], sources: tuple[int, ...]) -> Curves:
    low, high = np.array([_clamp(reference[:, source]) for source in sources]).T
    position = (np.clip(reference[:, sources], low, high) - low) / (high - low)
    stacked = np.array([knots[source] for source in sources])
    maps = [_demmler_reinsch_map(*one) for one in zip(position.T, stacked, strict=True)]
    return Curves(*map(_float32, (low, high, stacked, np.array(maps))))


def _demmler_reinsch_map(position: FloatArray, knots: FloatArray) -> FloatArray:
    """Return the map (n_knots - 2, n_knots) from the spline columns to orthogonal, scaled curves."""
    line, terms = np.split(_spline_columns64(position, knots), [2], axis=1)
    on_line = np.linalg.lstsq(line, terms, rcond=None)[0]
    residual = terms - line @ on_line
    gram = residual.T @ residual / len(position)
    grid = np.linspace(0.0, 1.0, N_CURVATURE_GRID)
    bend = np.diff(_spline_columns64(grid, knots)[:, 2:], n=2, axis=0) * N_CURVATURE_GRID**2
    roughness, vectors = scipy.linalg.eigh(bend.T @ bend / N_CURVATURE_GRID, gram)
    scaled = vectors * np.sqrt(roughness[0] / roughness)
    return np.concatenate([-on_line @ scaled, scaled]).T


def _spline_columns64(position: FloatArray, knots: FloatArray) -> FloatArray:
    with jax.enable_x64(True):
        return np.asarray(_compiled_spline_columns(position[None], knots[None]))[0].T


def _fit_pairs(structure: Structure, main: FloatArray) -> Affine:
    centre, factor = np.empty((2, len(structure.pairs)))
    for j, (left, right) in enumerate(structure.pairs):
        product = main[:, left] * main[:, right]
        centre[j], factor[j] = product.mean(), _inverse_spread(product)
    unbounded = np.full(len(centre), np.inf)
    return Affine(*map(_float32, (-unbounded, unbounded, centre, factor)))


def _float32(values: FloatArray | float) -> jax.Array:
    return jax.device_put(np.asarray(values, dtype=np.float32))

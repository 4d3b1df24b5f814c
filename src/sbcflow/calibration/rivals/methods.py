"""The rivals: each is fitted on reduced train fits and gives intervals of a fit's draws at any level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sbcflow.calibration.corrections import Corrections, methods_of
from sbcflow.calibration.evaluate import Method
from sbcflow.calibration.intervals import Ends, Reading
from sbcflow.calibration.layered import METHODS
from sbcflow.calibration.regime.conformal import hierarchical_quantile
from sbcflow.calibration.rivals.train import FACTOR_LEVEL, GRID, TrainFit
from sbcflow.data import FloatArray
from sbcflow.scoring import central_interval

SD_FACTOR, CONFORMAL, CQR = "sd_factor", "conformal", "cqr"


def rivals(fits: Sequence[TrainFit], corrections: Corrections) -> dict[str, Method]:
    """Return every method by name, in the order that tables show them; regime, last, where it was fitted."""
    ours = methods_of(corrections)
    theirs = {
        SD_FACTOR: sd_factor([fit.factors for fit in fits]),
        CONFORMAL: conformal([fit.errors.errors for fit in fits]),
        CQR: conformal_quantiles([fit.missed for fit in fits]),
    }
    return {name: ours[name] for name in METHODS} | theirs | ours


def sd_factor(factors: Sequence[FloatArray]) -> Method:
    """Return raw intervals with their half-widths about the mean times one factor.

    ``factors``: of each fit (n_points,), those of :class:`TrainFit`; it is the one that is right over all
    train points at ``FACTOR_LEVEL``.
    """
    factor = float(np.quantile(np.concatenate(factors), FACTOR_LEVEL))

    def see(ordered: FloatArray) -> Reading:
        mean = ordered.mean(axis=1)

        def ends(level: float) -> Ends:
            lower, upper = central_interval(ordered, level)
            return mean - factor * (mean - lower), mean + factor * (upper - mean)

        return ends

    return see


def conformal(errors: Sequence[FloatArray]) -> Method:
    """Return posterior mean plus and minus as many sds as hierarchical conformal prediction asks for.

    ``errors``: of each fit (n_points,), standardised. Split conformal prediction with the posterior sd as
    the scale, whole fits weighed alike (Lee, Barber and Willett 2023, theorem 1). Where the level is past
    K/(K+1) of K fits, and an interval would be endless, it is as wide as the largest error seen.
    """
    sizes, n_fits = np.sort(np.abs(np.concatenate(errors))), len(errors)

    def see(ordered: FloatArray) -> Reading:
        mean, sd = ordered.mean(axis=1), ordered.std(axis=1)

        def ends(level: float) -> Ends:
            reach = sd * hierarchical_quantile(sizes, level, n_fits)
            return mean - reach, mean + reach

        return ends

    return see


def conformal_quantiles(missed: Sequence[FloatArray]) -> Method:
    """Return raw intervals moved out, or in, at either end by as many sds as conformal prediction asks for.

    ``missed``: of each fit (n_levels, n_points), those of :class:`TrainFit`. Conformalised quantile
    regression (Romano, Patterson and Candes 2019) with the posterior's quantiles as the regression's, in
    posterior sds and over whole fits as in :func:`conformal`; linear between the levels of ``GRID``.
    """
    at_levels = np.sort(np.concatenate(missed, axis=1), axis=1)
    moves = [hierarchical_quantile(at, level, len(missed)) for at, level in zip(at_levels, GRID, strict=True)]

    def see(ordered: FloatArray) -> Reading:
        sd = ordered.std(axis=1)

        def ends(level: float) -> Ends:
            lower, upper = central_interval(ordered, level)
            move, middle = sd * np.interp(level, GRID, moves), (lower + upper) / 2
            return np.minimum(lower - move, middle), np.maximum(upper + move, middle)

        return ends

    return see

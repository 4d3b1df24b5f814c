"""How many fits a sweep to a precision takes: drawn again, by template, from fits that are there.

    python benchmarks/precision.py runs/regime-train/aggregate.csv runs/regime-test/aggregate.csv

Prints, for level and half-width, the fits that a sweep took on average and at most; those that an interval
of a size fixed beforehand takes by the normal approximation, of independent fits and by template; and how
often the interval at the end leaves out the mean of all fits.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sbcflow.calibration.confidence_sequence import Bounds, betting_interval, fewest_observations
from sbcflow.data import FloatArray
from sbcflow.levels import coverage_column
from sbcflow.sweep.rounds import GROWTH

N_STREAMS, MOST_CYCLES = 40, 250
CASES = ((0.9, 0.1), (0.9, 0.05), (0.9, 0.03), (0.9, 0.02), (0.5, 0.05), (0.99, 0.02))


@dataclass(frozen=True)
class End:
    """Where a sweep ended."""

    n_fits: int
    bounds: Bounds


def main(paths: Sequence[str]) -> None:
    """Print the table."""
    table = pd.concat([pd.read_csv(path) for path in paths])
    table = table[table["diagnostics.converged"]]
    print("level  half-width  fits  most  fixed size, independent  by template  left out")
    for level, half_width in CASES:
        pools = [of["metrics.coverage_" + _digits(level)].to_numpy() for _, of in table.groupby("template")]
        ends = [_run(stream, level, half_width) for stream in _streams(pools)]
        mean = float(np.mean([pool.mean() for pool in pools]))
        within = float(np.mean([pool.var() for pool in pools]))
        among = float(np.var([pool.mean() for pool in pools]))
        missed = np.mean([not end.bounds.lower <= mean <= end.bounds.upper for end in ends])
        taken = [end.n_fits for end in ends]
        print(
            f"{level:<6} {half_width:<11} {np.mean(taken):<5.0f} {max(taken):<5} "
            f"{_fixed(within + among, half_width):<24} {_fixed(within, half_width):<12} {missed:.3f}"
        )


def _digits(level: float) -> str:
    return coverage_column(level).rpartition("_")[2]


def _streams(pools: Sequence[FloatArray]) -> Iterator[list[FloatArray]]:
    rng = np.random.default_rng(1)
    for _ in range(N_STREAMS):
        yield list(np.stack([rng.choice(pool, MOST_CYCLES) for pool in pools], axis=1))


def _run(stream: Sequence[FloatArray], level: float, half_width: float) -> End:
    size = len(stream[0])
    n = max(math.ceil(fewest_observations(half_width) / size), 1)
    while True:
        found = betting_interval(stream[:n], guess=level, half_width=half_width)
        if found.half_width <= half_width or n == len(stream):
            return End(n * size, found)
        n = min(math.ceil(GROWTH * n), len(stream))


def _fixed(variance: float, half_width: float) -> int:
    return math.ceil(variance * (1.96 / half_width) ** 2)


if __name__ == "__main__":
    main(sys.argv[1:])

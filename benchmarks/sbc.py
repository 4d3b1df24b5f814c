"""Simulation-based calibration with many trials, and the power of the test in tests/statistical.

    .venv/bin/python benchmarks/sbc.py [n_trials] [n_trials_of_the_test]

Prints, for the posterior as it is and for each planted error, the p-value of each quantity's rank ECDF
and the share of resampled test-sized runs that leave the 99% band. Each trial is fitted twice, about
two trials a second on two idle cores.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "statistical"))

from sbcflow.runtime import configure

configure()

import numpy as np  # noqa: E402
import simulation_based as sbc  # noqa: E402

N_RESAMPLED = 400
FIRST_SEED = 1_000_000


def main(n_trials: int = 600, n_test: int = 160) -> None:
    """Run, and print a table: a line a quantity, a column a variant."""
    begun = time.perf_counter()
    seeds = range(FIRST_SEED, FIRST_SEED + n_trials)
    exact = sbc.run(seeds)
    wrong_prior = sbc.run(seeds, sbc.prior_of_both(treatment_scale=0.2))
    variants = {
        "exact": exact,
        "sd x 0.8": exact.altered(spread=0.8),
        "mean + 0.2 sd": exact.altered(shift=0.2),
        "mean - 0.2 sd": exact.altered(shift=-0.2),
        "treatment scale x 0.4": wrong_prior,
    }
    elapsed = time.perf_counter() - begun
    print(f"{n_trials} trials of {sbc.N_VISITORS} visitors, fitted twice by NUTS, {elapsed:.0f} s\n")
    _print_p_values(variants)
    _print_power(variants, n_test)


def _print_p_values(variants: dict[str, sbc.Replicates]) -> None:
    values = {name: sbc.p_values(found) for name, found in variants.items()}
    print("p-value of the rank ECDF  " + "".join(f"{name:>24}" for name in variants))
    for quantity in next(iter(values.values())):
        print(f"{quantity:<26}" + "".join(f"{values[name][quantity]:>24.5f}" for name in variants))
    print(f"band: 99% over {len(next(iter(values.values())))} quantities\n")
    for name, found in variants.items():
        outside = sbc.outside_the_band(found)
        print(f"{name}: {', '.join(outside) or 'nothing'} outside")


def _print_power(variants: dict[str, sbc.Replicates], n_test: int) -> None:
    rng = np.random.default_rng(1)
    null = sbc.null_extremeness(n_test)
    print(f"\nshare of runs of {n_test} trials, resampled without replacement, that leave the band")
    for name, found in variants.items():
        left = [
            bool(sbc.outside_the_band(found.take(rng.choice(len(found.truth), n_test, replace=False)), null))
            for _ in range(N_RESAMPLED)
        ]
        print(f"{name:<24}{np.mean(left):.3f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

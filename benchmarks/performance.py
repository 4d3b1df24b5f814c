"""Make docs/performance.md of this machine's figures in results/: performance.py

The figures are those that scale.py, sweeps.py and peers/run.py last left there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from machine import results_path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"
# Seconds that are wanted on two cores.
WANTED_FIT = {250_000: 4.0, 2_000_000: 40.0}
WANTED_NUTS, WANTED_ESS = 120.0, 400.0
WANTED_SWEEP = {"pilot": 90.0, "production": 300.0}

HEAD = """\
# Performance
What a fit and a sweep cost on two cores, beside what is wanted. `python benchmarks/performance.py`
makes this page from the figures that `make bench` leaves in `benchmarks/results/`; they depend on the
machine and on what else it does. No GPU has been measured. Why it is as fast as it is, and how
accurate: [decision 0014](decisions/0014-where-a-fit-spends-its-time.md).
"""

FITS = """\
## One fit
`python benchmarks/scale.py`; {machine}. One core a fit, compiled before; the peak is of the whole
process, compilation and the simulated trial with its truths included. The last column is the least effective
number of draws over all coordinates of NUTS; 400 are wanted.
"""

SWEEPS = """\
## Whole sweeps
`python benchmarks/sweeps.py`; {machine}. `dvc repro` of the pilot's four stages, and `dvc repro
train_sweep` of `config/production.yaml` (50 x 250,000 visitors), each in a fresh clone, once. Two fits
run side by side and slow each other down. The last column is what the cores did besides simulating,
fitting and scoring, waiting included; at most 10% of the production sweep is wanted.
"""

COST = """\
## Against visitors
Below some 20,000 visitors a fit costs what its matrices as wide as the coefficients cost, whatever the
visitors; far above, its passes over them. Memory beyond the smallest fit's is the trial itself, its
truths and a few numbers a visitor. A product of two float32 matrices runs at {gflops:.0f} GFLOP/s on a
core here.
"""

PEERS = """\
## Other ways to the same effects
`python benchmarks/peers/run.py` (`make bench-peers`); {machine}. Effects on the first 500 visitors of a
trial, whose truths are known; one fit each.
"""


def main() -> None:
    """Write the page."""
    scale, sweeps = (json.loads(results_path(name).read_text()) for name in ("scale", "sweeps"))
    sections = [HEAD, *fits(scale), *whole_sweeps(sweeps), *against_visitors(scale)]
    peers = results_path("peers")
    if peers.exists():
        sections += others(json.loads(peers.read_text()))
    PAGE.write_text("\n".join(sections))


def fits(found: dict[str, Any]) -> tuple[str, str]:
    head = "method", "visitors", "converted", "seconds", "spread", "wanted", "peak MiB", "effective draws"
    rows = []
    for row in found["rows"]:
        seconds, by_laplace = row["fit_seconds"], row["method"] == "laplace"
        cells = (
            row["method"],
            f"{row['n_visitors']:,}",
            f"{row['n_converted']:,}",
            f"{median(seconds):.2f}",
            f"{min(seconds):.2f} to {max(seconds):.2f}, {len(seconds)} runs",
            verdict(median(seconds), WANTED_FIT.get(row["n_visitors"]) if by_laplace else WANTED_NUTS),
            f"{row['peak_mib']:.0f}",
            "" if by_laplace else effective(min(row["ess"])),
        )
        rows.append(cells)
    return FITS.format(machine=found["machine"]), table(head, rows)


def whole_sweeps(found: dict[str, Any]) -> tuple[str, str]:
    head = "sweep", "configs", "by NUTS", "programs", "seconds", "wanted", "seconds a fit", "besides"
    rows = [
        (
            row["sweep"],
            str(row["configs"]),
            str(row["escalated"]),
            row["programs"],
            f"{row['seconds']:.0f}",
            verdict(row["seconds"], WANTED_SWEEP[row["sweep"]]),
            f"{row['fit_seconds'] / row['configs']:.2f}",
            f"{100 * row['orchestration_share']:.1f}%",
        )
        for row in found["rows"]
    ]
    return SWEEPS.format(machine=found["machine"]), table(head, rows)


def against_visitors(found: dict[str, Any]) -> tuple[str, str]:
    head = "visitors", "microseconds a visitor", "covariates, MiB", "peak beyond the smallest fit's, MiB"
    laplace = [row for row in found["rows"] if row["method"] == "laplace"]
    rows = [
        (
            f"{row['n_visitors']:,}",
            f"{1e6 * median(row['fit_seconds']) / row['n_visitors']:.1f}",
            f"{row['data_mib']:.0f}",
            f"{row['peak_mib'] - laplace[0]['peak_mib']:.0f}",
        )
        for row in laplace
    ]
    return COST.format(gflops=found["product_gflops"]), table(head, rows)


def others(found: dict[str, Any]) -> tuple[str, str]:
    head = "visitors", "template", "method", "seconds", "RMSE", "90% covers", "interval score, 90%", "CRPS"
    figures = "seconds", "rmse", "coverage_90", "interval_score_90", "crps"
    rows = [
        (
            f"{row['n_visitors']:,}",
            row["template"],
            row["method"],
            *(f"{row[name]:.3g}" for name in figures),
        )
        for row in found["rows"]
    ]
    return PEERS.format(machine=found["machine"]), table(head, rows)


def verdict(seconds: float, wanted: float | None) -> str:
    """Return the seconds that were wanted, and whether they were missed."""
    if wanted is None:
        return ""
    return f"{wanted:.0f}" if seconds <= wanted else f"{wanted:.0f}, missed"


def effective(draws: float) -> str:
    """Return a number of effective draws, and whether it is too small."""
    return f"{draws:.0f}" if draws >= WANTED_ESS else f"{draws:.0f}, missed"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [tuple(head), *map(tuple, rows)]
    lines.insert(1, ("---",) * len(lines[0]))
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


if __name__ == "__main__":
    main()

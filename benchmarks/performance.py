"""Make docs/performance.md, and its plots, of this machine's figures in results/: performance.py

The figures are those that scale.py, sweeps.py, costs.py and peers/run.py last left there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

from machine import results_path
from plots import plot_configs, plot_visitors

DOCS = Path(__file__).resolve().parents[1] / "docs"
# Seconds that are wanted on two cores.
WANTED_FIT = {250_000: 4.0, 2_000_000: 40.0}
WANTED_NUTS, WANTED_ESS = 120.0, 400.0
WANTED_SWEEP = {"pilot": 90.0, "production": 300.0}
WANTED_GAP = 0.25
OURS, PEER, FASTER = "sbcflow laplace", "pytyche 0.2.1 joint BCF", 100

HEAD = """\
# Performance
What a fit and a sweep cost on two cores, beside what is wanted. `python benchmarks/performance.py`
makes this page and its plots from the figures that `make bench` and `make bench-peers` leave in
`benchmarks/results/`; they depend on the machine and on what else it does. No GPU has been measured. Why
it is as fast as it is, and how accurate: [decision 0014](decisions/0014-where-a-fit-spends-its-time.md).
"""

FITS = """\
## One fit
`python benchmarks/scale.py`; {machine}. One core a fit, compiled before; medians, each size in a process of
its own. "Compiling" is what the first fit of a process takes more where nothing is compiled; importing
takes {importing:.1f} s on top. ESS is the least effective number of draws over all coordinates of NUTS;
{ess:.0f} are wanted.
"""

SWEEPS = """\
## Whole sweeps
`python benchmarks/sweeps.py`; {machine}. `dvc repro` of the pilot's four stages, and `dvc repro
train_sweep` of `config/production.yaml` (50 x 250,000 visitors), each in a fresh clone. Two fits
run side by side and slow each other down; "a fit" is the seconds of one. "Besides" is what the cores did
besides simulating, fitting and scoring, waiting included; at most 10% of the production sweep is wanted.
On 2026-11-28 that held once programs were compiled; while they were compiled, one process waits for the
other. The pilot's very first run missed its 90 s by a second since it ends with the report, 3 to 4 s of it.
"""

VISITORS = """\
## Against visitors
Below some 20,000 visitors a fit costs what its matrices as wide as the coefficients cost, whatever the
visitors; far above, its passes over them. The dotted line is the arithmetic of one symmetric weighted Gram
a pass, at the {gflops:.0f} GFLOP/s that a product of float32 matrices reaches on one core here; making the
columns, the rates and the sums is on top, while the last passes make no Gram.

![Seconds and memory against visitors](performance-visitors.svg)
"""

MEMORY = """\
"Data" is the trial and its truths, as simulated. Memory beyond the smallest fit's is these, the copy of them
that is cut into blocks, and a few numbers a visitor; nothing is visitors times columns.
"""

COSTS = """\
## What a sweep will cost
`python benchmarks/costs.py`; {machine}. Each sweep by `snakemake train_sweep`, from nothing and with nothing
compiled, takes

    {start:.1f} + {job:.1f} x jobs + ({fixed:.2f} + {slope:.1f} x million visitors) x fits
        + {nuts:.0f} x by NUTS / 2

seconds. Jobs and fits are those that the busier core does, one after another: the default profile cuts a
sweep into four jobs, two at once. A fit with no other beside it counts as 0.63. Fitted to the first sweeps by
least squares of relative errors; the last three were only predicted. Within {gap:.0%} is wanted. A simpler
model, without jobs and without fits that run alone, was 71% too high for six configs of 2,000,000 visitors;
that sweep and the others it had been held against are among the fitted ones since. None of the last
three has a fit by NUTS, so that term is fitted and not tested; compiling NUTS is in it.

![Seconds against configs](performance-configs.svg)
"""

PEERS = """\
## Other ways to the same effects
`python benchmarks/peers/run.py` (`make bench-peers`); {machine}. Effects on the first 500 visitors of a
trial, whose truths are known; one fit each. sbcflow's fits are timed compiled, as in a sweep, on one core;
the others as they come, with what they compile, on as many as they take. Small tests ran beside some, at the
lowest priority: "nonlinear" at 20,000, by its bootstrap's 17 s, shows it most.
sbcflow's scores are of the priors before decisions 0017 and 0019; those since score better.
"""


def main() -> None:
    """Write the page and its plots."""
    scale, sweeps, costs = map(figures, ("scale", "sweeps", "costs"))
    sections = [HEAD, *fits(scale), *whole_sweeps(sweeps), *against_visitors(scale), *model(costs)]
    if results_path("peers").exists():
        sections += others(figures("peers"))
    (DOCS / "performance.md").write_text("\n".join(sections))


def figures(name: str) -> dict[str, Any]:
    """Return the figures that a benchmark left."""
    found: dict[str, Any] = json.loads(results_path(name).read_text())
    return found


def fits(found: dict[str, Any]) -> tuple[str, str]:
    head = ("method", "visitors", "converted", "seconds", "spread", "wanted", "compiling", "peak MiB", "ESS")
    rows = []
    for row in found["rows"]:
        seconds, by_laplace = row["fit_seconds"], row["method"] == "laplace"
        cells = (
            row["method"],
            f"{row['n_visitors']:,}",
            f"{row['n_converted']:,}",
            f"{median(seconds):.2f}",
            spread(seconds),
            verdict(median(seconds), WANTED_FIT.get(row["n_visitors"]) if by_laplace else WANTED_NUTS),
            f"{row['first_seconds'] - median(seconds):.1f}",
            f"{row['peak_mib']:.0f}",
            "" if by_laplace else effective(min(row["ess"])),
        )
        rows.append(cells)
    importing = median(row["import_seconds"] for row in found["rows"])
    return FITS.format(machine=found["machine"], importing=importing, ess=WANTED_ESS), table(head, rows)


def whole_sweeps(found: dict[str, Any]) -> tuple[str, str]:
    head = ("sweep", "configs", "by NUTS", "programs", "seconds", "spread", "wanted", "a fit", "besides")

    def kind(row: dict[str, Any]) -> tuple[str, str]:
        return row["sweep"], row["programs"]

    rows = []
    for (sweep, programs), of_kind in groupby(sorted(found["rows"], key=kind), key=kind):
        runs = list(of_kind)
        seconds = [run["seconds"] for run in runs]
        rows.append(
            (
                sweep,
                str(runs[0]["configs"]),
                str(runs[0]["escalated"]),
                programs,
                f"{median(seconds):.0f}",
                spread(seconds, 0),
                verdict(median(seconds), WANTED_SWEEP[sweep]),
                f"{median(run['fit_seconds'] / run['configs'] for run in runs):.2f}",
                f"{100 * median(run['orchestration_share'] for run in runs):.1f}%",
            )
        )
    return SWEEPS.format(machine=found["machine"]), table(head, rows)


def against_visitors(found: dict[str, Any]) -> tuple[str, str, str]:
    head = "visitors", "microseconds a visitor", "passes", "Gram arithmetic, share", "data, MiB", "peak, MiB"
    laplace = [row for row in found["rows"] if row["method"] == "laplace"]
    gram_seconds = [seconds_of_grams(row, found["product_gflops"]) for row in laplace]
    rows = [
        (
            f"{row['n_visitors']:,}",
            f"{1e6 * median(row['fit_seconds']) / row['n_visitors']:.1f}",
            str(row["n_passes"]),
            f"{least / median(row['fit_seconds']):.0%}",
            f"{row['data_mib']:.0f}",
            f"{row['peak_mib']:.0f}",
        )
        for row, least in zip(laplace, gram_seconds, strict=True)
    ]
    plot_visitors(DOCS / "performance-visitors.svg", laplace, gram_seconds)
    return VISITORS.format(gflops=found["product_gflops"]), table(head, rows), MEMORY


def seconds_of_grams(row: dict[str, Any], gflops: float) -> float:
    """Return the seconds of a symmetric Gram a pass, at the rate of a matrix product."""
    return row["n_passes"] * row["n_visitors"] * row["n_columns"] ** 2 / gflops / 1e9


def model(found: dict[str, Any]) -> tuple[str, str]:
    head = "sweep", "configs", "visitors", "jobs", "fits", "by NUTS", "seconds", "by the model", "off by"
    rows = [
        (
            name,
            str(row["configs"]),
            f"{row['visitors']:,}",
            str(row["jobs"]),
            f"{row['fits']:.1f}",
            str(row["by_nuts"]),
            f"{row['seconds']:.0f}",
            f"{row['predicted']:.0f}",
            off(row["predicted"] / row["seconds"] - 1),
        )
        for name in ("fitted", "predicted")
        for row in found[name]
    ]
    plot_configs(DOCS / "performance-configs.svg", found)
    said = found["coefficients"] | {"slope": 1e6 * found["coefficients"]["slope"]}
    return COSTS.format(machine=found["machine"], gap=WANTED_GAP, **said), table(head, rows)


def others(found: dict[str, Any]) -> tuple[str, str, str]:
    head = "visitors", "template", "method", "seconds", "RMSE", "90% covers", "interval score, 90%", "CRPS"
    names = "seconds", "rmse", "coverage_90", "interval_score_90", "crps"
    rows = [
        (
            f"{row['n_visitors']:,}",
            row["template"],
            row["method"],
            *(f"{row[name]:.3g}" for name in names),
        )
        for row in sorted(found["rows"], key=lambda row: (row["n_visitors"], row["config"]))
    ]
    return PEERS.format(machine=found["machine"]), table(head, rows), against_peer(found["rows"])


def against_peer(rows: list[dict[str, Any]]) -> str:
    """Say how our fits stand against the peer's on the same trials."""
    ours, peers = (
        {(row["n_visitors"], row["config"]): row for row in rows if row["method"] == name}
        for name in (OURS, PEER)
    )
    lines = [
        f"{OURS} beside {PEER}; {FASTER} times as fast, a lower RMSE and a lower interval score are wanted:\n"
    ]
    for n_visitors in sorted({n for n, _ in peers}):
        pairs = [(ours[key], peers[key]) for key in peers.keys() & ours.keys() if key[0] == n_visitors]
        ratios = [peer["seconds"] / our["seconds"] for our, peer in pairs]
        lower = {
            name: sum(our[name] < peer[name] for our, peer in pairs) for name in ("rmse", "interval_score_90")
        }
        lines.append(
            f"- {n_visitors:,} visitors: {min(ratios):.0f} to {max(ratios):.0f} times as fast; RMSE lower on "
            f"{lower['rmse']} of {len(pairs)} templates, interval score on {lower['interval_score_90']}."
        )
    return "\n".join(lines) + "\n"


def spread(seconds: list[float], digits: int = 2) -> str:
    """Return the least and the most seconds, and of how many runs."""
    runs = f"{len(seconds)} runs" if len(seconds) > 1 else "1 run"
    return f"{min(seconds):.{digits}f} to {max(seconds):.{digits}f}, {runs}"


def off(gap: float) -> str:
    """Return a relative error, and whether it is too large."""
    return f"{gap:+.0%}" if abs(gap) <= WANTED_GAP else f"{gap:+.0%}, missed"


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

"""Laplace against NUTS on the same 20,000 visitors of the stress family, with the full basis.

    .venv/bin/python benchmarks/laplace_against_nuts.py [template] [n_visitors]

Prints the gaps of posterior means, in NUTS's posterior sd, and ratios of sd (Laplace over NUTS) for 500
CATEs and the ATE: with the same fixed scales in both, and with NUTS sampling the scales too. NUTS's own
Monte Carlo error of a mean is about one over the root of its effective number of draws. Some 10 minutes.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "statistical"))

from sbcflow.runtime import configure

configure()

import laplace_nuts as ln  # noqa: E402

from sbcflow.generators import make_family  # noqa: E402
from sbcflow.params import PARAMS_FILE, NutsSettings, load  # noqa: E402

SEED = 20260601
N_TEST = 500
SETTINGS = NutsSettings(n_chains=4, n_warmup=150, n_samples=500, target_accept=0.65, max_tree_depth=3)


def main(template: str = "nonlinear", n_visitors: int = 20_000) -> None:
    """Fit, compare, and print a line a comparison."""
    params = load(Path(__file__).parents[1] / PARAMS_FILE)
    family = make_family("v2", params)
    knobs = family.draw_knobs(SEED, params.generators.v2.templates.index(template))
    simulation = family.simulate(SEED, knobs, n_visitors, N_TEST)
    parts = ln.fit_parts(simulation, params.model)
    print(
        f"v2 {template}, {n_visitors} visitors, {simulation.trial.converted.mean():.2%} convert, "
        f"{parts.basis.structure.n_columns} columns an arm"
    )
    held, carried = (ln.effects(ln.by_laplace(parts, fits), simulation) for fits in (parts.held, parts.free))
    fixed = _sampled("scales fixed", parts, parts.held, simulation)
    free = _sampled("scales sampled", parts, parts.free, simulation)
    print(f"\n{'':<52}{'CATE gap':>9}{'shift':>8}{'ATE gap':>9}{'sd ratio':>9}{'min':>7}{'max':>7}{'ATE':>7}")
    _print_line("same fixed scales in both", ln.compare(held, fixed))
    _print_line("NUTS samples scales, Laplace holds them at the mode", ln.compare(held, free))
    _print_line("NUTS samples scales, Laplace carries them", ln.compare(carried, free))


def _sampled(
    label: str,
    parts: ln.Parts,
    fits: tuple[ln.LaplaceFit, ln.LaplaceFit],
    simulation: ln.Simulation,
) -> ln.Effects:
    begun = time.perf_counter()
    posterior, runs = ln.by_nuts(parts, fits, SETTINGS)
    elapsed = time.perf_counter() - begun
    for part, run in zip(("conversion", "severity"), runs, strict=True):
        print(
            f"NUTS, {label}, {part}: R-hat {run.rhat:.3f}, smallest ESS {run.ess:.0f} of "
            f"{len(run.draws.coef)}, {run.n_divergent} divergent"
        )
    print(f"NUTS, {label}: {elapsed:.0f} s", flush=True)
    return ln.effects(posterior, simulation)


def _print_line(label: str, found: ln.Comparison) -> None:
    low, high = found.sd_ratio_range
    print(
        f"{label:<52}{found.cate_gap:>9.3f}{found.cate_shift:>8.3f}{found.ate_gap:>9.3f}"
        f"{found.sd_ratio:>9.3f}{low:>7.2f}{high:>7.2f}{found.ate_sd_ratio:>7.3f}"
    )


if __name__ == "__main__":
    main(*sys.argv[1:2], *map(int, sys.argv[2:3]))

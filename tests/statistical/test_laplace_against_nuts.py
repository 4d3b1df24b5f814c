"""Laplace against NUTS on the same trial of the stress family with the same fixed scales.

Posterior means of the ATE and of 500 CATEs agree within 0.05 posterior sd and the sd within 5%, on average.
NUTS's 2,000 draws place a mean within 0.022 sd, and Laplace's 4,000 within 0.016, so that two equal
posteriors would differ by 0.02 sd on average; the average sd ratio has a Monte Carlo error of about 0.01.
Seeds are fixed. benchmarks/laplace_against_nuts.py does the same with 20,000 visitors and the full basis.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import laplace_nuts as ln
import numpy as np
import pytest

from sbcflow.data import Simulation
from sbcflow.generators import make_family
from sbcflow.params import PARAMS_FILE, ModelSettings, NutsSettings, load

ROOT = Path(__file__).parents[2]
SEED = 20260601
N_VISITORS, N_TEST = 2000, 500
SETTINGS = NutsSettings(n_chains=2, n_warmup=150, n_samples=1000, target_accept=0.8, max_tree_depth=6)
GAP, RATIO = 0.05, 0.05


@cache
def simulated() -> tuple[Simulation, ModelSettings]:
    """A trial in which about a tenth converts, and the model of the run values on a small basis."""
    params = load(ROOT / PARAMS_FILE)
    family = make_family("v2", params)
    knobs = family.draw_knobs(SEED, params.generators.v2.templates.index("reversal"))
    knobs["base_rate"] = 0.1
    basis = params.model.basis.model_copy(update={"n_knots": 3, "interactions": False})
    model = params.model.model_copy(update={"basis": basis})
    return family.simulate(SEED, knobs, N_VISITORS, N_TEST), model


@cache
def parts() -> ln.Parts:
    return ln.fit_parts(*simulated())


@cache
def reference() -> ln.Effects:
    posterior, runs = ln.by_nuts(parts(), parts().held, SETTINGS)
    for run in runs:
        assert run.rhat < 1.02 and run.ess > 800 and run.n_divergent == 0
    return ln.effects(posterior, simulated()[0])


def check(found: ln.Comparison) -> None:
    assert found.cate_gap < GAP and abs(found.cate_shift) < GAP and abs(found.ate_gap) < GAP
    assert abs(found.sd_ratio - 1) < RATIO and abs(found.ate_sd_ratio - 1) < RATIO


def laplace_effects(held: tuple[ln.LaplaceFit, ln.LaplaceFit]) -> ln.Effects:
    return ln.effects(ln.by_laplace(parts(), held), simulated()[0])


def test_laplace_has_the_means_and_spreads_of_nuts_at_the_same_scales() -> None:
    assert all(fit.theta_root.shape[1] == 0 for fit in parts().held)
    check(ln.compare(laplace_effects(parts().held), reference()))


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_a_curvature_off_by_a_fifth_is_caught(factor: float) -> None:
    wrong = tuple(
        replace(fit, centred=replace(fit.centred, precision=factor * np.asarray(fit.centred.precision)))
        for fit in parts().held
    )
    with pytest.raises(AssertionError):
        check(ln.compare(laplace_effects(wrong), reference()))


def test_a_shift_of_a_tenth_of_a_posterior_sd_is_caught() -> None:
    found = laplace_effects(parts().held)
    with pytest.raises(AssertionError):
        check(ln.compare(replace(found, mean=found.mean + 0.1 * reference().sd), reference()))


def test_effects_hold_a_value_a_point_and_the_average() -> None:
    assert reference().mean.shape == (N_TEST + 1,)
    assert np.all(reference().sd > 0)

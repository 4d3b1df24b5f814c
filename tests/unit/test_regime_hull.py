import math
from dataclasses import replace

import pandas as pd
import pytest

from sbcflow.calibration.regime import Observed, Range, Regime, regime_of
from sbcflow.errors import ArtifactError

REGIME = Regime(Range(20000, 40000), Range(0.01, 0.1), Range(2, 2), Range(0.5, 1.5))
INSIDE = Observed(n_visitors=25000, conversion_rate=0.05, n_arms=2, severity_sd=1.0)


def test_inside_there_is_nothing_to_say():
    assert REGIME.check(INSIDE) == []
    assert REGIME.sweep_to_run(INSIDE) == ""


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"n_visitors": 64000}, ["visitors", "64,000", "20,000 to 40,000"]),
        ({"n_visitors": 13000}, ["visitors", "13,000"]),
        ({"conversion_rate": 0.006}, ["conversion rate", "0.6%", "1% to 10%"]),
        ({"n_arms": 3}, ["arms: 3", "(2)"]),
        ({"severity_sd": 2.0}, ["severity", "2", "0.5 to 1.5"]),
        ({"severity_sd": math.nan}, ["severity", "nan"]),
    ],
)
def test_each_quantity_outside_is_named_with_value_and_range(change, shown):
    messages = REGIME.check(replace(INSIDE, **change))
    assert len(messages) == 1
    assert all(part in messages[0] for part in shown)


@pytest.mark.parametrize(
    "change",
    [{"n_visitors": 60000}, {"n_visitors": 13334}, {"conversion_rate": 0.007}, {"severity_sd": 1.8}],
)
def test_a_little_beyond_is_tolerated(change):
    assert REGIME.check(replace(INSIDE, **change)) == []


def test_the_sweep_to_run_names_settings():
    advice = REGIME.sweep_to_run(Observed(64000, 0.006, 3, 2.0))
    assert "scales: [64000]" in advice
    assert "generators.v2.n_arms: 3" in advice
    assert "generators.v2.base_rate: [0.004, 0.009]" in advice
    assert "generators.v2.severity_sigma: [1.3, 3]" in advice
    assert "generators.v2.n_arms: 3" in REGIME.sweep_to_run(replace(INSIDE, n_arms=3))


def test_ranges_over_the_fits_and_round_trip():
    fits = pd.DataFrame(
        {
            "n_visitors": [10, 20],
            "diagnostics.conversion_rate": [0.1, 0.05],
            "diagnostics.n_arms": [2, 2],
            "diagnostics.severity_sd": [1.0, 1.0],
        }
    )
    regime = regime_of(fits)
    assert regime.conversion_rate == Range(0.05, 0.1)
    assert Regime.from_json({"regime": regime.to_json()}) == regime
    for column in fits:
        with pytest.raises(ArtifactError, match=column):
            regime_of(fits.drop(columns=column))
        with pytest.raises(ArtifactError, match=column):
            regime_of(fits.assign(**{column: ["x", None]}))


@pytest.mark.parametrize("pair", [[2, 1], [1], [1, 2, 3], "wide", None])
def test_impossible_ranges_are_refused(pair):
    with pytest.raises(ArtifactError, match="n_visitors"):
        Regime.from_json({"regime": {**REGIME.to_json(), "n_visitors": pair}})

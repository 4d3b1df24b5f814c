import io
import json

import numpy as np
import pandas as pd
import pytest

from sbcflow.calibration.fit import converged_fits, fit_corrections
from sbcflow.errors import ArtifactError
from sbcflow.levels import LEVELS, coverage_column
from sbcflow.params import CorrectionSettings

SETTINGS = CorrectionSettings(id="corrections", n_bootstrap=100, seed=1)


def aggregate(n_fits: int = 8) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    shift = rng.uniform(-0.04, 0.0, size=n_fits)
    columns = {coverage_column(level): np.clip(level + shift, 0, 1) for level in LEVELS}
    return pd.DataFrame(
        {
            "config_id": [f"{i:03d}" for i in range(n_fits)],
            "n_visitors": 20000,
            **columns,
            "diagnostics.converged": True,
            "diagnostics.conversion_rate": rng.uniform(0.01, 0.1, n_fits),
            "diagnostics.n_arms": 2,
            "diagnostics.severity_sd": 1.0,
        }
    )


def with_an_outlier(converged: object) -> pd.DataFrame:
    table = aggregate(9)
    table.loc[8, [coverage_column(level) for level in LEVELS]] = 0.0
    table.loc[8, "n_visitors"] = 7
    table["diagnostics.converged"] = [*[True] * 8, converged]
    return table


@pytest.mark.parametrize("converged", [False, None, "False", np.nan])
def test_fits_that_did_not_converge_are_left_out_and_counted(converged):
    table = with_an_outlier(converged)
    found = fit_corrections(table, SETTINGS, "train-id")
    kept = fit_corrections(table.iloc[:8], SETTINGS, "train-id")
    assert (found.curve, found.scale, found.regime) == (kept.curve, kept.scale, kept.regime)
    assert (found.curve.n_fits, found.n_excluded, kept.n_excluded) == (8, 1, 0)


def test_the_rule_survives_the_csv():
    text = with_an_outlier(None).to_csv(index=False)
    assert len(converged_fits(pd.read_csv(io.StringIO(text)))) == 8


def test_equal_inputs_give_equal_bytes_and_the_sweep_is_kept():
    one, two = (json.dumps(fit_corrections(aggregate(), SETTINGS, "t").to_files()) for _ in range(2))
    assert one == two
    for values in fit_corrections(aggregate(), SETTINGS, "t").to_files().values():
        assert values["trained_on"] == "t"
        assert values["n_fits"] == 8


def test_a_single_fit_is_enough_for_a_curve_but_not_for_an_anchor():
    found = fit_corrections(aggregate(1), SETTINGS, "t")
    assert found.curve.n_fits == 1 and not found.scale.anchor_usable
    json.dumps(found.to_files(), allow_nan=False)


def test_no_usable_fit_is_refused():
    for table in (aggregate().iloc[:0], aggregate().assign(**{"diagnostics.converged": False})):
        with pytest.raises(ArtifactError, match="none of its"):
            fit_corrections(table, SETTINGS, "t")


@pytest.mark.parametrize("column", ["diagnostics.converged", "metrics.coverage_9995", "n_visitors"])
def test_missing_columns_are_named(column):
    with pytest.raises(ArtifactError, match=column):
        fit_corrections(aggregate().drop(columns=column), SETTINGS, "t")


@pytest.mark.parametrize("value", [np.nan, -0.1, 1.2])
def test_impossible_coverages_are_named(value):
    table = aggregate()
    table.loc[3, "metrics.coverage_975"] = value
    with pytest.raises(ArtifactError, match="coverage_975"):
        fit_corrections(table, SETTINGS, "t")

"""Which experiments an audit takes: a share that only adds; the same experiments under keys of NUTS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.cli import parse_config

from sbcflow.errors import ParamsError
from sbcflow.params import Params, parse
from sbcflow.sweep.audit_plan import AuditSettings, drawn, reference_params, refit_batches, refits
from sbcflow.sweep.plan import plan_sweep

ROOT = Path(__file__).parents[2]


def _params(n_configs: int = 24, **changes: Any) -> Params:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["train_sweep"]["n_configs"] = n_configs
    return parse(values | changes)


PARAMS = _params()


def _indices(share: float, params: Params = PARAMS, seed: int = 0) -> list[int]:
    return [one.index for one in drawn(params, "train", share, seed)]


@given(shares=st.tuples(st.floats(0.001, 1.0), st.floats(0.001, 1.0)), seed=st.integers(0, 50))
@settings(deadline=None)
def test_a_larger_share_only_adds(shares: tuple[float, float], seed: int) -> None:
    few, many = (_indices(share, seed=seed) for share in sorted(shares))
    assert set(few) <= set(many)
    assert many == sorted(set(many))


def test_a_draw_is_of_its_size_and_two_are_the_fewest() -> None:
    assert [len(_indices(share)) for share in (0.001, 0.05, 0.1, 0.5, 1.0)] == [2, 2, 3, 12, 24]
    assert len(_indices(0.05, _params(n_configs=1))) == 1


def test_every_config_is_as_likely() -> None:
    """Of 1000 seeds each of 24 configs is drawn 83.3 times of 2 in 24; 5 standard errors are 44.

    One false alarm in some 80,000 runs by chance, were the seeds not fixed.
    """
    counts = [0] * 24
    for seed in range(1000):
        for index in _indices(0.05, seed=seed):
            counts[index] += 1
    assert max(abs(count - 1000 / 12) for count in counts) < 44


@pytest.mark.parametrize("seed", range(8))
def test_a_sweep_that_grows_keeps_its_draw_but_for_what_is_displaced(seed: int) -> None:
    """Of the configs that both sizes have, the two draws hold more or fewer, never others instead."""
    few, many = (set(_indices(0.25, _params(n_configs=n), seed)) for n in (24, 30))
    of_both = {index for index in many if index < 24}
    assert of_both <= few or few <= of_both
    assert len(of_both & few) >= 3


@pytest.mark.parametrize("share", [0.0, -1.0, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ParamsError, match=r"share: must lie in \(0, 1\]"):
        drawn(PARAMS, "train", share, 0)


def test_refits_are_of_the_same_experiments_under_other_keys() -> None:
    exact, again = reference_params(PARAMS, "train"), refits(PARAMS, "train", 0.25)
    before = drawn(PARAMS, "train", 0.25, 0)
    assert exact.train_sweep.id == "pilot-train-audit"
    assert exact.test_sweep == PARAMS.test_sweep
    assert [(one.seed, one.n_visitors, one.knobs) for one in again] == [
        (one.seed, one.n_visitors, one.knobs) for one in before
    ]
    assert not {one.key for one in again} & {one.key for one in plan_sweep(PARAMS, "train")}


def test_the_share_is_in_no_key() -> None:
    some, all_of_it = (refits(PARAMS, "train", share) for share in (0.25, 1.0))
    assert set(some_ids := [one.key for one in some]) <= {one.key for one in all_of_it}
    assert len(some_ids) == 6


def test_a_job_fits_one_experiment() -> None:
    batches = refit_batches(PARAMS, "train", 0.25)
    assert [batch.configs for batch in batches] == [(one,) for one in refits(PARAMS, "train", 0.25)]
    assert {batch.run_id for batch in batches} == {"pilot-train-audit"}


def test_the_settings_of_nuts_are_in_the_keys_of_its_fits() -> None:
    values = PARAMS.inference.model_dump(mode="json")
    longer = _params(inference=values | {"nuts": values["nuts"] | {"n_samples": 999}})
    one, other = (refits(params, "train", 0.05) for params in (PARAMS, longer))
    assert not {fit.key for fit in one} & {fit.key for fit in other}


def test_a_run_that_has_the_id_of_the_audit_is_named() -> None:
    explored = PARAMS.exploratory_sweep.model_copy(update={"id": "pilot-train-audit"})
    params = PARAMS.model_copy(update={"exploratory_sweep": explored})
    with pytest.raises(ParamsError, match=r"^exploratory_sweep.id: is 'pilot-train-audit', which is that of"):
        reference_params(params, "train")
    assert reference_params(params, "test").test_sweep.id == "pilot-test-audit"


def test_fits_by_nuts_or_of_ones_own_have_no_audit() -> None:
    nuts = PARAMS.inference.model_copy(update={"method": "nuts"})
    for change in ({"inference": nuts}, {"estimator": "mine:Estimator"}):
        with pytest.raises(ParamsError, match="of the estimator hurdle by the inference method laplace"):
            reference_params(PARAMS.model_copy(update=change), "train")


def test_the_share_is_taken_out_from_among_the_run_values() -> None:
    told = {"audit_share": 0.1, "train_sweep": {}}
    assert AuditSettings.take(told).share == 0.1
    assert told == {"train_sweep": {}}
    assert AuditSettings.take({}).share == 0.05


@pytest.mark.parametrize("value", ["0.1", 0, -0.1, 1.01, True, False, None, [0.1], {}, float("nan")])
def test_other_shares_are_refused_by_name(value: object) -> None:
    with pytest.raises(ParamsError, match=r"^audit_share: must be a number in \(0, 1\], got ") as caught:
        AuditSettings.take({"audit_share": value})
    assert str(caught.value).endswith(repr(value))


@pytest.mark.parametrize(("given", "share"), [("0.1", 0.1), ("1", 1.0), (".5", 0.5), ("1e-2", 0.01)])
def test_shares_as_snakemake_reads_them_from_its_command_line(given: str, share: float) -> None:
    assert AuditSettings.take(parse_config([f"audit_share={given}"])).share == share


def test_the_share_is_no_run_value() -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    with pytest.raises(ParamsError, match="audit_share"):
        parse({**values, "audit_share": 0.1})

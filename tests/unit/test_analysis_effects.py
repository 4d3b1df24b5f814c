"""The effect table and the effect on each visitor, from a posterior whose draws are known."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_examples import write_correction, write_regime_correction

from sbcflow.analysis import visitors
from sbcflow.analysis.changes import Widths, kept_raw, on_averages
from sbcflow.analysis.effects import (
    Regime,
    _what_was_done,
    check_regime,
    difference_in_means,
    effect_table,
    interval_columns,
    observed_of,
)
from sbcflow.analysis.points import beyond_the_sweep, layered_points, regime_points
from sbcflow.analysis.render import NO_CORRECTION, render
from sbcflow.analysis.visitors import write_visitors
from sbcflow.calibration.layered import LayeredCorrection
from sbcflow.data import (
    Covariates,
    Feature,
    Float32Array,
    FloatArray,
    Segment,
    TestPoints,
    Trial,
    segments_of,
)

N, N_DRAWS = 90, 400


class KnownPosterior:
    """CATE of arm k at x: k * x + noise, with the same noise for every visitor."""

    noise = np.random.default_rng(5).normal(size=N_DRAWS)

    def cate(self, points: TestPoints) -> Float32Array:
        centre = points.arm * points.covariates.values[:, 0]
        return (centre[:, None] + self.noise).astype(np.float32)

    def average_cate(self, covariates: Covariates, segments: tuple[Segment, ...]) -> FloatArray:
        x = covariates.values[:, 0]
        return np.array([[k * x[s.member].mean() + self.noise for k in (1, 2)] for s in segments])

    def hyperparameters(self) -> Mapping[str, FloatArray]:
        return {}

    def diagnostics(self) -> Mapping[str, float | int | bool | str | None]:
        return {"converged": True}


@pytest.fixture(scope="module")
def correction(tmp_path_factory: pytest.TempPathFactory) -> LayeredCorrection:
    return LayeredCorrection.load(write_correction(tmp_path_factory.mktemp("correction")))


@pytest.fixture
def trial() -> Trial:
    rng = np.random.default_rng(2)
    values = np.stack([np.arange(N) / 10, np.arange(N) % 2], axis=1).astype(np.float32)
    converted = rng.random(N) < 0.4
    features = (Feature("x", "continuous"), Feature("b", "binary"))
    revenue = np.where(converted, np.exp(rng.normal(size=N)), 0.0)
    arm = (np.arange(N) % 3).astype(np.int32)
    return Trial(Covariates(features, values), arm, converted, revenue, ("off", "on", "loud"))


def test_rows_are_arms_by_segments(trial: Trial) -> None:
    table = effect_table(trial, KnownPosterior(), None)
    segments = ["all", "x=third 1 of 3", "x=third 2 of 3", "x=third 3 of 3", "b=0", "b=1"]
    assert table["segment"].tolist() == segments * 2
    assert table["arm"].tolist() == ["on"] * 6 + ["loud"] * 6
    assert table["segment_range"].tolist()[:5] == ["", "0 to 2.9", "3 to 5.9", "6 to 8.9", ""]
    assert set(table["converged"]) == {"true"}
    assert table["n_control"].tolist() == [30, 10, 10, 10, 15, 15] * 2


def test_a_row_compares_its_own_visitors(trial: Trial) -> None:
    table = effect_table(trial, KnownPosterior(), None).set_index(["arm", "segment"])
    row = table.loc[("loud", "b=1")]
    odd = np.arange(N) % 2 == 1
    off, loud = trial.revenue[odd & (trial.arm == 0)], trial.revenue[odd & (trial.arm == 2)]
    assert row["diff_in_means"] == pytest.approx(loud.mean() - off.mean())
    assert row["diff_in_means_se"] == pytest.approx(np.sqrt(loud.var(ddof=1) / 15 + off.var(ddof=1) / 15))
    assert row["converted_control"] == (off > 0).sum() and row["converted_treatment"] == (loud > 0).sum()
    assert row["ate"] == pytest.approx(2 * np.arange(N)[odd].mean() / 10 + KnownPosterior.noise.mean())
    assert row["sd"] == pytest.approx(KnownPosterior.noise.std(ddof=1))


def test_intervals_are_quantiles_and_the_correction_s(trial: Trial, correction: LayeredCorrection) -> None:
    table = effect_table(trial, KnownPosterior(), correction)
    draws = (np.arange(N).mean() / 10 + KnownPosterior.noise)[None, :]
    for level, suffix in ((0.5, "50"), (0.8, "80"), (0.9, "90"), (0.95, "95")):
        raw = np.quantile(draws[0], [(1 - level) / 2, (1 + level) / 2])
        assert table.loc[0, [f"raw_lower_{suffix}", f"raw_upper_{suffix}"]].tolist() == pytest.approx(raw)
        expected = correction.intervals(draws, level)
        ends = table.loc[0, [f"calibrated_lower_{suffix}", f"calibrated_upper_{suffix}"]].tolist()
        assert ends == pytest.approx([expected.lower[0], expected.upper[0]])
        assert set(table[f"calibration_rule_{suffix}"]) == {expected.regime}
        width = {
            kind: table[f"{kind}_upper_{suffix}"] - table[f"{kind}_lower_{suffix}"]
            for kind in ("raw", "calibrated")
        }
        assert (width["calibrated"] > width["raw"]).all()


def test_averages_are_never_narrowed(trial: Trial, tmp_path: Path) -> None:
    """Nor is an interval that the correction would narrow left without its raw ends."""
    too_wide = LayeredCorrection.load(write_correction(tmp_path, narrowness=1.3))
    ordered = np.sort(np.random.default_rng(0).standard_normal((5, 2000)), axis=1)
    ends = interval_columns(ordered, 0.9, too_wide.rule(0.9).read)
    assert (ends["calibrated_lower_90"] > ends["raw_lower_90"]).all()
    table = effect_table(trial, KnownPosterior(), too_wide)
    for suffix in ("50", "80", "90", "95"):
        for end in ("lower", "upper"):
            assert (table[f"calibrated_{end}_{suffix}"] == table[f"raw_{end}_{suffix}"]).all()
        rule = too_wide.rule(int(suffix) / 100).regime
        assert set(table[f"calibration_rule_{suffix}"]) == {f"raw, not narrowed: {rule}"}


def test_what_was_left_raw_is_said_and_counted(
    trial: Trial, correction: LayeredCorrection, tmp_path: Path
) -> None:
    """12 rows at 4 levels: all kept, none kept, or one of them."""
    too_wide = LayeredCorrection.load(write_correction(tmp_path, narrowness=1.3))
    widened, kept = (effect_table(trial, KnownPosterior(), one) for one in (correction, too_wide))
    assert on_averages(kept).startswith(
        "All of the 48 intervals of averages (everybody and segments, 4 levels)"
    )
    assert "would narrow them" in on_averages(kept)
    assert on_averages(widened).startswith("The correction widened each of the 48 intervals")
    some = pd.concat([widened.head(11), kept.tail(1)], ignore_index=True)
    assert on_averages(some).startswith("4 of the 48 intervals of averages")
    assert kept_raw(some, 0.9).tolist() == [False] * 11 + [True]
    text = render(kept, check_regime(trial, too_wide), Widths(1.03, 0.8), ())
    assert on_averages(kept) in text
    assert (
        "(cate.parquet) did change, by the layered rule: 90% intervals are 1.03 wide raw and 0.8 calibrated"
        in text
    )


def test_an_interval_of_which_one_end_stays_raw_is_said_so() -> None:
    ends = {
        "raw_lower_90": np.array([0.0, 0.0, 0.0, 0.0]),
        "raw_upper_90": np.array([1.0, 1.0, 1.0, 1.0]),
        "calibrated_lower_90": np.array([0.1, 0.1, -0.1, -0.1]),
        "calibrated_upper_90": np.array([0.9, 1.1, 0.9, 1.1]),
    }
    kept = "raw, not narrowed: rule"
    assert _what_was_done(ends, "90", "rule").tolist() == [
        *(kept, f"lower end {kept}", f"upper end {kept}", "rule")
    ]


def test_without_a_correction_the_calibrated_columns_are_empty(trial: Trial) -> None:
    table = effect_table(trial, KnownPosterior(), None)
    assert table.filter(like="calibrated_").isna().all(axis=None)
    assert (
        set(table["regime_ok"]) == set(table["regime_messages"]) == set(table["calibration_rule_90"]) == {""}
    )
    text = render(table, check_regime(trial, None), Widths(1.0, None), ())
    assert NO_CORRECTION in text and "averages" not in text and "single visitors" not in text


def test_outside_the_regime_is_said_with_the_sweep_to_run(
    trial: Trial, correction: LayeredCorrection
) -> None:
    regime = check_regime(trial, correction)
    assert regime.ok is False
    assert any(m.startswith("visitors: 90 lies outside") for m in regime.messages)
    assert any(m.startswith("arms: 3 lies outside") for m in regime.messages)
    table = effect_table(trial, KnownPosterior(), correction)
    assert set(table["regime_ok"]) == {"false"}
    text = render(table, regime, Widths(1.0, 1.2), ("a note",))
    for said in (table["regime_messages"][0], text):
        assert "scales: [90]" in said and "n_arms: 3" in said
    assert "The correction widened each of" in text and "Note: a note" in text


def test_inside_the_regime_nothing_is_asked_for(correction: LayeredCorrection) -> None:
    n, rng = 20_000, np.random.default_rng(0)
    converted = np.arange(n) % 20 == 0
    revenue = np.where(converted, np.exp(rng.normal(0, 0.9, n)), 0.0)
    arm = rng.integers(0, 2, n).astype(np.int32)
    covariates = Covariates((Feature("x", "binary"),), rng.integers(0, 2, (n, 1)).astype(np.float32))
    trial = Trial(covariates, arm, converted, revenue, ("off", "on"))
    regime = check_regime(trial, correction)
    assert (regime.ok, regime.messages, regime.advice) == (True, (), "")


def test_observed_is_in_the_sweep_s_terms(trial: Trial) -> None:
    observed = observed_of(trial)
    logs = np.log(trial.revenue[trial.converted])
    assert (observed.n_visitors, observed.n_arms) == (N, 3)
    assert observed.conversion_rate == trial.converted.mean()
    assert observed.severity_sd == pytest.approx(logs.std(ddof=1))


def test_difference_in_means_of_few_visitors() -> None:
    one, two, none = np.array([1.0]), np.array([2.0, 4.0]), np.array([])
    assert difference_in_means(one, two)[0] == 2.0
    assert np.isnan(difference_in_means(one, two)[1])
    assert np.isnan(difference_in_means(none, two)).all()
    assert difference_in_means(np.array([0.0, 0.0]), two) == pytest.approx((3.0, 1.0))


def test_each_visitor_has_a_row_whatever_the_slices(
    trial: Trial, correction: LayeredCorrection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widths = write_visitors(tmp_path / "whole.parquet", trial, KnownPosterior(), layered_points(correction))
    monkeypatch.setattr(visitors, "SLICE", 40)
    again = write_visitors(tmp_path / "sliced.parquet", trial, KnownPosterior(), layered_points(correction))
    whole, sliced = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("whole", "sliced"))
    pd.testing.assert_frame_equal(whole, sliced)
    assert whole["row"].tolist() == list(range(N))
    for kind in ("raw", "calibrated"):
        ends = [whole.filter(regex=rf"{kind}_{end}_90$").to_numpy() for end in ("lower", "upper")]
        assert ends[0].shape == (N, 2)
        for found in (widths, again):
            assert getattr(found, kind) == pytest.approx((ends[1] - ends[0]).mean(), rel=1e-12)
    noise = KnownPosterior.noise
    np.testing.assert_allclose(whole["loud.mean"], np.arange(N) / 5 + noise.mean(), atol=1e-5)
    np.testing.assert_allclose(whole["on.sd"], noise.std(ddof=1), rtol=1e-4)
    np.testing.assert_allclose(
        whole["on.raw_upper_90"], np.arange(N) / 10 + np.quantile(noise, 0.95), atol=1e-5
    )
    assert (whole["on.calibrated_lower_90"] < whole["on.raw_lower_90"]).all()


@pytest.mark.parametrize("inside", [True, False])
def test_visitors_by_regime_are_points_of_one_fit_a_treatment(
    trial: Trial, tmp_path: Path, inside: bool
) -> None:
    """Outside the regime an end that would move in stays raw; the posterior here is twice too wide."""
    found = write_regime_correction(write_correction(tmp_path / "correction"))
    rules = regime_points(found, trial, KnownPosterior(), inside=inside)
    widths = write_visitors(tmp_path / "cate.parquet", trial, KnownPosterior(), rules)
    table = pd.read_parquet(tmp_path / "cate.parquet")
    for k, arm in enumerate(("on", "loud"), start=1):
        points = TestPoints(trial.covariates, np.full(N, k, dtype=np.int32))
        expected = found.intervals(KnownPosterior().cate(points), 0.9)
        lower, upper = expected.lower, expected.upper
        if not inside:
            lower = np.minimum(lower, table[f"{arm}.raw_lower_90"])
            upper = np.maximum(upper, table[f"{arm}.raw_upper_90"])
        np.testing.assert_array_equal(table[f"{arm}.calibrated_lower_90"], lower)
        np.testing.assert_array_equal(table[f"{arm}.calibrated_upper_90"], upper)
    assert widths.calibrated is not None
    assert (widths.calibrated < widths.raw) == inside


def test_visitors_beyond_the_sweep_are_told(trial: Trial, tmp_path: Path) -> None:
    """The sweep has signals of sd 1 or so; here they go up to 9 in one arm and 18 in the other."""
    found = write_regime_correction(write_correction(tmp_path / "correction"))
    said = beyond_the_sweep(found, trial, KnownPosterior())
    signals = {k: k * trial.covariates.values[:, 0] / KnownPosterior.noise.std() for k in (1, 2)}
    top = found.regression.splines["signal"].knots[-1]
    for k, arm in enumerate(("on", "loud"), start=1):
        line = next(line for line in said if line.startswith(f"{arm}: ") and "in signal; by" in line)
        assert "generators.v2.conversion_effect" in line
        told = int(line.removeprefix(f"{arm}: ").partition("%")[0]) / 100
        assert told == pytest.approx(np.mean(signals[k] > top), abs=0.02) and told > 0.5
    assert not any("in tail" in line for line in said)
    text = render(
        effect_table(trial, KnownPosterior(), None), Regime(True, beyond=said), Widths(1.0, 1.2), ()
    )
    assert f"Beyond the train sweep: {said[0]}" in text
    alike = np.random.default_rng(6).normal(size=(300, 1)) + np.random.default_rng(7).normal(size=(300, 200))
    assert found.beyond(np.sort(alike, axis=1))["signal"] < 0.1


def test_visitors_without_a_correction_have_null_calibrated_ends(trial: Trial, tmp_path: Path) -> None:
    widths = write_visitors(tmp_path / "cate.parquet", trial, KnownPosterior(), None)
    assert widths.raw > 0 and widths.calibrated is None
    table = pd.read_parquet(tmp_path / "cate.parquet")
    assert table.filter(like="calibrated").isna().all(axis=None)
    assert table.filter(like="raw").notna().all(axis=None)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (range(90), {"third 1 of 3": 30, "third 2 of 3": 30, "third 3 of 3": 30}),
        ([1] * 50 + [2] * 20 + [3] * 20, {"third 1 of 3": 50, "third 2 of 3": 20, "third 3 of 3": 20}),
        ([1] * 70 + [2] * 20, {"third 1 of 3": 70, "third 3 of 3": 20}),
    ],
)
def test_visitors_of_one_value_are_in_one_third(values: list[int], expected: dict[str, int]) -> None:
    column = np.array(values, dtype=np.float32)[:, None]
    found = segments_of(Covariates((Feature("x", "continuous"),), column))
    assert {s.name.removeprefix("x="): int(s.member.sum()) for s in found} == expected

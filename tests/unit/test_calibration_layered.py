import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sbcflow.calibration import intervals
from sbcflow.calibration.coverage_curve import CoverageCurve
from sbcflow.calibration.layered import COVERAGE_FILE, METHODS, SCALE_FAMILY_FILE, LayeredCorrection
from sbcflow.calibration.regime import Range, Regime
from sbcflow.calibration.scale_family import ScaleFamily, z_of
from sbcflow.errors import ArtifactError, DataError, ParamsError
from sbcflow.levels import LEVELS

REGIME = Regime(Range(2e4, 2e4), Range(0.01, 0.1), Range(2, 2), Range(0.5, 1.5))
DRAWS = (np.random.default_rng(1).gamma(3.0, size=(40, 500)) + 5).astype(np.float32)


def correction(y_values=tuple(0.9 * level for level in LEVELS), anchor=0.85, reason="") -> LayeredCorrection:
    curve = CoverageCurve(LEVELS, tuple(y_values), tuple(y_values), tuple(y_values), 12, 100, 1)
    shown = 1.0 if reason else anchor
    scale = ScaleFamily(0.7, LEVELS[-1], shown, anchor, 144, 12, not reason, reason)
    return LayeredCorrection(curve, scale, REGIME, trained_on="train", n_excluded=1)


def central(nominal: float):
    tail = (1 - nominal) / 2
    return np.quantile(DRAWS.astype(np.float64), [tail, 1 - tail], axis=1)


def test_raw_is_the_nominal_interval():
    found = correction().intervals(DRAWS, 0.9, method="raw")
    np.testing.assert_allclose([found.lower, found.upper], central(0.9), rtol=1e-13)
    assert found.regime == "raw"


def test_at_or_under_the_anchor_the_curve_is_inverted():
    for level, nominal in ((0.45, 0.5), (0.81, 0.9), (0.85, 0.85 / 0.9)):
        found = correction().intervals(DRAWS, level)
        np.testing.assert_allclose([found.lower, found.upper], central(nominal), rtol=1e-7)
        assert found.regime == "r_of_p"


def test_above_the_anchor_its_half_widths_are_stretched_about_the_mean():
    found = correction().intervals(DRAWS, 0.95)
    mean, (low, high) = DRAWS.mean(axis=1, dtype=np.float64), central(0.9995)
    ratio = z_of(0.95) / z_of(0.85)
    np.testing.assert_allclose(found.lower, mean - ratio * (mean - low), rtol=1e-12)
    np.testing.assert_allclose(found.upper, mean + ratio * (high - mean), rtol=1e-12)
    assert found.regime == "scale_family"


def test_without_an_anchor_the_curve_serves_alone_and_says_so():
    alone = correction(reason="the median is 1.0")
    for level in (0.5, 0.95, 0.9995):
        found, by_curve = alone.intervals(DRAWS, level), alone.intervals(DRAWS, level, method="r_of_p")
        np.testing.assert_array_equal(found.lower, by_curve.lower)
        np.testing.assert_array_equal(found.upper, by_curve.upper)
        assert found.regime.startswith("r_of_p")
        assert "R(p) alone: the median is 1.0" in found.regime


def test_asking_for_more_than_the_curve_reached_is_said():
    assert "at its ceiling" in correction().intervals(DRAWS, 0.95, method="r_of_p").regime
    assert "at its ceiling" in correction(reason="none").intervals(DRAWS, 0.95).regime
    assert "at its ceiling" not in correction().intervals(DRAWS, 0.95).regime


def test_many_rows_are_read_block_by_block(monkeypatch):
    whole = correction().intervals(DRAWS, 0.95)
    monkeypatch.setattr(intervals, "BLOCK_VALUES", 1200)
    parts = correction().intervals(DRAWS, 0.95)
    np.testing.assert_array_equal(whole.lower, parts.lower)
    np.testing.assert_array_equal(whole.upper, parts.upper)


@settings(deadline=None)
@given(
    y_values=st.lists(st.floats(0, 1), min_size=12, max_size=12).map(sorted),
    anchor=st.floats(0.05, 0.999),
    seed=st.integers(0, 1000),
    method=st.sampled_from(METHODS),
    usable=st.booleans(),
)
def test_intervals_are_nested_as_the_level_grows(y_values, anchor, seed, method, usable):
    corrected = correction(y_values, anchor, reason="" if usable else "planted")
    draws = np.random.default_rng(seed).normal(size=(5, 60))
    found = [corrected.intervals(draws, level, method) for level in np.linspace(0.02, 0.998, 40)]
    lower, upper = np.array([f.lower for f in found]), np.array([f.upper for f in found])
    assert (np.diff(lower, axis=0) <= 1e-12).all()
    assert (np.diff(upper, axis=0) >= -1e-12).all()
    assert (lower <= upper).all()


@pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 90.0, float("nan")])
def test_levels_outside_are_refused(level):
    with pytest.raises(ParamsError, match="between 0 and 1"):
        correction().intervals(DRAWS, level)


def test_unknown_methods_are_refused():
    with pytest.raises(ParamsError, match="raw, r_of_p, layered"):
        correction().rule(0.9, "magic")


@pytest.mark.parametrize("draws", [np.zeros(5), np.zeros((0, 5)), np.zeros((5, 1)), np.full((2, 3), np.nan)])
def test_draws_that_are_no_draws_are_refused(draws):
    with pytest.raises(DataError, match="draws"):
        correction().intervals(draws, 0.9)


@pytest.fixture
def folder(tmp_path):
    for name, values in correction().to_files().items():
        (tmp_path / name).write_text(json.dumps(values))
    return tmp_path


def test_files_round_trip(folder):
    assert LayeredCorrection.load(folder) == correction()
    coverage = json.loads((folder / COVERAGE_FILE).read_text())
    assert coverage["regime"]["conversion_rate"] == [0.01, 0.1]
    assert coverage["trained_on"] == "train" and coverage["n_excluded"] == 1


@pytest.mark.parametrize("name", [COVERAGE_FILE, SCALE_FAMILY_FILE])
@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", b"\xff\xfe"])
def test_files_that_cannot_be_read_are_named(folder, name, content):
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    _assert_refused(folder, name)


@pytest.mark.parametrize("name", [COVERAGE_FILE, SCALE_FAMILY_FILE])
def test_every_key_is_needed_and_named(folder, name):
    values = json.loads((folder / name).read_text())
    unused = {"n_excluded"} if name == SCALE_FAMILY_FILE else set()
    for key in values.keys() - unused:
        (folder / name).write_text(json.dumps({k: v for k, v in values.items() if k != key}))
        _assert_refused(folder, name, named=key)


def test_a_curve_that_falls_is_refused(folder):
    values = json.loads((folder / COVERAGE_FILE).read_text())
    (folder / COVERAGE_FILE).write_text(json.dumps({**values, "y_values": values["y_values"][::-1]}))
    _assert_refused(folder, COVERAGE_FILE, named="y_values")


def test_files_of_two_sweeps_are_refused(folder):
    values = json.loads((folder / SCALE_FAMILY_FILE).read_text())
    (folder / SCALE_FAMILY_FILE).write_text(json.dumps({**values, "trained_on": "another"}))
    _assert_refused(folder, SCALE_FAMILY_FILE, named="another")


def _assert_refused(folder, name, named=""):
    with pytest.raises(ArtifactError) as refusal:
        LayeredCorrection.load(folder)
    message = str(refusal.value)
    assert name in message and named in message and "\n" not in message

import numpy as np
import pytest

from sbcflow.calibration.scale_family import ScaleFamily, actual_of, fit_scale_family, z_of
from sbcflow.errors import ArtifactError
from sbcflow.levels import LEVELS


def actual(c: float, n_fits: int) -> np.ndarray:
    return np.tile([actual_of(c, level) for level in LEVELS], (n_fits, 1))


@pytest.mark.parametrize("c", [0.06, 0.3, 0.7, 1.0, 1.6, 4.5])
def test_c_is_recovered(c):
    family = fit_scale_family(actual(c, 8))
    assert family.c == pytest.approx(c, abs=1e-5)
    assert family.n_points_fit == 8 * len(LEVELS)


def test_family_by_hand():
    """z(0.6827) = 1, so half the scale covers as half a standard deviation does."""
    assert z_of(0.6826894921370859) == pytest.approx(1.0)
    assert actual_of(0.5, 0.6826894921370859) == pytest.approx(0.38292492254802624)


def test_anchor_is_the_median_at_the_largest_level():
    coverages = actual(0.6, 7)
    coverages[:, -1] = [0.9, 0.91, 0.92, 0.93, 0.94, 0.99, 1.0]
    coverages[6, -1] = 0.995
    family = fit_scale_family(coverages)
    assert (family.max_recorded_nominal, family.max_recorded_actual) == (0.9995, 0.93)
    assert family.anchor_usable and family.anchor_reason == ""
    assert family.stretch(0.93) == 1.0
    assert family.stretch(0.99) == pytest.approx(z_of(0.99) / z_of(0.93))


@pytest.mark.parametrize(
    ("at_anchor", "reason"),
    [
        ([1.0] * 12, "is 1.0"),
        ([0.0] * 12, "is 0.0"),
        ([0.99] * 5, "5 fits are too few"),
        ([0.99] * 7 + [1.0] * 5, "too few to tell"),
    ],
)
def test_unusable_anchors_say_why(at_anchor, reason):
    coverages = actual(0.6, len(at_anchor))
    coverages[:, -1] = at_anchor
    family = fit_scale_family(coverages)
    assert not family.anchor_usable
    assert reason in family.anchor_reason
    assert family.max_recorded_actual == 1.0
    assert family.median_actual == np.median(at_anchor)


def test_the_medians_upper_end_is_the_sign_tests():
    """12 fits: binomial(12, 1/2) has 0.019 at or under 2, so the 3rd largest: two at 1.0 are allowed."""
    coverages = actual(0.6, 12)
    coverages[:2, -1] = 1.0
    assert fit_scale_family(coverages).anchor_usable
    coverages[2, -1] = 1.0
    assert not fit_scale_family(coverages).anchor_usable


def test_contract_keys_and_round_trip():
    values = fit_scale_family(actual(0.6, 8)).to_json()
    contract = ["c", "max_recorded_nominal", "max_recorded_actual", "fit_method", "n_points_fit"]
    assert list(values)[:5] == contract
    assert values["fit_method"] == "gaussian_scale_lsq"
    assert ScaleFamily.from_json(values).to_json() == values


@pytest.mark.parametrize(
    "change",
    [
        {"fit_method": "other"},
        {"c": "wide"},
        {"anchor_usable": 1},
        {"max_recorded_actual": 1.0},
        {"max_recorded_actual": 0.0},
        {"anchor_usable": False},
        {"max_recorded_nominal": 1.0},
    ],
)
def test_impossible_families_are_refused(change):
    values = fit_scale_family(actual(0.6, 8)).to_json()
    with pytest.raises(ArtifactError, match=r"fit_method|^c |anchor_usable|max_recorded"):
        ScaleFamily.from_json({**values, **change})

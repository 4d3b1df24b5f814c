"""A stream depends on its seed and purpose alone, and differs from every other."""

import numpy as np

from sbcflow.streams import Purpose, rng_for


def test_a_stream_is_reproducible_whatever_else_was_drawn() -> None:
    first = rng_for(5, Purpose.REVENUE).random(4)
    rng_for(5, Purpose.CONVERSION).random(1000)
    np.testing.assert_array_equal(first, rng_for(5, Purpose.REVENUE).random(4))


def test_every_seed_and_purpose_has_a_stream_of_its_own() -> None:
    starts = {rng_for(seed, purpose).integers(2**62) for seed in range(50) for purpose in Purpose}
    assert len(starts) == 50 * len(Purpose)


def test_streams_of_two_purposes_are_uncorrelated() -> None:
    """|r| over 1,000 pairs stays under 4.5 / sqrt(1000): one false alarm in 150,000 seeds."""
    one, two = (rng_for(1, p).standard_normal(1000) for p in (Purpose.CONVERSION, Purpose.REVENUE))
    assert abs(np.corrcoef(one, two)[0, 1]) < 4.5 / np.sqrt(1000)


def test_codes_of_purposes_never_change() -> None:
    names = (
        "KNOBS COVARIATES ASSIGNMENT CONVERSION REVENUE TEST_POINTS PARAMETERS CLUSTERS SHAPE ARMS REFERENCE "
        "CONVERSION_POSTERIOR SEVERITY_POSTERIOR"
    )
    assert {p.name: p.value for p in Purpose} == {name: i for i, name in enumerate(names.split())}

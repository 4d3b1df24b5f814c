"""A design holds every visitor exactly once, in a block of their arm, and padding counts for nothing."""

import dataclasses

import numpy as np
import pytest
from small_trials import basis_settings, mixed_covariates

from sbcflow.basis import make_basis
from sbcflow.design import Design, make_design

CASES = [(n, k, bucket) for n in (5, 128, 1000, 20_001) for k in (2, 4) for bucket in (False, True)]


def labelled(n: int, n_arms: int, bucket: bool) -> tuple[Design, np.ndarray]:
    """A design whose outcome is the visitor's number, and the arms."""
    covariates = mixed_covariates(n)
    arm = np.random.default_rng(n).integers(0, n_arms, n).astype(np.int32)
    basis = make_basis(mixed_covariates(500), basis_settings())
    numbers = np.arange(n, dtype=np.float64)
    return make_design(covariates.values, numbers, arm, n_arms=n_arms, basis=basis, bucket=bucket), arm


def check_layout(design: Design, arm: np.ndarray) -> None:
    blocks = design.blocks
    weight, number = np.asarray(blocks.weight), np.asarray(blocks.outcome).astype(int)
    seen = number[weight == 1]
    assert set(np.unique(weight)) <= {0.0, 1.0}
    np.testing.assert_array_equal(np.sort(seen), np.arange(len(arm)))
    block_arm = np.broadcast_to(np.asarray(blocks.arm)[:, None], weight.shape)
    np.testing.assert_array_equal(block_arm[weight == 1], arm[seen])
    np.testing.assert_array_equal(
        np.asarray(blocks.values)[weight == 1], mixed_covariates(len(arm)).values[seen]
    )


@pytest.mark.parametrize(("n", "n_arms", "bucket"), CASES)
def test_every_visitor_stands_once_in_a_block_of_their_arm(n: int, n_arms: int, bucket: bool) -> None:
    design, arm = labelled(n, n_arms, bucket)
    check_layout(design, arm)
    assert float(design.n) == n


def test_the_check_of_layouts_catches_a_wrong_arm_and_weighted_padding() -> None:
    design, arm = labelled(1000, 2, True)
    blocks = design.blocks
    for broken in (
        dataclasses.replace(blocks, arm=1 - blocks.arm),
        dataclasses.replace(blocks, weight=np.ones_like(blocks.weight)),
        dataclasses.replace(blocks, values=blocks.values[::-1]),
    ):
        with pytest.raises(AssertionError):
            check_layout(dataclasses.replace(design, blocks=broken), arm)


def test_an_arm_without_visitors_is_allowed() -> None:
    arm = np.zeros(300, dtype=np.int32)
    basis = make_basis(mixed_covariates(300), basis_settings())
    values = mixed_covariates(300).values
    design = make_design(values, np.arange(300.0), arm, n_arms=3, basis=basis, bucket=False)
    check_layout(design, arm)


def test_shapes_depend_on_the_numbers_of_visitors_and_arms_alone() -> None:
    n, basis = 1000, make_basis(mixed_covariates(500), basis_settings())
    shapes = set()
    for share in (0.01, 0.3, 0.5, 0.99):
        arm = (np.random.default_rng(1).random(n) < share).astype(np.int32)
        design = make_design(
            mixed_covariates(n).values, np.zeros(n), arm, n_arms=2, basis=basis, bucket=False
        )
        shapes.add(design.blocks.values.shape)
    assert len(shapes) == 1


def test_buckets_are_powers_of_two() -> None:
    counts = [labelled(n, 2, True)[0].blocks.arm.shape[0] for n in (100, 7000, 9000, 20_000)]
    assert counts == [64, 64, 128, 256]


def test_materialised_columns_are_those_of_the_blocks() -> None:
    design, _ = labelled(1000, 2, False)
    made = design.materialised()
    assert made.basis is None
    block = type(design.blocks)(*(leaf[1] for leaf in dataclasses.astuple(design.blocks)))
    np.testing.assert_allclose(made.blocks.values[1], design.columns(block), atol=1e-4)

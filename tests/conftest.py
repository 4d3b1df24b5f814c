"""JAX as fits run it, set before any test imports it; subprocesses of tests get the plain environment."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sbcflow.runtime import configure, numerics


def _start_numeric_libraries() -> None:
    """Start numpy, scipy and JAX under the flags of a fit, then put the environment back."""
    before = dict(os.environ)
    configure()
    import jax
    import scipy.linalg  # noqa: F401

    jax.devices()
    os.environ.clear()
    os.environ.update(before)


_start_numeric_libraries()


@pytest.fixture
def fit_numerics() -> Iterator[None]:
    """The number formats in which fits run: float64 where asked for, full float32 products."""
    with numerics():
        yield

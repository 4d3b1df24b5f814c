"""Names of experiments and their references; which names are refused is in repo/test_exp_bad_input.py."""

from __future__ import annotations

import pygit2
import pytest

from sbcflow.experiment.git.names import (
    ADJECTIVES,
    NOUNS,
    ExperimentRef,
    check_name,
    generate_name,
    parse_ref,
)

SHA = "0123456789abcdef0123456789abcdef01234567"


def test_a_reference_is_made_and_parsed() -> None:
    ref = ExperimentRef(SHA, "calm-otter")
    assert str(ref) == f"refs/exps/01/{SHA[2:]}/calm-otter"
    assert parse_ref(str(ref)) == ref


@pytest.mark.parametrize(
    "reference",
    [
        "refs/heads/main",
        "refs/exps/stash/failed",
        "refs/exps/exec/EXEC_HEAD",
        f"refs/exps/{SHA}/name",
        f"refs/exps/01/{SHA[2:]}",
        f"refs/exps/01/{SHA[2:]}/",
        f"refs/exps/01/{SHA[2:]}/a/b",
        f"refs/exps/0g/{SHA[2:]}/name",
    ],
)
def test_other_references_are_left_alone(reference: str) -> None:
    assert parse_ref(reference) is None


def test_generated_names_are_many_and_allowed() -> None:
    assert len(set(ADJECTIVES.split())) == len(set(NOUNS.split())) == 60
    names = {generate_name() for _ in range(1000)}
    # 236 million names: 1,000 drawn hold a pair that is equal with probability 0.002.
    assert len(names) >= 999
    for name in names:
        assert check_name(name) == name
        assert pygit2.reference_is_valid_name(str(ExperimentRef(SHA, name)))


@pytest.mark.parametrize("name", ["a", "lr-0.5", "Größe", "a@b", "v1.2_3", "x" * 200])
def test_ordinary_names_are_allowed(name: str) -> None:
    assert check_name(name) == name

"""How a fit ran: where, when, on what, and what was compiled since it began, whatever came before."""

from __future__ import annotations

import json
from collections.abc import Callable

import jax
import pytest

from sbcflow.compilation import Compilations
from sbcflow.sweep import execution
from sbcflow.sweep.execution import Execution


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Callable[[Compilations], None]:
    """Let the process's meter stand where it is told to."""
    stands = {"at": Compilations()}

    class FakeMeter:
        def read(self) -> Compilations:
            return stands["at"]

    monkeypatch.setattr(execution, "_meter", FakeMeter)
    return lambda at: stands.update(at=at)


def test_a_fit_is_charged_with_what_was_compiled_since_it_began(
    compiled: Callable[[Compilations], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(execution.time, "time", lambda: 1012.5)
    monkeypatch.setattr(execution.socket, "gethostname", lambda: "node-7")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    compiled(Compilations(hits=5, misses=2, seconds=10.0))
    begun = Execution(started=1000.0)
    compiled(Compilations(hits=8, misses=3, seconds=14.5))
    assert begun.record() == {
        "host": "node-7",
        "platform": jax.default_backend(),
        "visible_gpus": "1",
        "slurm_job": "4711",
        "started": 1000.0,
        "ended": 1012.5,
        "cache_hits": 3,
        "cache_misses": 1,
        "compile_seconds": 4.5,
    }


@pytest.mark.usefixtures("compiled")
def test_a_fit_outside_slurm_without_gpus_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    record = Execution().record()
    assert (record["visible_gpus"], record["slurm_job"]) == (None, None)
    assert (record["cache_hits"], record["cache_misses"], record["compile_seconds"]) == (0, 0, 0.0)
    assert record["started"] <= record["ended"]
    assert json.loads(json.dumps(record)) == record


def test_the_meter_of_a_process_counts_what_jax_compiles() -> None:
    """A real one: a function that no test has compiled counts, and counts once."""
    begun = Execution()
    jax.block_until_ready(jax.jit(lambda x: x * 3.25 + 17.0)(2.0))
    once = begun.record()
    assert once["cache_hits"] + once["cache_misses"] >= 1
    assert once["compile_seconds"] > 0
    again = Execution().record()
    assert (again["cache_hits"], again["cache_misses"], again["compile_seconds"]) == (0, 0, 0.0)

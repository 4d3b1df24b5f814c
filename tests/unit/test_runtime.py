"""Flags are set before JAX starts, those that the user gave stay, and the cache knows its machine."""

import subprocess
import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from sbcflow import runtime


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, str]:
    """An environment without any of the variables, put back afterwards; views are made in ``tmp_path``."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    values: dict[str, str] = {runtime.CACHE_VARIABLE: str(tmp_path)}
    monkeypatch.setattr(runtime.os, "environ", values)
    return values


def test_a_fit_runs_on_one_thread(environment: dict[str, str]) -> None:
    runtime.configure()
    assert environment["XLA_FLAGS"].split() == list(runtime.ONE_THREAD_FLAGS)
    assert {environment[v] for v in runtime.ONE_THREAD_VARIABLES} == {"1"}


def test_flags_and_cache_of_the_user_stay(environment: dict[str, str]) -> None:
    environment |= {"XLA_FLAGS": "--xla_dump_to=x", "JAX_COMPILATION_CACHE_DIR": "/mine"}
    assert runtime.configure() is None
    assert environment["XLA_FLAGS"].split() == ["--xla_dump_to=x", *runtime.ONE_THREAD_FLAGS]
    assert environment["JAX_COMPILATION_CACHE_DIR"] == "/mine"


def test_jax_is_given_a_view_of_the_shared_programs(environment: dict[str, str]) -> None:
    programs = runtime.configure()
    assert programs is not None
    assert programs.shared == runtime.compilation_cache()
    assert environment["JAX_COMPILATION_CACHE_DIR"] == str(programs.view)
    # Every program is kept, however small or quick, and none under a name that holds the view's.
    assert environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] == "0"
    assert environment["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] == "-1"
    assert environment["JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES"] == "none"
    programs.close()


def test_settings_of_the_cache_that_the_user_gave_stay(environment: dict[str, str]) -> None:
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "2"
    runtime.configure()
    assert environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] == "2"


def test_configuring_twice_adds_nothing(environment: dict[str, str]) -> None:
    runtime.configure()
    once = dict(environment)
    runtime.configure()
    assert environment == once


@pytest.mark.usefixtures("environment")
def test_the_cache_is_apart_for_each_machine_type(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    here = runtime.compilation_cache()
    monkeypatch.setattr(runtime, "_processor", lambda: "model name: another")
    assert here.parent == runtime.compilation_cache().parent == tmp_path
    assert here != runtime.compilation_cache()


def test_the_cache_lies_in_the_users_cache_folder(environment, tmp_path: Path) -> None:
    del environment[runtime.CACHE_VARIABLE]
    environment["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    assert runtime.compilation_cache().parent == tmp_path / "cache" / "sbcflow" / "jax"


def test_numerics_allow_float64_inside_and_only_there() -> None:
    with runtime.numerics():
        assert jnp.zeros(1).dtype == jnp.float64
        assert jax.config.jax_default_matmul_precision == "highest"
    assert jnp.zeros(1).dtype == jnp.float32


def test_configure_imports_neither_numpy_nor_jax() -> None:
    code = "import sys; from sbcflow.runtime import configure; configure(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"numpy", "jax", "scipy"} & set(done.stdout.split())

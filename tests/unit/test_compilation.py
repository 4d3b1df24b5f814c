"""Compiled programs are shared whole, compiled once, and never the reason why a fit fails."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sbcflow import compilation
from sbcflow.compilation import Compilations, ProgramCache

PATIENCE = 60
PROGRAM = zlib.compress(os.urandom(50_000))

# Three small programs, compiled when stdin says so.
COMPILING = """
    import json, sys
    from sbcflow.runtime import configure
    programs = configure()
    from sbcflow.compilation import Meter
    import jax, numpy
    meter = Meter()
    tell = lambda **what: print(json.dumps(what), flush=True)
    tell(view=str(programs.view), devices=len(jax.devices()))
    sys.stdin.readline()
    x = numpy.arange(4, dtype=numpy.float32)
    with programs.first("tiny"):
        results = [f(x).tolist() for f in (
            jax.jit(lambda x: x * 2), jax.jit(lambda x: x + 3), jax.jit(lambda x: x @ x))]
    now = meter.read()
    tell(results=results, hits=now.hits, misses=now.misses, seconds=now.seconds)
"""
RESULTS = [[0.0, 2.0, 4.0, 6.0], [3.0, 4.0, 5.0, 6.0], 14.0]

HOLDING = """
    import json, sys, time
    from pathlib import Path
    from sbcflow.compilation import ProgramCache
    tell = lambda **what: print(json.dumps(what), flush=True)
    programs = ProgramCache(Path(sys.argv[1]))
    tell(view=str(programs.view))
    with programs.first("fits"):
        tell(inside=time.monotonic())
        sys.stdin.readline()
"""
SHARING = """
    import os, sys, time
    from pathlib import Path
    from sbcflow import compilation, files
    programs = compilation.ProgramCache(Path(sys.argv[1]))
    (programs.view / "one-cache").write_bytes(Path(sys.argv[2]).read_bytes())

    def slow_disk(descriptor):
        print("{}", flush=True)
        time.sleep(600)

    files.os.fsync = slow_disk
    programs.publish()
"""
READING = """
    import sys, zlib
    from pathlib import Path
    shared, whole = Path(sys.argv[1]), 0
    print("{}", flush=True)
    while not (shared / "over").exists() or not whole:
        for path in shared.glob("*-cache"):
            try:
                zlib.decompress(path.read_bytes())
                whole += 1
            except zlib.error:
                (shared / "short").touch()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of temporary files of the test's own: views of other processes are not its business."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    for name in [name for name in os.environ if name.startswith(("JAX_", "XLA_"))]:
        monkeypatch.delenv(name)
    return folder


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    return tmp_path / "shared"


@pytest.fixture
def cache(shared: Path) -> Iterator[Callable[[], ProgramCache]]:
    """Make caches of the shared folder, each as a process would."""
    with ExitStack() as stack:

        def make() -> ProgramCache:
            made = ProgramCache(shared)
            stack.callback(made.close)
            return made

        yield make


@contextmanager
def _process(code: str, *args: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, args)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as process:  # type: ignore[call-overload]
        # One that says nothing must not be listened to for ever.
        patience = threading.Timer(PATIENCE, process.kill)
        patience.start()
        try:
            yield process
        finally:
            patience.cancel()
            process.kill()


def _hear(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the next thing that a process says."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        pytest.fail(process.communicate()[1])
    told: dict[str, Any] = json.loads(line)
    return told


def _let_go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*-cache"))


def _compile(programs: ProgramCache, name: str = "jit_f-1a2b-cache", program: bytes = PROGRAM) -> Path:
    """Put into a view what JAX would write there."""
    path = programs.view / name
    path.write_bytes(program)
    return path


# Real programs of JAX


@contextmanager
def _compiling(base: Path, number: int) -> Iterator[list[dict[str, Any]]]:
    """Let ``number`` processes compile at once; give what each says."""
    with ExitStack() as stack:
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("SBCFLOW_COMPILATION_CACHE", str(base))
        processes = [stack.enter_context(_process(COMPILING)) for _ in range(number)]
        begun = [_hear(process) for process in processes]
        for process in processes:
            _let_go(process)
        told = [one | _hear(process) for one, process in zip(begun, processes, strict=True)]
        for process in processes:
            assert process.wait(PATIENCE) == 0
        yield told


def test_of_many_on_an_empty_cache_one_compiles_and_the_others_wait(tmp_path: Path, temporary: Path) -> None:
    with _compiling(tmp_path / "base", 3) as told:
        assert [one["results"] for one in told] == [RESULTS] * 3
        assert len({one["view"] for one in told}) == 3
        first, *others = sorted(told, key=lambda one: one["hits"])
        assert (first["hits"], first["misses"]) == (0, 3)
        assert [(one["hits"], one["misses"]) for one in others] == [(3, 0)] * 2
        assert all(one["seconds"] > 0 for one in told)
    (machine,) = (tmp_path / "base").iterdir()
    assert len(_entries(machine)) == 3
    assert _names(temporary) == []


def test_a_damaged_program_is_compiled_again(tmp_path: Path) -> None:
    """A bit that turned, a write that was cut off, an empty file: slower, never wrong."""
    with _compiling(tmp_path / "base", 1) as (first,):
        assert (first["hits"], first["misses"]) == (0, 3)
    (machine,) = (tmp_path / "base").iterdir()
    turned, cut, empty = _entries(machine)
    content = bytearray(turned.read_bytes())
    content[len(content) // 2] ^= 1
    turned.write_bytes(content)
    os.truncate(cut, cut.stat().st_size // 2)
    os.truncate(empty, 0)
    with _compiling(tmp_path / "base", 1) as (again,):
        assert again["results"] == RESULTS
        assert (again["hits"], again["misses"]) == (0, 3)


# The shared folder


def test_what_one_has_compiled_others_link_to(cache: Callable[[], ProgramCache], shared: Path) -> None:
    one, before = cache(), cache()
    mine = _compile(one)
    one.publish()
    after = cache()
    theirs = after.view / mine.name
    assert one.view != after.view
    assert _names(shared) == [mine.name]
    assert mine.readlink() == theirs.readlink() == shared / mine.name
    assert theirs.read_bytes() == PROGRAM
    assert _entries(before.view) == []
    before.refresh()
    assert _entries(before.view) == [before.view / mine.name]


def test_a_program_that_is_there_stays(cache: Callable[[], ProgramCache], shared: Path) -> None:
    one, two = cache(), cache()
    mine, theirs = _compile(one), _compile(two, program=zlib.compress(b"another"))
    one.publish()
    before = (shared / mine.name).stat()
    two.publish()
    assert (shared / mine.name).stat() == before
    assert theirs.read_bytes() == PROGRAM


def test_nothing_is_published_twice(
    cache: Callable[[], ProgramCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = cache()
    _compile(one)
    one.publish()
    monkeypatch.setattr(compilation, "write_bytes", lambda *_: pytest.fail("written again"))
    one.publish()
    one.refresh()
    one.publish()


@pytest.mark.parametrize("length", [0, 1, len(PROGRAM) // 2, len(PROGRAM) - 1])
def test_a_program_whose_writing_was_cut_off_is_not_shared(
    cache: Callable[[], ProgramCache], shared: Path, length: int
) -> None:
    """JAX writes in place: a full disk leaves half a program behind, and so does a signal, until exit."""
    one = cache()
    half = _compile(one, "half-cache", PROGRAM[:length])
    _compile(one, "whole-cache")
    one.publish()
    assert _names(shared) == ["whole-cache"]
    assert not half.is_symlink()
    one.close()
    assert _names(shared) == ["whole-cache"]


def test_what_is_left_is_published_at_the_end(cache: Callable[[], ProgramCache], shared: Path) -> None:
    one = cache()
    _compile(one)
    one.close()
    assert _names(shared) == ["jit_f-1a2b-cache"]
    assert not one.view.exists()
    one.close()


@pytest.mark.parametrize("in_place", [False, True])
def test_no_reader_sees_half_a_program(
    cache: Callable[[], ProgramCache], shared: Path, monkeypatch: pytest.MonkeyPatch, in_place: bool
) -> None:
    """A reader in another process, all the while; one that writes in place, it finds out."""

    def write_in_place(path: Path, content: bytes) -> None:
        with path.open("wb", buffering=0) as stream:
            stream.write(content[:1000])
            _until((shared / "short").exists)
            stream.write(content[1000:])

    shared.mkdir()
    if in_place:
        monkeypatch.setattr(compilation, "write_bytes", write_in_place)
    one = cache()
    with _process(READING, shared) as reader:
        _hear(reader)
        for number in range(1 if in_place else 200):
            _compile(one, f"jit_{number}-cache")
            one.publish()
        (shared / "over").touch()
        assert reader.wait(PATIENCE) == 0
    assert (shared / "short").exists() == in_place


def test_a_writer_that_was_killed_leaves_no_program_under_its_name(
    cache: Callable[[], ProgramCache], shared: Path, tmp_path: Path
) -> None:
    (tmp_path / "program").write_bytes(PROGRAM)
    with _process(SHARING, shared, tmp_path / "program") as writer:
        _hear(writer)
        writer.kill()
        writer.wait()
    (left,) = shared.iterdir()
    assert left.name.startswith(".one-cache.")
    next_ = cache()
    assert _names(next_.view) == []
    _compile(next_, "one-cache")
    next_.publish()
    assert (shared / "one-cache").read_bytes() == PROGRAM


# The view


def test_views_of_killed_processes_are_removed_and_those_of_living_stay(
    cache: Callable[[], ProgramCache], shared: Path, temporary: Path
) -> None:
    with _process(HOLDING, shared) as killed, _process(HOLDING, shared) as living:
        lost, kept = (Path(_hear(process)["view"]) for process in (killed, living))
        (lost / "jit_f-cache").write_bytes(PROGRAM)
        killed.kill()
        killed.wait()
        assert lost.is_dir()
        mine = cache().view
        assert sorted(temporary.iterdir()) == sorted([mine, kept])
        assert cache().view.is_dir()
        assert mine.is_dir()


def test_a_process_that_ends_takes_its_view_along(shared: Path, temporary: Path) -> None:
    with _process(HOLDING, shared) as process:
        view = Path(_hear(process)["view"])
        _hear(process)
        (view / "jit_f-cache").write_bytes(PROGRAM)
        _let_go(process)
        assert process.wait(PATIENCE) == 0
    assert _names(temporary) == []
    assert "jit_f-cache" in _names(shared)


# One compiles while others wait


def _lock_of(shared: Path) -> int:
    """Take the lock that ``first`` takes, as another process would."""
    shared.mkdir(exist_ok=True)
    descriptor = os.open(shared / "fits.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def test_one_that_dies_lets_the_next_go_on(shared: Path) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(_process(HOLDING, shared))
        _hear(first)
        _hear(first)
        next_ = stack.enter_context(_process(HOLDING, shared))
        _hear(next_)
        time.sleep(3 * compilation.POLL_SECONDS)
        killed = time.monotonic()
        first.kill()
        assert _hear(next_)["inside"] > killed
        assert not (shared / "fits.warm").exists()
        _let_go(next_)
        assert next_.wait(PATIENCE) == 0
    assert (shared / "fits.warm").exists()


def test_those_that_wait_go_on_together_once_programs_are_there(shared: Path) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(_process(HOLDING, shared))
        view = Path(_hear(first)["view"])
        _hear(first)
        waiting = [stack.enter_context(_process(HOLDING, shared)) for _ in range(2)]
        views = [Path(_hear(process)["view"]) for process in waiting]
        (view / "jit_f-cache").write_bytes(PROGRAM)
        compiled = time.monotonic()
        _let_go(first)
        # Neither is let go before both are inside.
        assert all(_hear(process)["inside"] > compiled for process in waiting)
        assert all((other / "jit_f-cache").read_bytes() == PROGRAM for other in views)


def test_who_comes_later_waits_for_nobody(cache: Callable[[], ProgramCache], shared: Path) -> None:
    one = cache()
    with one.first("fits"):
        _compile(one)
    assert _names(shared) == ["fits.lock", "fits.warm", "jit_f-1a2b-cache"]
    held = _lock_of(shared)
    late = cache()
    with late.first("fits"):
        assert _entries(late.view) == [late.view / "jit_f-1a2b-cache"]
    os.close(held)


def test_other_programs_are_waited_for_apart(cache: Callable[[], ProgramCache], shared: Path) -> None:
    held = _lock_of(shared)
    with cache().first("others"):
        pass
    os.close(held)
    assert (shared / "others.warm").exists()
    assert not (shared / "fits.warm").exists()


def test_a_block_that_fails_warms_nothing_and_lets_the_next_go_on(
    cache: Callable[[], ProgramCache], shared: Path
) -> None:
    one = cache()
    with pytest.raises(ZeroDivisionError), one.first("fits"):
        raise ZeroDivisionError
    assert _names(shared) == ["fits.lock"]
    with cache().first("fits"):
        pass
    assert (shared / "fits.warm").exists()


def test_no_wait_is_longer_than_the_longest(
    cache: Callable[[], ProgramCache], shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compilation, "LONGEST_WAIT_SECONDS", 0.05)
    held = _lock_of(shared)
    giving_back = threading.Timer(PATIENCE / 4, os.close, [held])
    giving_back.start()
    began = time.monotonic()
    with cache().first("fits"):
        assert time.monotonic() - began >= 0.05
        assert giving_back.is_alive()
    giving_back.cancel()
    os.close(held)


def test_a_wait_ends_when_programs_are_there_whoever_holds_the_lock(
    cache: Callable[[], ProgramCache], shared: Path
) -> None:
    """A lock that a broken file system never gives back stops nobody."""
    held = _lock_of(shared)
    warming = threading.Timer(0.2, (shared / "fits.warm").touch)
    warming.start()
    with cache().first("fits"):
        assert (shared / "fits.warm").exists()
    warming.join()
    os.close(held)


# What does not work costs time and no result


@pytest.mark.parametrize("kind", ["below a file", "a file", "a name too long"])
def test_a_folder_that_cannot_be_is_no_error(tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").touch()
    folder = {"below a file": "file/x", "a file": "file", "a name too long": "x" * 300}[kind]
    programs = ProgramCache(tmp_path / folder)
    with programs.first("fits"):
        mine = _compile(programs)
    programs.refresh()
    assert mine.read_bytes() == PROGRAM
    assert not mine.is_symlink()
    programs.close()
    assert not programs.view.exists()


def test_a_shared_folder_that_is_full_is_no_error(
    cache: Callable[[], ProgramCache], shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    one = cache()
    with monkeypatch.context() as patch:
        patch.setattr(compilation, "write_bytes", full)
        with one.first("fits"):
            mine = _compile(one)
        assert mine.read_bytes() == PROGRAM
    assert _entries(shared) == []
    one.publish()
    assert _entries(shared) == [shared / mine.name]


@pytest.mark.parametrize("code", [errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS, errno.EBADF])
def test_without_locks_nobody_waits_and_no_view_is_removed(
    cache: Callable[[], ProgramCache], shared: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(compilation.fcntl, "flock", refuse)
    one, two = cache(), cache()
    with one.first("fits"), two.first("fits"):
        _compile(one)
    assert one.view.is_dir()
    assert two.view.is_dir()
    assert "fits.warm" in _names(shared)


def test_counts_since_are_differences() -> None:
    later, sooner = Compilations(7, 5, 4.0), Compilations(3, 5, 1.5)
    assert later.since(sooner) == Compilations(4, 0, 2.5)
    assert later.since(Compilations()) == later

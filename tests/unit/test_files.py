"""Whole-or-nothing writes, deterministic npz, and reads that name what is wrong."""

import errno
import hashlib
import os
import stat
import threading

import numpy as np
import pytest
from killed_process import SAY, process

from sbcflow import files, locks
from sbcflow.errors import ArtifactError


def _raise(*_args, **_kwargs):
    raise OSError("disk on fire")


def _raise_after(write, content, error):
    write(content)
    raise error


def test_writes_and_reads_back(tmp_path):
    path = tmp_path / "deep" / "er" / "a.json"
    files.write_json(path, {"b": [1, 2.5], "a": {"é": None}})
    assert path.read_text(encoding="utf-8") == (
        '{\n  "a": {\n    "é": null\n  },\n  "b": [\n    1,\n    2.5\n  ]\n}\n'
    )
    assert files.read_json(path) == {"a": {"é": None}, "b": [1, 2.5]}


def test_the_bytes_of_json_are_those_that_are_written(tmp_path):
    value = {"b": [1, 1e-05], "a": "é"}
    files.write_json(tmp_path / "a.json", value)
    assert (tmp_path / "a.json").read_bytes() == files.json_bytes(value)
    assert files.json_bytes(files.read_json(tmp_path / "a.json")) == files.json_bytes(value)
    with pytest.raises(ArtifactError, match="has no form in JSON"):
        files.json_bytes(float("inf"))


def test_text_keeps_its_line_ends(tmp_path):
    files.write_text(tmp_path / "a.csv", "x\r\ny\n")
    assert (tmp_path / "a.csv").read_bytes() == b"x\r\ny\n"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": object()}, {"a": {1, 2}}, "\ud800"])
def test_what_json_has_no_form_for_is_refused_and_nothing_written(tmp_path, value):
    with pytest.raises(ArtifactError, match=r"a\.json: not written"):
        files.write_json(tmp_path / "a.json", value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("writer", ["bytes", "json", "npz"])
def test_an_interrupted_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, writer):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    write = {
        "bytes": lambda: files.write_bytes(path, b"new"),
        "json": lambda: files.write_json(path, {}),
        "npz": lambda: files.write_npz(path, x=np.arange(3)),
    }[writer]
    monkeypatch.setattr(files.os, "replace", _raise)
    with pytest.raises(OSError, match="disk on fire"):
        write()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_failing_block_leaves_the_old_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), files.replacing(path) as stream:
        _raise_after(stream.write, b"half", KeyboardInterrupt)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_the_temporary_is_hidden_and_beside_its_target(tmp_path):
    with files.replacing(tmp_path / "a") as stream:
        stream.write(b"x")
        (name,) = [p.name for p in tmp_path.iterdir()]
    assert name.startswith(".a.")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o007, 0o660)])
def test_modes_follow_the_umask(tmp_path, umask, mode):
    former = os.umask(umask)
    try:
        files.write_bytes(tmp_path / "a", b"x")
        with files.replacing_folder(tmp_path / "d"):
            pass
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o777 & ~umask


def test_a_link_is_replaced_and_never_written_through(tmp_path):
    cached = tmp_path / "cache"
    cached.write_bytes(b"cached")
    (tmp_path / "soft").symlink_to(cached)
    os.link(cached, tmp_path / "hard")
    for name in ("soft", "hard"):
        files.write_bytes(tmp_path / name, b"new")
    assert cached.read_bytes() == b"cached"
    assert (tmp_path / "soft").read_bytes() == (tmp_path / "hard").read_bytes() == b"new"


def test_a_folder_is_replaced_whole(tmp_path):
    target = tmp_path / "d"
    target.mkdir()
    (target / "old").touch()
    with files.replacing_folder(target) as fresh:
        (fresh / "new").touch()
        assert (target / "old").exists()
    assert [p.name for p in target.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_a_failing_block_leaves_the_old_folder(tmp_path):
    target = tmp_path / "d"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(OSError, match="disk on fire"), files.replacing_folder(target) as fresh:
        _raise_after((fresh / "new").write_bytes, b"half", OSError("disk on fire"))
    assert [p.name for p in target.iterdir()] == ["old"]
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_a_failing_swap_puts_the_old_folder_back(tmp_path, monkeypatch):
    target = tmp_path / "d"
    target.mkdir()
    (target / "old").touch()
    rename = type(target).rename

    def fail_on_fresh(self, to):
        return _raise() if to == target and (self / "new").exists() else rename(self, to)

    monkeypatch.setattr(type(target), "rename", fail_on_fresh)
    with pytest.raises(OSError, match="disk on fire"), files.replacing_folder(target) as fresh:
        (fresh / "new").touch()
    assert [p.name for p in target.iterdir()] == ["old"]
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


# Other processes, which say on stdout when they have come to the point that a test is about.

WRITING = f"""
    with files.replacing('a') as stream:
        stream.write(b'half'); stream.flush(); {SAY}
"""
FILLING = f"""
    with files.replacing_folder('d') as fresh:
        (fresh / 'sub').mkdir(); (fresh / 'sub' / 'new').write_bytes(b'half'); {SAY}
"""
# Between the two renames that exchange the folders.
SWAPPING = f"""
    def stop(path, to):
        os.rename(path, to); {SAY}
    pathlib.Path.rename = stop
    with files.replacing_folder('d') as fresh:
        (fresh / 'new').touch()
"""


def names_in(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def old(tmp_path):
    """A folder with the file ``a`` and the folder ``d`` as writers find them."""
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "old").touch()
    return tmp_path


@pytest.mark.parametrize("code", [WRITING, FILLING], ids=["file", "folder"])
def test_what_a_killed_writer_left_is_removed_and_a_living_one_s_is_kept(old, code):
    before = names_in(old)
    with process(old, code):
        assert files.remove_leftovers(old) == []
        (left,) = set(names_in(old)) - set(before)
        assert files.LEFTOVER.fullmatch(left)
    assert left in names_in(old)
    assert files.remove_leftovers(old.parent) == [old / left]
    assert names_in(old) == before
    assert (old / "a").read_bytes() == b"old"
    assert names_in(old / "d") == ["old"]


def test_both_folders_of_an_exchange_are_held(old):
    with process(old, SWAPPING):
        left = [old / name for name in names_in(old) if name != "a"]
        assert len(left) == 2
        assert files.remove_leftovers(old) == []
    assert files.remove_leftovers(old) == left
    assert names_in(old) == ["a"]


def test_writers_in_this_process_keep_theirs_too(old):
    with files.replacing(old / "a") as stream, files.replacing_folder(old / "d") as fresh:
        stream.write(b"new")
        (fresh / "new").touch()
        assert files.remove_leftovers(old) == []
    assert (old / "a").read_bytes() == b"new"
    assert names_in(old / "d") == ["new"]
    assert names_in(old) == ["a", "d"]


def test_leftovers_are_found_by_name_anywhere_and_all_else_is_kept(tmp_path):
    inner = tmp_path / "configs" / "0001-0000000b"
    token = "0123456789ab"
    left = [inner / f".draws.npz.{token}.tmp", tmp_path / f".dvclive.{token}.tmp"]
    kept = [
        *(f".a.{token[:-1]}.tmp", f".a.{token.upper()}.tmp", f"a.{token}.tmp", f".{token}.tmp"),
        *(f".a.{token}.tmp2", ".snakemake_timestamp", "a.tmp", ".tmp"),
    ]
    (tmp_path / f".dvclive.{token}.tmp" / "plots").mkdir(parents=True)
    inner.mkdir(parents=True)
    left[0].write_bytes(b"half")
    for name in kept:
        (inner / name).touch()
    assert sorted(files.remove_leftovers(tmp_path)) == sorted(left)
    assert names_in(inner) == sorted(kept)
    assert names_in(tmp_path) == ["configs"]
    assert files.remove_leftovers(tmp_path / "nowhere") == []


def test_links_are_no_leftovers_and_nothing_behind_them_is_touched(old, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / ".b.0123456789ab.tmp").touch()
    (old / "linked").symlink_to(outside)
    for target in (outside, outside / ".b.0123456789ab.tmp", outside / "nothing"):
        (old / ".l.0123456789ab.tmp").unlink(missing_ok=True)
        (old / ".l.0123456789ab.tmp").symlink_to(target)
        assert files.remove_leftovers(old) == []
    assert names_in(outside) == [".b.0123456789ab.tmp"]


def test_names_that_writers_make_are_those_that_are_looked_for(tmp_path):
    for name in ("a", "draws.npz", ".hidden", "two\nlines", "é"):
        assert files.LEFTOVER.fullmatch(files.temporary_sibling(tmp_path / name).name)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_remover_between_making_and_locking_takes_nothing_from_a_writer(old, monkeypatch, kind):
    """What has just been made and is not locked yet goes; its writer sees that, and makes another."""
    flock, removed = files.fcntl.flock, []

    def flock_late(descriptor, operation):
        if not removed:
            monkeypatch.setattr(files.fcntl, "flock", flock)
            removed.extend(files.remove_leftovers(old))
        return flock(descriptor, operation)

    monkeypatch.setattr(files.fcntl, "flock", flock_late)
    if kind == "file":
        files.write_bytes(old / "a", b"new")
    else:
        with files.replacing_folder(old / "d") as fresh:
            (fresh / "new").touch()
    assert len(removed) == 1
    assert names_in(old) == ["a", "d"]
    assert (old / "a").read_bytes() == (b"new" if kind == "file" else b"old")
    assert names_in(old / "d") == (["old"] if kind == "file" else ["new"])


def test_a_remover_beside_writers_takes_nothing_from_them(tmp_path):
    """Four writers of 50 files and 50 folders each, and one that removes leftovers all the while."""
    done, failed = threading.Event(), []

    def write(number):
        try:
            for i in range(50):
                files.write_bytes(tmp_path / f"a{number}", b"%d" % i)
                with files.replacing_folder(tmp_path / f"d{number}") as fresh:
                    files.write_bytes(fresh / "x", b"%d" % i)
        except OSError as error:
            failed.append(error)

    def remove():
        while not done.is_set():
            files.remove_leftovers(tmp_path)

    remover = threading.Thread(target=remove)
    writers = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in (remover, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    remover.join()
    assert failed == []
    assert {(tmp_path / f"a{n}").read_bytes() for n in range(4)} == {b"49"}
    assert {(tmp_path / f"d{n}" / "x").read_bytes() for n in range(4)} == {b"49"}


@pytest.mark.parametrize("code", [errno.ENOTSUP, errno.ENOLCK, errno.EINVAL, errno.ENOSYS, errno.EBADF])
def test_without_locks_writers_go_on_and_nothing_is_removed(old, monkeypatch, code):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    (old / ".left.0123456789ab.tmp").touch()
    files.write_bytes(old / "a", b"new")
    with files.replacing_folder(old / "d") as fresh:
        (fresh / "new").touch()
    with locks.locked(old / "lock") as held, locks.locked(old / "lock", timeout=0) as held_again:
        assert (held, held_again) == (False, False)
    assert files.remove_leftovers(old) == []
    assert names_in(old) == [".left.0123456789ab.tmp", "a", "d", "lock"]
    assert (old / "a").read_bytes() == b"new"
    assert names_in(old / "d") == ["new"]


def test_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc" * 100_000)
    assert files.sha256_of(tmp_path / "a") == hashlib.sha256(b"abc" * 100_000).hexdigest()
    with pytest.raises(ArtifactError, match="nowhere: no such file"):
        files.sha256_of(tmp_path / "nowhere")


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": NaN}', b"\xff\xfe", b'{"a": 1} x', b"[" * 100_000])
def test_read_json_names_the_file(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ArtifactError, match=r"a\.json: not JSON") as caught:
        files.read_json(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


def test_read_json_of_no_file(tmp_path):
    with pytest.raises(ArtifactError, match=r"a\.json: no such file"):
        files.read_json(tmp_path / "a.json")


def _arrays():
    rng = np.random.default_rng(0)
    return {
        "draws": rng.normal(size=(50, 40)).astype(np.float32),
        "truth": np.asfortranarray(rng.normal(size=(5, 4))),
        "names": np.array(["x", "yy"]),
        "scalar": np.float64(3.5),
        "empty": np.zeros((0, 3)),
    }


def test_npz_round_trip(tmp_path):
    arrays = _arrays()
    files.write_npz(tmp_path / "a.npz", **arrays)
    back = files.read_npz(tmp_path / "a.npz")
    assert sorted(back) == sorted(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(back[name], array)
        assert back[name].dtype == np.asarray(array).dtype
        assert back[name].shape == np.shape(array)


def test_npz_bytes_follow_from_the_arrays_alone(tmp_path, monkeypatch):
    arrays = _arrays()
    files.write_npz(tmp_path / "a.npz", **arrays)
    monkeypatch.setattr("time.time", lambda: 2e9)
    reordered = {name: np.ascontiguousarray(arrays[name]) for name in reversed(arrays)}
    reordered["scalar"] = arrays["scalar"]
    files.write_npz(tmp_path / "b.npz", **reordered)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_npz_takes_no_objects(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        files.write_npz(tmp_path / "a.npz", x=np.array([{}], dtype=object))
    assert list(tmp_path.iterdir()) == []


def test_a_pickle_is_not_read(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.array([{}], dtype=object))
    with pytest.raises(ArtifactError, match=r"a\.npz: not a sound npz"):
        files.read_npz(tmp_path / "a.npz")


def test_a_truncated_npz_is_named(tmp_path):
    files.write_npz(tmp_path / "a.npz", **_arrays())
    whole = (tmp_path / "a.npz").read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "a.npz").write_bytes(whole[:length])
        with pytest.raises(ArtifactError, match=r"a\.npz: not a sound npz"):
            files.read_npz(tmp_path / "a.npz")


def test_a_flipped_bit_is_found_or_harmless(tmp_path):
    """Wherever a bit flips, the arrays come back equal or an error is raised; in the data it is found."""
    path = tmp_path / "a.npz"
    arrays = {"x": np.arange(64, dtype=np.float32), "y": np.arange(8)}
    files.write_npz(path, **arrays)
    whole = path.read_bytes()
    start = whole.index(arrays["x"].tobytes())
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        try:
            back = files.read_npz(path)
        except ArtifactError:
            continue
        assert not start <= place < start + arrays["x"].nbytes
        for name in back.keys() & arrays.keys():
            np.testing.assert_array_equal(back[name], arrays[name])


def test_no_npz(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(3))
    with pytest.raises(ArtifactError, match=r"a\.npy: not a sound npz"):
        files.read_npz(tmp_path / "a.npy")
    with pytest.raises(ArtifactError, match=r"b\.npz: no such file"):
        files.read_npz(tmp_path / "b.npz")


def test_a_full_disk_names_the_file_and_other_errors_are_left_alone(tmp_path):
    errors = {OSError(errno.ENOSPC, "full"): str(tmp_path / "a"), OSError(errno.EIO, "bad"): None}
    for error, named in errors.items():
        with pytest.raises(OSError, match=error.strerror) as caught, files.replacing(tmp_path / "a"):
            raise error
        assert caught.value.filename == named

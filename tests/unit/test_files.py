"""Whole-or-nothing writes, deterministic npz, and reads that name what is wrong."""

import hashlib
import os
import stat

import numpy as np
import pytest

from sbcflow import files
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


def test_text_keeps_its_line_ends(tmp_path):
    files.write_text(tmp_path / "a.csv", "x\r\ny\n")
    assert (tmp_path / "a.csv").read_bytes() == b"x\r\ny\n"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": object()}, {"a": {1, 2}}])
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

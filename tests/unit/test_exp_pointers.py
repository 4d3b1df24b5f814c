"""What is written of an artifact, and the paths that are refused; no repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from sbcflow.errors import ArtifactError
from sbcflow.experiment.dvc.artifacts import Artifact, cache_artifact, check_overlap, ignore, pointer

MD5 = "d41d8cd98f00b204e9800998ecf8427e"
FILE = Artifact("models/a.bin", MD5, 3)
FOLDER = Artifact("data", f"{MD5}.dir", 5, nfiles=2)


def test_a_pointer_is_what_dvc_add_writes() -> None:
    assert pointer(FILE) == f"outs:\n- md5: {MD5}\n  size: 3\n  hash: md5\n  path: a.bin\n".encode()
    assert pointer(FOLDER) == (
        f"outs:\n- md5: {MD5}.dir\n  size: 5\n  nfiles: 2\n  hash: md5\n  path: data\n".encode()
    )


def test_pointer_and_gitignore_lie_beside_the_data() -> None:
    assert (FILE.pointer_path, FILE.gitignore_path) == ("models/a.bin.dvc", "models/.gitignore")
    assert (FOLDER.pointer_path, FOLDER.gitignore_path) == ("data.dvc", ".gitignore")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, b"/data\n"),
        (b"/runs\n", b"/runs\n/data\n"),
        (b"/runs", b"/runs\n/data\n"),
        (b"/data\n", None),
        (b"data/\n", None),
        (b"d*\n", None),
        (b"d*\n!data\n", b"d*\n!data\n/data\n"),
    ],
)
def test_gitignore_gets_a_line_unless_it_has_one(before: bytes | None, after: bytes | None) -> None:
    assert ignore(before, FOLDER) == after


def test_gitignore_escapes_what_is_a_pattern() -> None:
    assert ignore(None, Artifact("a[1]*.bin", MD5, 3)) == b"/a\\[1\\]\\*.bin\n"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (None, "outside of the DVC project"),
        ("../x", "below the DVC project's folder"),
        ("/x", "below the DVC project's folder"),
        (".", "below the DVC project's folder"),
        (".dvc/x", "Git's or DVC's own"),
        ("a/.git/x", "Git's or DVC's own"),
        ("a/dvc.yaml", "Git's or DVC's own"),
        ("x.dvc", "read it as a pointer"),
        ("a\nb", "printable"),
        ("a /b", "printable"),
        ("taken", "Git tracks it"),
        ("folder/x", "lies in the data of folder.dvc"),
        ("hidden", "Git ignores hidden.dvc"),
    ],
)
def test_refuses_a_path_that_dvc_could_not_track(tmp_path: Path, name: str | None, told: str) -> None:
    root, data = tmp_path / "project", tmp_path / "data.bin"
    (root / ".dvc").mkdir(parents=True)
    data.write_bytes(b"x")
    with pytest.raises(ArtifactError, match=told) as caught:
        cache_artifact(
            root,
            data,
            name,
            tracked={"taken", "folder.dvc"}.__contains__,
            ignored={"hidden.dvc"}.__contains__,
        )
    assert "\n" not in str(caught.value)
    assert list((root / ".dvc").iterdir()) == []


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("data/x", "artifact 'data/x': lies in artifact 'data': "),
        ("data/x/y", "artifact 'data/x/y': lies in artifact 'data': "),
        ("models", "artifact 'models': holds artifact 'models/a.bin': "),
        ("out/x", "artifact 'out/x': lies in the stage's out 'out': "),
        ("deep", "artifact 'deep': holds the stage's out 'deep/er/out': "),
    ],
)
def test_refuses_data_that_is_also_something_else_s(path: str, told: str) -> None:
    with pytest.raises(ArtifactError, match=f"^{told}"):
        check_overlap(path, ["data", "models/a.bin"], ["out", "deep/er/out"])


@pytest.mark.parametrize("path", ["data", "data2", "dat", "models/b.bin", "out", "deep/er/other", "x"])
def test_data_beside_other_data_or_exactly_an_out_is_fine(path: str) -> None:
    check_overlap(path, iter(["data", "models/a.bin"]), iter(["out", "deep/er/out"]))

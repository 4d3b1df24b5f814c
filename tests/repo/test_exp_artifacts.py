"""Artifacts against DVC itself: the same cache and pointers as ``dvc add``, and nothing else touched."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from exp_project import clone, commit_experiment, dvc_each, environment, git, make_project

from sbcflow.errors import ArtifactError
from sbcflow.experiment.dvc import cache
from sbcflow.experiment.dvc.artifacts import Artifact, cache_artifact, ignore, pointer

ADD = """\
import sys
from pathlib import Path
from sbcflow.experiment.dvc.artifacts import cache_artifact
print(cache_artifact(Path.cwd(), Path(sys.argv[1])).md5)
"""
DIE_BEFORE_IT_IS_DURABLE = """\
import os, signal
os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    root = make_project(tmp_path / "project", reproduced=True)
    monkeypatch.chdir(root)
    return root


def make_data(root: Path) -> list[str]:
    """Make data of all kinds; return where it lies."""
    folder = root / "data/größe 1"
    (folder / "sub/deep").mkdir(parents=True)
    (folder / "empty").mkdir()
    for name in ("ä b.txt", "sub/twice", "sub/deep/twice"):
        (folder / name).write_text(name.rpartition("/")[2])
    (root / "- yes: [1]").write_text("odd")
    (root / "123").write_bytes(b"")
    (root / "run.sh").write_text("true")
    (root / "run.sh").chmod(0o755)
    (root / "nothing").mkdir()
    return ["data/größe 1", "- yes: [1]", "123", "run.sh", "nothing"]


def everything(root: Path) -> dict[str, tuple[int, int]]:
    """Return each path below a folder with its inode and change time; DVC's cache is left out."""
    paths = (path for path in root.rglob("*") if ".dvc/cache" not in str(path) and path.name != ".dvc")
    return {str(path): (path.lstat().st_ino, path.lstat().st_ctime_ns) for path in paths}


def objects(cache: Path) -> dict[str, bytes]:
    return {str(path.relative_to(cache)): path.read_bytes() for path in cache.rglob("*") if path.is_file()}


def pointers(added: list[Artifact]) -> dict[str, bytes]:
    """Return the files that a commit with artifacts needs."""
    files: dict[str, bytes] = {artifact.pointer_path: pointer(artifact) for artifact in added}
    for artifact in added:
        line = ignore(files.get(artifact.gitignore_path), artifact)
        files |= {artifact.gitignore_path: line} if line is not None else {}
    return files


def test_cache_and_pointers_are_those_of_dvc_add(project: Path, tmp_path: Path) -> None:
    names = make_data(project)
    before = everything(project)
    added = [cache_artifact(project, Path(name)) for name in names]
    assert everything(project) == before, "the worktree, .git and .dvc stay as they are"

    other = clone(project, tmp_path / "other")
    make_data(other)
    dvc_each(other, ["add", "--quiet", "--", *names])
    assert objects(project / ".dvc/cache") == objects(other / ".dvc/cache")
    files = pointers(added)
    assert files == {path: (other / path).read_bytes() for path in files}


def test_dvc_checks_out_the_same_bytes(project: Path, tmp_path: Path) -> None:
    names = make_data(project)
    commit_experiment(project, "exp", pointers([cache_artifact(project, Path(name)) for name in names]))
    other = clone(project, tmp_path / "other")
    git(other, "fetch", "--quiet", "origin", "+refs/exps/*:refs/exps/*")
    git(other, "checkout", "--quiet", git(other, "for-each-ref", "--format=%(refname)", "refs/exps"))
    cache = ["cache", "dir", "--local", str(project / ".dvc/cache")]
    said = dvc_each(other, cache, ["checkout", "--quiet"], ["status"])
    assert "up to date" in said and git(other, "status", "--short") == ""
    for name in names:
        same = subprocess.run(["diff", "-r", project / name, other / name], capture_output=True, check=False)
        # DVC, as Git, keeps no empty folders inside of data.
        assert same.stdout.decode() in ("", f"Only in {project / name}: empty\n")
    assert os.access(other / "run.sh", os.X_OK)


@pytest.mark.parametrize("anonymous", [True, False])
def test_processes_add_at_once_and_need_no_lock(project: Path, anonymous: bool) -> None:
    from dvc.repo import Repo

    (project / "big.bin").write_bytes(os.urandom(20_000_000))
    without = "" if anonymous else "import os\ndel os.O_TMPFILE\n"
    command = [sys.executable, "-c", without + ADD, "big.bin"]
    with Repo(str(project)) as repo, repo.lock:
        running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
        answers = {process.communicate()[0].strip() for process in running}
    assert [process.returncode for process in running] == [0] * 4
    (md5,) = answers
    place = project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    assert place.read_bytes() == (project / "big.bin").read_bytes()
    assert len(objects(project / ".dvc/cache")) == 1
    assert place.stat().st_mode & 0o777 == 0o444


def test_the_cache_has_a_copy_of_its_own(project: Path) -> None:
    (project / "model.bin").write_bytes(b"first")
    first = cache_artifact(project, Path("model.bin"))
    (project / "model.bin").write_bytes(b"second")
    second = cache_artifact(project, Path("model.bin"))
    assert sorted(objects(project / ".dvc/cache").values()) == [b"first", b"second"]
    assert (first.size, second.size) == (5, 6)


def test_what_is_spoilt_in_the_cache_is_replaced(project: Path) -> None:
    (project / "model.bin").write_bytes(b"right")
    md5 = cache_artifact(project, Path("model.bin")).md5
    place = project / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    for spoilt, mode in ((b"cut", 0o444), (b"wrong", 0o644)):
        place.unlink()
        place.write_bytes(spoilt)
        place.chmod(mode)
        cache_artifact(project, Path("model.bin"))
        assert place.read_bytes() == b"right"


def test_data_from_outside_gets_a_name(project: Path, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch/draws").write_bytes(b"x")
    added = cache_artifact(project, tmp_path / "scratch", "models/chain")
    assert (added.path, added.nfiles, added.size) == ("models/chain", 1, 1)
    with pytest.raises(ArtifactError, match="give it a name"):
        cache_artifact(project, tmp_path / "scratch")


def test_dvcignore_holds_where_the_data_belongs(project: Path, tmp_path: Path) -> None:
    (project / ".dvcignore").write_text("*.tmp\n/hidden\n")
    for folder in (project / "data", tmp_path / "scratch"):
        folder.mkdir()
        (folder / "kept").write_bytes(b"x")
        (folder / "left.tmp").write_bytes(b"y")
    inside = cache_artifact(project, Path("data"))
    outside = cache_artifact(project, tmp_path / "scratch", "elsewhere")
    assert inside.nfiles == outside.nfiles == 1 and inside.md5 == outside.md5
    with pytest.raises(ArtifactError, match=r"\.dvcignore leaves it out"):
        cache_artifact(project, tmp_path / "scratch", "hidden")


def test_data_that_dvc_linked_from_its_cache(project: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    (project / ".dvc/config.local").write_text(f"[cache]\n    dir = {shared}\n    type = symlink\n")
    (project / "model.bin").write_bytes(b"x")
    added = cache_artifact(project, Path("model.bin"))
    place = shared / "files/md5" / added.md5[:2] / added.md5[2:]
    (project / "model.bin").unlink()
    (project / "model.bin").symlink_to(place)
    assert cache_artifact(project, Path("model.bin")) == added
    assert not (project / ".dvc/cache").exists()


def make_bad(project: Path, outside: Path) -> None:
    (project / "folder").mkdir()
    (project / "folder/link").symlink_to(outside)
    (project / "nested/sub").mkdir(parents=True)
    (project / "nested/link").symlink_to("sub")
    (project / "refused").mkdir()
    (project / "refused/.dvcignore").write_text("")
    (project / "unnamed").mkdir()
    (project / "unnamed" / os.fsdecode(b"\xff")).write_bytes(b"x")
    (project / "broken").symlink_to("nowhere")
    (project / "loop").symlink_to("loop")
    (project / "away").symlink_to(outside)
    os.mkfifo(project / "pipe")


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("absent", "no such file"),
        ("broken", "no such file"),
        ("loop", "Symlink loop|symbolic links"),
        ("pipe", "neither a file nor a folder"),
        ("away", "outside of the project"),
        ("folder", "outside of the project"),
        ("nested", "a link to a folder"),
        ("refused", r"holds a \.dvcignore"),
        ("unnamed", "not UTF-8"),
        (".git/config", "Git's or DVC's own"),
        (".dvc", "Git's or DVC's own"),
        (".", "below the DVC project's folder"),
    ],
)
def test_bad_data_is_refused_in_one_line(project: Path, tmp_path: Path, path: str, told: str) -> None:
    (tmp_path / "outside").write_bytes(b"x")
    make_bad(project, tmp_path / "outside")
    with pytest.raises(ArtifactError, match=told) as caught:
        cache_artifact(project, Path(path))
    assert "\n" not in str(caught.value)
    assert objects(project / ".dvc") == {"config": b"", ".gitignore": b"/config.local\n/tmp\n/cache\n"}


def test_an_unreadable_file_is_told(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "secret").write_bytes(b"x")

    read = Path.open

    def refuse(path: Path, *args: str, **options: str) -> object:
        if path.name == "secret":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return read(path, *args, **options)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ArtifactError, match=r"secret: Permission denied"):
        cache_artifact(project, Path("secret"))


@pytest.mark.parametrize("anonymous", [True, False])
def test_a_full_disk_leaves_nothing(project: Path, monkeypatch: pytest.MonkeyPatch, anonymous: bool) -> None:
    if not anonymous:
        monkeypatch.delattr(os, "O_TMPFILE")
    (project / "big.bin").write_bytes(b"x" * 3 * cache.CHUNK)
    write = os.write
    chunks = iter(range(2))

    def fill(descriptor: int, data: bytes) -> int:
        if len(data) > 1000 and next(chunks, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", fill)
    with pytest.raises(ArtifactError, match="the disk of DVC's cache is full"):
        cache_artifact(project, Path("big.bin"))
    assert objects(project / ".dvc/cache") == {}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting is not allowed here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_small_disk(project: Path, small_disk: Path) -> None:
    (project / ".dvc/config.local").write_text(f"[cache]\n    dir = {small_disk}\n")
    (project / "data").mkdir()
    for name in "abc":
        (project / "data" / name).write_bytes(os.urandom(2**21))
    with pytest.raises(ArtifactError, match="the disk of DVC's cache is full"):
        cache_artifact(project, Path("data"))
    assert objects(small_disk) == {}
    (project / "data/c").unlink()
    (project / "data/b").unlink()
    assert cache_artifact(project, Path("data")).nfiles == 1


def test_a_killed_process_leaves_nothing(project: Path) -> None:
    (project / "model.bin").write_bytes(b"x" * 1000)
    command = [sys.executable, "-c", DIE_BEFORE_IT_IS_DURABLE + ADD, "model.bin"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert objects(project / ".dvc/cache") == {}

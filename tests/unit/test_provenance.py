"""Git's state in real repositories, the environment, and experiment ids."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from importlib import metadata
from pathlib import Path

import pytest

from sbcflow import provenance
from sbcflow.errors import ArtifactError

CLEAN = {"dirty": False, "branch": "main"}


@pytest.fixture(autouse=True)
def _isolated_git(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=T", "-c", "user.email=t@example.org"]
    done = subprocess.run(["git", "-C", root, *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repo(tmp_path):
    root = tmp_path / "repo"
    root.mkdir()
    git(root, "init", "--quiet", "--initial-branch", "main")
    (root / "code.py").write_text("x = 1\n")
    (root / ".gitignore").write_text("ignored/\n")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "first")
    return root


def test_a_clean_worktree(repo):
    sha = git(repo, "rev-parse", "HEAD")
    assert provenance.git_state(repo) == {"sha": sha, **CLEAN}


def test_a_changed_file_is_dirty_wherever_it_lies(repo):
    (repo / "project").mkdir()
    (repo / "code.py").write_text("x = 2\n")
    assert provenance.git_state(repo)["dirty"] is True
    assert provenance.git_state(repo / "project")["dirty"] is True


@pytest.mark.parametrize(("name", "dirty"), [("new.py", True), ("a/b.py", True), ("ignored/x", False)])
def test_an_untracked_file_is_dirty_unless_ignored(repo, name, dirty):
    (repo / name).parent.mkdir(exist_ok=True)
    (repo / name).touch()
    assert provenance.git_state(repo)["dirty"] is dirty


def test_a_deleted_and_a_staged_file_are_dirty(repo):
    (repo / "code.py").unlink()
    assert provenance.git_state(repo)["dirty"] is True
    git(repo, "checkout", "--quiet", "code.py")
    (repo / "code.py").write_text("x = 3\n")
    git(repo, "add", "code.py")
    assert provenance.git_state(repo)["dirty"] is True


@pytest.mark.parametrize("folder", [".", "project"])
def test_what_the_pipeline_writes_is_not_dirty(repo, folder):
    root = repo / folder
    (root / "metrics").mkdir(parents=True)
    (root / "metrics/train_sweep.json").write_text("{}")
    (root / "dvc.lock").write_text("a")
    git(repo, "add", ".")
    git(repo, "commit", "--quiet", "-m", "outputs")
    (root / "metrics/train_sweep.json").write_text("{ }")
    (root / "metrics/test_sweep.json").write_text("{}")
    (root / "dvc.lock").write_text("b")
    (root / "runs/pilot").mkdir(parents=True)
    (root / "runs/.gitignore").write_text("/pilot\n")
    assert provenance.git_state(root)["dirty"] is False
    (root / "params.yaml").write_text("a: 1\n")
    assert provenance.git_state(root)["dirty"] is True


def test_metrics_elsewhere_are_code(repo):
    (repo / "src/metrics").mkdir(parents=True)
    (repo / "src/metrics/rmse.py").touch()
    assert provenance.git_state(repo)["dirty"] is True


def test_a_detached_head(repo):
    git(repo, "checkout", "--quiet", "--detach")
    assert provenance.git_state(repo)["branch"] == "HEAD"


def test_a_repository_without_commits(tmp_path):
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")
    assert provenance.git_state(tmp_path) == {"sha": "0" * 40, **CLEAN}


def test_outside_any_repository(tmp_path):
    assert provenance.git_state(tmp_path) == {"sha": "0" * 40, "dirty": False, "branch": ""}


def test_without_git(repo, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert provenance.git_state(repo) == {"sha": "0" * 40, "dirty": False, "branch": ""}


def test_a_repository_that_git_refuses_is_an_error(repo, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    with pytest.raises(ArtifactError, match="dubious ownership") as caught:
        provenance.git_state(repo)
    assert "\n" not in str(caught.value)


def test_variables_of_a_hook_do_not_point_elsewhere(repo, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "--quiet", "--initial-branch", "elsewhere")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert provenance.git_state(repo)["branch"] == "main"


def test_the_index_is_only_read(repo):
    index = repo / ".git/index"
    os.utime(repo / "code.py", (0, 0))  # a plain status would refresh the entry
    before = index.read_bytes()
    assert provenance.git_state(repo)["dirty"] is False
    assert index.read_bytes() == before


def test_environment_names_installed_versions():
    env = provenance.environment()
    assert env["python"] == ".".join(map(str, sys.version_info[:3]))
    assert env["platform"]
    assert env["numpy"] == metadata.version("numpy")
    assert all(isinstance(version, str) and version for version in env.values())


def test_a_library_that_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(provenance, "OTHER_LIBRARIES", ("no-such-library",))
    assert "no-such-library" not in provenance.environment()


def test_numeric_versions(monkeypatch):
    versions = provenance.numeric_versions()
    assert list(versions) == ["arviz-stats", "jax", "jaxlib", "numpy", "numpyro", "scipy"]
    assert versions["jax"] == metadata.version("jax")
    monkeypatch.setattr(provenance, "NUMERIC_LIBRARIES", ("jax", "no-such-library"))
    with pytest.raises(ArtifactError, match="no-such-library is not installed"):
        provenance.numeric_versions()


def test_nothing_heavy_is_imported():
    code = """
import sys
from sbcflow import files, manifest, provenance, tracking
provenance.environment(), provenance.numeric_versions(), manifest.schema()
heavy = {"jax", "numpyro", "numpy", "pandas", "scipy", "dvc", "dvclive", "jsonschema"} & sys.modules.keys()
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_experiment_id_round_trip():
    now = datetime(2026, 5, 27, 14, 34, 56, 999_999, tzinfo=timezone(timedelta(hours=2)))
    text = provenance.new_experiment_id(now, "abc1234def" + "0" * 30)
    assert text == "2026-05-27T12-34-56Z_abc1234"
    parsed = provenance.parse_experiment_id(text)
    assert parsed.created == datetime(2026, 5, 27, 12, 34, 56, tzinfo=UTC)
    assert parsed.short_sha == "abc1234"
    assert str(parsed) == text


def test_experiment_id_without_a_commit():
    text = provenance.new_experiment_id(datetime(2026, 1, 1, tzinfo=UTC), provenance.NO_COMMIT)
    assert text == "2026-01-01T00-00-00Z_0000000"
    assert provenance.parse_experiment_id(text).short_sha == "0000000"


def test_a_moment_needs_a_zone():
    with pytest.raises(ValueError, match="time zone"):
        provenance.new_experiment_id(datetime(2026, 1, 1), "abc1234")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-05-27T12-34-56Z",
        "2026-05-27T12-34-56Z_",
        "2026-05-27T12-34-56Z_abc123",
        "2026-05-27T12-34-56Z_ABC1234",
        "2026-05-27T12:34:56Z_abc1234",
        "2026-05-27T12-34-56_abc1234",
        "2026-13-27T12-34-56Z_abc1234",
        "2026-02-30T12-34-56Z_abc1234",
        "2026-05-27T12-34-56Z_abc1234\n",
        " 2026-05-27T12-34-56Z_abc1234",
        "\N{ARABIC-INDIC DIGIT TWO}026-05-27T12-34-56Z_abc1234",
    ],
)
def test_what_is_no_experiment_id(text):
    with pytest.raises(ArtifactError, match="experiment_id") as caught:
        provenance.parse_experiment_id(text)
    assert "\n" not in str(caught.value)

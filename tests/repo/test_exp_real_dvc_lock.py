"""Real DVC agrees with the lock that an experiment's commit holds."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from sbcflow.experiment.dvc.lock import Produced, truthful_lock
from sbcflow.experiment.dvc.project import read_project
from sbcflow.experiment.params.overrides import apply_overrides

TRAIN = r"""import json, pathlib, re
lr = float(re.search("lr: ([^ \n]+)", pathlib.Path("params.yaml").read_text())[1])
pathlib.Path("model.bin").write_text(f"model {lr}")
pathlib.Path("metrics.json").write_text(json.dumps({"loss": lr}))
"""
DVC_YAML = """\
stages:
  train:
    cmd: python train.py
    deps: [train.py]
    params: [lr]
    outs: [model.bin]
    metrics: [metrics.json: {cache: false}]
"""


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class Project:
    """A DVC project in a Git repository of its own, and the environment its commands run in."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        people = ("GIT_AUTHOR", "GIT_COMMITTER")
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(home),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(home / "dvc"),
            **{f"{who}_{what}": "a@example.org" for who in people for what in ("NAME", "EMAIL")},
        }

    def run(self, *command: str) -> str:
        """Run a command and return what it printed."""
        options = {"cwd": self.folder, "env": self.environment, "timeout": 120}
        done = subprocess.run(command, **options, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file, never through a link into DVC's cache."""
        path = self.folder / name
        path.unlink(missing_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    def read(self, name: str) -> bytes | None:
        """Read a file that an experiment's tree would hold; model.bin is not in Git."""
        path = self.folder / name
        return path.read_bytes() if path.is_file() and name != "model.bin" else None

    def cache(self, name: str) -> None:
        """Put a file into DVC's cache, as logging an artifact does."""
        content = (self.folder / name).read_bytes()
        digest = _md5(content)
        entry = self.folder / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
        entry.parent.mkdir(parents=True, exist_ok=True)
        entry.write_bytes(content)

    def status(self) -> dict[str, object]:
        """Return what DVC thinks is not up to date."""
        return json.loads(self.run("dvc", "status", "--json"))

    def lock(self, *produced: str) -> bytes | None:
        """Return the lock for the files as they are, of which ``produced`` were made by the experiment."""
        made = {}
        for name in produced:
            content = (self.folder / name).read_bytes()
            made[name] = Produced(_md5(content), len(content))
        changed = {"params.yaml", "metrics.json"}
        return truthful_lock(self.read("dvc.lock"), read_project(DVC_YAML.encode()), self.read, changed, made)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project whose stage was run by DVC and committed."""
    folder, home = tmp_path / "project", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    project = Project(folder, home)
    project.run("git", "init", "-q")
    project.run("dvc", "init", "-q")
    for name, content in (("train.py", TRAIN), ("dvc.yaml", DVC_YAML), ("params.yaml", "lr: 0.1  # rate\n")):
        project.write(name, content)
    project.run("dvc", "repro", "-q")
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "baseline")
    return project


@pytest.fixture
def experiment(project: Project) -> Project:
    """The project after an experiment with another rate, its lock still the baseline's."""
    text = apply_overrides(project.read("params.yaml") or b"", {"lr": 1e-5}, source="params.yaml")
    project.write("params.yaml", text)
    project.write("metrics.json", '{"loss": 1e-05}')
    project.write("model.bin", "model 1e-05")
    return project


def test_an_experiment_that_made_all_outs_is_clean(experiment: Project) -> None:
    assert experiment.status() != {}
    experiment.write("dvc.lock", experiment.lock("model.bin", "metrics.json") or b"")
    assert experiment.status() == {"train": [{"changed outs": {"model.bin": "not in cache"}}]}
    experiment.cache("model.bin")
    assert experiment.status() == {}


def test_a_lock_made_from_nothing_is_dvcs_own(project: Project) -> None:
    dvcs = project.read("dvc.lock")
    assert project.lock() is not None and project.lock() == dvcs
    (project.folder / "dvc.lock").unlink()
    assert project.lock("model.bin", "metrics.json") == dvcs


def test_without_the_model_nothing_new_is_claimed(experiment: Project) -> None:
    assert experiment.lock("metrics.json") == experiment.read("dvc.lock")
    changed = json.dumps(experiment.status()["train"])
    assert all(word in changed for word in ("params.yaml", "metrics.json", "model.bin"))


def _metric_stale(lock: dict) -> None:
    for out in lock["stages"]["train"]["outs"]:
        if out["path"] == "metrics.json":
            out["md5"] = _md5(b"stale")


def _params_stale(lock: dict) -> None:
    lock["stages"]["train"]["params"]["params.yaml"]["lr"] = 0.1


@pytest.mark.parametrize(("spoil", "word"), [(_metric_stale, "metrics.json"), (_params_stale, "params.yaml")])
def test_dvc_complains_of_a_lie(experiment: Project, spoil: Callable[[dict], None], word: str) -> None:
    lock = yaml.safe_load(experiment.lock("model.bin", "metrics.json") or b"")
    spoil(lock)
    experiment.write("dvc.lock", yaml.safe_dump(lock))
    assert word in json.dumps(experiment.status())

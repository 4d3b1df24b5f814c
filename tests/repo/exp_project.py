"""Small Git and DVC projects for the tests of experiments, and the commands that look at them.

A test sets ``environment(tmp_path)`` in ``os.environ`` first: commands run in the environment as it is then.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from sbcflow.experiment.git.names import ExperimentRef
from sbcflow.experiment.git.refs import move_ref
from sbcflow.experiment.git.store import Store
from sbcflow.experiment.git.tree import File, edit_tree
from sbcflow.experiment.record import Record, write_record
from sbcflow.experiment.states import State

PARAMS = "lr: 0.1  # learning rate\ndepth: 3\n"
DVC_YAML = """\
stages:
  train:
    cmd: python train.py
    deps:
    - train.py
    params:
    - depth
    - lr
    metrics:
    - metrics.json:
        cache: false
"""
TRAIN = """\
import json
from pathlib import Path

import yaml

params = yaml.safe_load(Path("params.yaml").read_text())
metrics = {"score": params["lr"] * params["depth"]}
Path("metrics.json").write_text(json.dumps(metrics))
"""
DVC_FILES = {
    ".dvc/config": "",
    ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    ".dvcignore": "# Add patterns of files dvc should ignore\n",
}
RUN_EACH = """\
import json, sys
from dvc.cli import main
for command in json.loads(sys.argv[1]):
    if code := main(command):
        sys.exit(f"dvc {' '.join(command)}: exit code {code}")
"""


def environment(tmp: Path) -> dict[str, str]:
    """Return the variables of a user of whom nothing outside ``tmp`` is known; the folders are made."""
    home = tmp / "home"
    home.mkdir(parents=True, exist_ok=True)
    who = {"NAME": "Ada", "EMAIL": "ada@example.org"}
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        **{f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()},
        "DVC_NO_ANALYTICS": "1",
        "DVC_GLOBAL_CONFIG_DIR": str(home / "dvc"),
        "DVC_SYSTEM_CONFIG_DIR": str(home / "dvc-system"),
        "DVC_SITE_CACHE_DIR": str(home / "dvc-site"),
        "LC_ALL": "C.UTF-8",
    }


def make_project(path: Path, *, reproduced: bool = False) -> Path:
    """Make a Git repository with DVC, params and one stage, and commit it.

    With ``reproduced`` the stage has run, as dvc.lock and metrics.json say: ``dvc status`` is clean.
    """
    files = DVC_FILES | {"params.yaml": PARAMS, "dvc.yaml": DVC_YAML, "train.py": TRAIN}
    if reproduced:
        files |= {"metrics.json": _metrics(), "dvc.lock": _lock()}
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    git(path, "init", "--quiet", "--initial-branch=main")
    commit_all(path, "the baseline")
    return path


def commit_all(repo: Path, message: str) -> str:
    """Commit what Git does not ignore; return the sha."""
    git(repo, "add", "--all")
    git(repo, "commit", "--quiet", "--message", message)
    return git(repo, "rev-parse", "HEAD")


def clone(source: Path, target: Path) -> Path:
    """Clone a repository; its remote is called origin."""
    git(source, "clone", "--quiet", str(source), str(target))
    return target


def commit_experiment(
    repo: Path, name: str, files: Mapping[str, bytes], *, parent: str | None = None, baseline: str = "HEAD"
) -> str:
    """Make an experiment's commit without the API, and let its reference hold it; return the sha."""
    store = Store(repo)
    base = store.commit(baseline)
    above = base if parent is None else store.commit(parent)
    changes = {path: File(store.repository.create_blob(content)) for path, content in files.items()}
    tree, _ = edit_tree(store.repository, above.tree, changes)
    record = Record(
        message=name,
        state=State.PERSISTED,
        created="2026-05-27T12:34:56Z",
        checkpoint=1,
        folder=".",
        metrics="metrics.json",
        params=None,
    )
    author, committer = store.signature("AUTHOR"), store.signature("COMMITTER")
    message = write_record(record)
    oid = store.repository.create_commit(None, author, committer, message, tree, [above.id])
    ref = ExperimentRef(str(base.id), name)
    move_ref(store, ref, str(oid), store.tip(ref), store.common_dir / f"{name}.staged")
    return str(oid)


def git(repo: Path, *args: str) -> str:
    """Run Git; return what it prints, without the last newline."""
    return _run(repo, ["git", *args])


def dvc(repo: Path, *args: str) -> str:
    """Run one DVC command (about a second); return what it prints, without the last newline."""
    return _run(repo, [sys.executable, "-m", "dvc", *args])


def dvc_each(repo: Path, *commands: list[str]) -> str:
    """Run DVC commands one after another in one process, until one fails; return all that they print."""
    return _run(repo, [sys.executable, "-c", RUN_EACH, json.dumps(commands)])


def _run(repo: Path, command: list[str]) -> str:
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.rstrip("\n")


def _metrics() -> str:
    return json.dumps({"score": 0.1 * 3})


def _lock() -> str:
    return (
        "schema: '2.0'\nstages:\n  train:\n    cmd: python train.py\n"
        f"    deps:\n{_locked('train.py', TRAIN)}"
        "    params:\n      params.yaml:\n        depth: 3\n        lr: 0.1\n"
        f"    outs:\n{_locked('metrics.json', _metrics())}"
    )


def _locked(path: str, text: str) -> str:
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return f"    - path: {path}\n      hash: md5\n      md5: {digest}\n      size: {len(text)}\n"

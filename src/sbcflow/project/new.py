"""``sbcflow new``: a project of the user's own, in a folder that is new or empty."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import sbcflow
from sbcflow.errors import ParamsError, RepositoryError
from sbcflow.files import write_text
from sbcflow.project.assets import asset

# Each file of template/ and where it goes; DVC, Git and others would take one of its own name for theirs.
TEMPLATES = {
    "README.md": "README.md",
    "stages.yaml": "dvc.yaml",
    "gitignore": ".gitignore",
    "dvcignore": ".dvcignore",
    "Snakefile": "workflow/Snakefile",
    "requirements.txt": "requirements.txt",
}
OWN_MODEL = "mymodel.py"
OWN_ESTIMATOR = "mymodel:build"
PROFILES = "workflow/profiles"
COPIED = ("config", PROFILES)
SLURM = "slurm"
DVC_SETTINGS = {
    "core.analytics": "false",
    "core.check_update": "false",
    "cache.type": "reflink,copy",
}


def new_project(folder: Path, own_model: bool = False) -> list[Path]:
    """Make a project in ``folder``, under Git and DVC (made if need be), and return its files.

    With ``own_model`` it has an estimator to change, and params.yaml names it. Nothing is committed.

    Raises:
        ParamsError: the folder holds anything, or is none.
        RepositoryError: Git or DVC refuse.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ParamsError(f"{folder}: must be a new or an empty folder; nothing was changed")
    for name, text in _files(own_model):
        write_text(folder / name, text)
    (folder / SLURM).symlink_to(f"{PROFILES}/{SLURM}")
    _version(folder)
    return sorted(path for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts)


def _files(own_model: bool) -> Iterator[tuple[str, str]]:
    template = resources.files("sbcflow.project") / "template"
    names = {**TEMPLATES, **({OWN_MODEL: OWN_MODEL} if own_model else {})}
    for name, target in names.items():
        yield target, (template / name).read_text(encoding="utf-8").replace("{version}", sbcflow.__version__)
    values = asset("params.yaml").read_text(encoding="utf-8")
    yield (
        "params.yaml",
        values.replace("estimator: hurdle", f"estimator: {OWN_ESTIMATOR}") if own_model else values,
    )
    for folder in COPIED:
        for path in sorted(asset(folder).rglob("*")):
            if path.is_file():
                yield (
                    f"{folder}/{path.relative_to(asset(folder)).as_posix()}",
                    path.read_text(encoding="utf-8"),
                )


def _version(folder: Path) -> None:
    inside = _run(folder, "git", "rev-parse", "--is-inside-work-tree").returncode == 0
    if not inside:
        _check(_run(folder, "git", "init", "--quiet"))
    dvc = (sys.executable, "-m", "dvc")
    _check(_run(folder, *dvc, "init", "--quiet", *(["--subdir"] if inside else [])))
    for name, value in DVC_SETTINGS.items():
        _check(_run(folder, *dvc, "config", name, value))
    _check(_run(folder, "git", "add", "--", "."))


def _run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def _check(done: subprocess.CompletedProcess[str]) -> None:
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())
        raise RepositoryError(f"{' '.join(done.args)}: failed: {said}; the files written so far stay")

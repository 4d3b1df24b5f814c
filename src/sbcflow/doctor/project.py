"""The project in a folder: its repository, its data version control, its run values."""

from __future__ import annotations

import sys
from pathlib import Path

from sbcflow.doctor.ask import Answer, ask
from sbcflow.doctor.finding import Finding, note, ok, problem
from sbcflow.errors import SbcflowError
from sbcflow.params import PARAMS_FILE, SweepSettings, load

FILES = ("dvc.yaml", "workflow/Snakefile")


def check_repository(folder: Path) -> Finding:
    """Is this a Git repository with a commit, which manifests and experiments refer to?"""
    inside = ("git", "-C", str(folder))
    root = ask(*inside, "rev-parse", "--show-toplevel")
    if root.failure:
        return problem(
            "repository", root.failure, "if there is none: git init && git add --all && git commit"
        )
    head = ask(*inside, "rev-parse", "--short", "--verify", "HEAD")
    if head.failure:
        return problem("repository", "there is no commit yet", "git add --all && git commit")
    if not ask(*inside, "config", "user.email").text:
        remedy = "git config --global user.email you@example.org"
        return note("repository", f"commit {head.text}; Git does not know who you are", remedy)
    return ok("repository", f"commit {head.text}")


def check_dvc(folder: Path) -> Finding:
    """Is DVC set up here, can it read its stages, and is there somewhere to push runs to?"""
    root = _ask_dvc(folder, "root")
    if root.failure:
        return problem("DVC", root.failure, "dvc init, if there is none")
    stages = _ask_dvc(folder, "stage", "list", "--name-only")
    if stages.failure:
        return problem("DVC", stages.failure, "mend the file that it names; dvc stage list looks again")
    remote = _ask_dvc(folder, "config", "core.remote").text
    if not remote:
        return note("DVC", "no default remote: runs stay here", "dvc remote add --default NAME URL")
    return ok("DVC", f"pushes to {remote}")


def _ask_dvc(folder: Path, *words: str) -> Answer:
    return ask(sys.executable, "-m", "dvc", "--cd", str(folder), *words)


def check_params(folder: Path) -> Finding:
    """Are the run values allowed, and the files there that run them?"""
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        return problem(
            "project", f"no {', '.join(missing)} beside {PARAMS_FILE}", "git status says what was removed"
        )
    try:
        sweeps = load(folder / PARAMS_FILE).sweeps()
    except SbcflowError as error:
        return problem("project", str(error), f"mend {PARAMS_FILE}; sbcflow params check looks again")
    return ok("project", ", ".join(f"{sweep.id} ({_size(sweep)})" for sweep in sweeps.values()))


def _size(sweep: SweepSettings) -> str:
    return f"{'at most ' if sweep.precision else ''}{sweep.most_configs} configs"

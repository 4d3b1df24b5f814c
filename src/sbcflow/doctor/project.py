"""The project in a folder: its repository, its data version control, its run values."""

from __future__ import annotations

from pathlib import Path

from sbcflow.doctor.finding import Finding, note, ok, problem
from sbcflow.doctor.installation import answer
from sbcflow.errors import SbcflowError
from sbcflow.params import PARAMS_FILE, load

FILES = ("dvc.yaml", "workflow/Snakefile")


def check_project(folder: Path) -> list[Finding]:
    """Return what is found of the project in a folder, where there is one."""
    if not (folder / PARAMS_FILE).is_file():
        return [note("project", f"no {PARAMS_FILE} in {folder}", "cd to the root of a project")]
    return [check(folder) for check in (check_repository, check_dvc, check_params)]


def check_repository(folder: Path) -> Finding:
    """Is this a Git repository with a commit, which manifests and experiments refer to?"""
    inside = ("git", "-C", str(folder))
    if answer(*inside, "rev-parse", "--show-toplevel") is None:
        return problem(
            "repository", f"{folder} is in no Git repository", "git init && git add --all && git commit"
        )
    head = answer(*inside, "rev-parse", "--short", "HEAD")
    if head is None:
        return problem("repository", "there is no commit yet", "git add --all && git commit")
    if not answer(*inside, "config", "user.email"):
        remedy = "git config --global user.email you@example.org"
        return note("repository", f"commit {head}; Git does not know who you are", remedy)
    return ok("repository", f"commit {head}")


def check_dvc(folder: Path) -> Finding:
    """Is DVC set up here, and is there somewhere to push runs to?"""
    root = answer("dvc", "--cd", str(folder), "root")
    if root is None:
        return problem("DVC", f"{folder} is in no DVC project", "dvc init")
    remotes = answer("dvc", "--cd", str(folder), "remote", "list")
    if not remotes:
        return note("DVC", "no remote: runs stay on this machine", "dvc remote add --default NAME URL")
    return ok("DVC", f"remotes: {', '.join(line.split()[0] for line in remotes.splitlines())}")


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
    return ok("project", ", ".join(f"{sweep.id} ({sweep.n_configs} configs)" for sweep in sweeps.values()))

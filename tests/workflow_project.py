"""Projects of their own for workflow tests: a copy of the tree under Git and DVC, on the smoke scenario.

The real code runs in them, with its fits made small by config/smoke.yaml. Source edits count, since
the copy's src/ comes first on the path.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from sbcflow.provenance import PIPELINE_OUTPUTS

ROOT = Path(__file__).parents[1]
TIMEOUT = 300


@dataclass(frozen=True)
class Project:
    """A copy of this project in ``path``, with commands run in ``env``."""

    path: Path
    env: dict[str, str]

    def run(self, *command: str, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command there; stdout and stderr come back as one text in ``stdout``."""
        done = subprocess.run(
            command,
            cwd=self.path,
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert not check or done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}"
        return done

    def repro(self, *targets: str, **env: str) -> int:
        """Run ``dvc repro`` and return the number of fits that it ran."""
        return count_fits(self.run("dvc", "repro", *targets, **env).stdout)

    def snakemake(self, *arguments: str) -> int:
        """Run ``snakemake`` and return the number of fits that it ran."""
        return count_fits(self.run("snakemake", *arguments).stdout)

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace the first ``old`` in a file, which has to be there."""
        path = self.path / file
        text = path.read_text()
        assert old in text, f"{file} holds no {old!r}"
        path.write_text(text.replace(old, new, 1))

    def set_param(self, key: str, value: object) -> None:
        """Set one value of params.yaml by its dotted key, through a scenario."""
        *sections, name = key.split(".")
        lines = [f"{'  ' * depth}{section}:" for depth, section in enumerate(sections)]
        scenario = self.path.parent / "change.yaml"
        scenario.write_text("\n".join([*lines, f"{'  ' * len(sections)}{name}: {value}\n"]))
        self.apply(scenario)

    def apply(self, scenario: Path | str) -> None:
        """Put a scenario into params.yaml."""
        code = "import sys; from sbcflow.scenario import apply_scenario; apply_scenario(sys.argv[1])"
        self.run("python", "-c", code, str(scenario))

    def use_difference_estimator(self) -> None:
        """Put an estimator that takes no time in the place of the hurdle model."""
        shutil.copy(
            ROOT / "tests" / "difference_estimator.py", self.path / "src/sbcflow/estimators/difference.py"
        )
        for old, new in (
            (
                "sbcflow.estimators.hurdle import HurdleEstimator",
                "sbcflow.estimators.difference import DifferenceEstimator",
            ),
            ("HurdleEstimator(params.model, params.inference)", "DifferenceEstimator()"),
        ):
            self.edit("src/sbcflow/estimators/__init__.py", old, new)

    def commit(self, message: str) -> None:
        """Commit everything, dvc.lock included."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--allow-empty", "--message", message)

    def restore(self) -> None:
        """Go back to the commit: Git's files, and DVC's."""
        self.run("git", "checkout", "--quiet", ".")
        self.run("dvc", "checkout", "--quiet", "--force")

    def text(self, file: str) -> str:
        """Return the text of a file."""
        return (self.path / file).read_text()

    def clone(self, path: Path) -> Project:
        """Return a clone, which has Git's files only."""
        self.run("git", "clone", "--quiet", str(self.path), str(path))
        return Project(path, self.env | {"PYTHONPATH": str(path / "src")})


def count_fits(output: str) -> int:
    """Return how many fits ended, by the line that each prints."""
    return len(re.findall(r"fits done", output))


def copy_tree(path: Path) -> None:
    """Copy what Git would commit of the working tree, less what a run of the pipeline left there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0"):
        source = ROOT / name
        if name and (source.is_file() or source.is_symlink()) and Path(name).parts[0] not in PIPELINE_OUTPUTS:
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, path / name, follow_symlinks=False)


def environment(home: Path, source: Path, compilation_cache: Path) -> dict[str, str]:
    """Make a home in ``home``; return variables by which commands use it, and the package in ``source``."""
    home.mkdir()
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("SNAKEMAKE", "GIT", "DVC"))
    }
    return kept | {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_AUTHOR_NAME": "Tester",
        "GIT_AUTHOR_EMAIL": "tester@example.org",
        "GIT_COMMITTER_NAME": "Tester",
        "GIT_COMMITTER_EMAIL": "tester@example.org",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(source),
        "SBCFLOW_COMPILATION_CACHE": str(compilation_cache),
    }


def make_project(folder: Path, compilation_cache: Path) -> Project:
    """Make a project on the smoke scenario in ``folder``, with a home of its own, and commit it."""
    path = folder / "project"
    copy_tree(path)
    env = environment(folder / "home", path / "src", compilation_cache)
    project = Project(path, env)
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    project.apply("config/smoke.yaml")
    project.commit("start")
    return project

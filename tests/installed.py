"""The package as its users have it: from a wheel, in an environment of its own, no file of this checkout.

The libraries are those of the environment that runs the tests, so that nothing is fetched.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from workflow_project import ROOT

COMMANDS = {"dvc": "dvc", "snakemake": "snakemake"}


@dataclass(frozen=True)
class Installed:
    """An environment: its folder of commands, and the variables to run them with."""

    bin: Path
    env: dict[str, str]

    def run(self, folder: Path, *command: str, code: int = 0) -> str:
        """Run a command in a folder, expect its exit status, and return what it said."""
        done = subprocess.run(
            command,
            cwd=folder,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout
        return done.stdout


def install_wheel(folder: Path) -> Installed:
    """Build the wheel of this checkout and install it in a new environment under ``folder``."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    build = [
        *pip,
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--wheel-dir",
        str(folder),
        str(ROOT),
    ]
    subprocess.run(build, check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], check=True)
    commands = folder / "venv" / "bin"
    python = str(commands / "python")
    site = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    wheel = next(folder.glob("sbcflow-*.whl"))
    subprocess.run([*pip, "--python", python, "install", "--no-deps", "--no-index", str(wheel)], check=True)
    # A path in a .pth file: its own .pth files, and with them the editable package, are not read.
    Path(site.stdout.strip(), "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for name, module in COMMANDS.items():
        command = commands / name
        command.write_text(f"#!{python}\nimport runpy\nrunpy.run_module({module!r}, run_name='__main__')\n")
        command.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    return Installed(commands, kept | {"PATH": f"{commands}{os.pathsep}{os.environ['PATH']}"})

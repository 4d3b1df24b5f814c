"""The lock and the tracked files: complete, and of no particular machine."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sbcflow.provenance import NUMERIC_LIBRARIES

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
PYTHONS = ("3.11", "3.12", "3.13")
SET_UP_FILES = ("requirements.lock", "pyproject.toml", "Makefile", ".ci/run", "workflow/envs/sbcflow.yaml")
HOME_OF_SOMEONE = re.compile(r"(?<![\w.~})])/(home|root|Users|work|mnt|srv)/[\w.-]")


def tracked_texts() -> dict[str, str]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    texts = {}
    for name in filter(None, listing.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and b"\0" not in (content := path.read_bytes())[:1024]:
            texts[name] = content.decode("utf-8")
    return texts


def pins() -> list[Requirement]:
    lines = [line for line in LOCK.splitlines() if line and not line.startswith((" ", "#"))]
    return [Requirement(line.removesuffix(" \\")) for line in lines]


def installed_under(python: str) -> dict[str, str]:
    """Return what the lock installs under a Python on Linux: versions by canonical name."""
    environment = {"python_version": python, "python_full_version": f"{python}.7"}
    environment |= {"platform_system": "Linux", "sys_platform": "linux", "os_name": "posix"}
    chosen = [pin for pin in pins() if pin.marker is None or pin.marker.evaluate(environment)]
    names = [canonicalize_name(pin.name) for pin in chosen]
    assert len(names) == len(set(names))
    return dict(zip(names, (str(pin.specifier) for pin in chosen), strict=True))


def test_no_two_modules_of_the_tests_are_called_alike() -> None:
    """pytest imports them by name alone, all in one process."""
    names = [path.name for path in map(Path, tracked_texts()) if path.match("tests/*/*.py")]
    named = Counter(name for name in names if name != "conftest.py")
    assert [name for name, times in named.items() if times > 1] == []
    assert len(named) > 100


def test_the_lock_holds_pins_with_hashes_alone() -> None:
    assert all(re.fullmatch(r"==[\w.+!]+", str(pin.specifier)) and pin.url is None for pin in pins())
    blocks = re.split(r"^(?=\S)", LOCK, flags=re.MULTILINE)
    for block in filter(None, blocks):
        hashes = block.splitlines()[1:]
        assert hashes, block
        assert all(re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}( \\)?", line) for line in hashes), block


@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_is_locked(python: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    wanted = map(Requirement, [*project["project"]["dependencies"], *groups["dev"], *groups["docs"]])
    installed = installed_under(python)
    for requirement in wanted:
        version = installed[canonicalize_name(requirement.name)].removeprefix("==")
        assert requirement.specifier.contains(version), requirement


def test_all_pythons_agree_on_numeric_libraries() -> None:
    """Their versions are in every fit's key."""
    by_python = [installed_under(python) for python in PYTHONS]
    for name in NUMERIC_LIBRARIES:
        assert len({installed[name] for installed in by_python}) == 1, name


@pytest.mark.parametrize("name", SET_UP_FILES)
def test_set_up_names_no_host(name: str) -> None:
    assert "://" not in (ROOT / name).read_text()


def test_no_tracked_file_names_a_machine_s_folders() -> None:
    found = {
        name: match[0] for name, text in tracked_texts().items() if (match := HOME_OF_SOMEONE.search(text))
    }
    assert found == {}

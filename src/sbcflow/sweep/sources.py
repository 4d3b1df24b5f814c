"""The digests of the source that determines a fit's numbers.

The import closure of the modules that simulate, fit and score is found from their syntax trees,
never by importing; each module counts by what it does, so comments, docstrings and layout are left
out. Whatever the closure reaches counts unless it is named in ``NOT_NUMERIC``: a forgotten entry
costs fits, it never keeps a stale one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import sbcflow
from sbcflow.syntax import closure, digest, module_file

ROOTS = (
    "sbcflow.runtime",
    "sbcflow.generators",
    "sbcflow.estimators",
    "sbcflow.scoring",
    "sbcflow.sweep.fit",
)

NOT_NUMERIC: Mapping[str, str] = {
    "sbcflow": "its version would invalidate every fit at each release, and it imports nothing",
    "sbcflow.compilation": "which compiled programs are loaded, not what they do",
    "sbcflow.errors": "messages only",
    "sbcflow.params": "checks the values; those that matter are in the key themselves",
    "sbcflow.files": "how files are written, not what is in them",
    "sbcflow.locks": "who goes first",
    "sbcflow.provenance": "records of where a fit ran",
    "sbcflow.sweep": "an empty package",
    "sbcflow.sweep.execution": "records of how a fit ran",
    "sbcflow.sweep.key": "makes the key",
    "sbcflow.sweep.layout": "names of files",
    "sbcflow.sweep.plan": "makes the configs; each is in its key",
    "sbcflow.sweep.progress": "a line on the terminal",
    "sbcflow.sweep.sources": "makes the key",
    "sbcflow.syntax": "makes the key",
    "sbcflow.sweep.summary": "how a summary is written, not what is in it",
}


def source_digests(package_dir: Path | None = None) -> Mapping[str, str]:
    """Return a digest of every numeric module of the package in ``package_dir`` (default: this one), by name.

    See ``syntax.digest`` for what each covers.
    """
    return _digests(package_dir or _installed_package())


def numeric_modules(package_dir: Path | None = None) -> dict[str, Path]:
    """Return the modules that the digest covers, by name, with their files.

    Raises:
        FileNotFoundError: a root module is missing, so the digest would not mean what it says.
    """
    folder = package_dir or _installed_package()

    def locate(name: str) -> Path | None:
        return None if name in NOT_NUMERIC else _module_file(name, folder)

    return closure((name for root in ROOTS for name in _with_submodules(root, folder)), locate)


@cache
def _digests(package_dir: Path) -> Mapping[str, str]:
    modules = numeric_modules(package_dir)
    return MappingProxyType({name: digest(path) for name, path in modules.items()})


def _installed_package() -> Path:
    return Path(sbcflow.__path__[0])


def _module_file(name: str, package_dir: Path) -> Path | None:
    top, _, rest = name.partition(".")
    if top != "sbcflow":
        return None
    return module_file(rest, package_dir) if rest else package_dir / "__init__.py"


def _with_submodules(root: str, package_dir: Path) -> Iterator[str]:
    """A root package counts whole: a family or an estimator may be found there by its name."""
    path = _module_file(root, package_dir)
    if path is None:
        raise FileNotFoundError(f"{root}: no such module under {package_dir}")
    yield root
    if path.name == "__init__.py":
        for file in sorted(path.parent.rglob("*.py")):
            parts = file.relative_to(package_dir).with_suffix("").parts
            yield ".".join(("sbcflow", *(part for part in parts if part != "__init__")))

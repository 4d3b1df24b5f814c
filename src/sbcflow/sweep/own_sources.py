"""What a key takes from code of the user's own: its modules, the files it names, the libraries it imports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from types import MappingProxyType

from sbcflow.errors import OwnCodeError, ParamsError
from sbcflow.files import sha256_of
from sbcflow.own.reference import Home, Reference, find
from sbcflow.params import Params, SweepSettings, is_reference
from sbcflow.syntax import closure, digest, imported, module_file


@dataclass(frozen=True)
class OwnSources:
    """Digests of modules and of files, and versions of distributions, each by name."""

    modules: Mapping[str, str]
    files: Mapping[str, str]
    libraries: Mapping[str, str]


NOTHING = OwnSources({}, {}, {})


def own_sources(params: Params, sweep: SweepSettings) -> OwnSources:
    """Return what the user's own code brings to the keys of a sweep; nothing where it uses none.

    The modules are the import closure of those that params.yaml names, within the project's folder, or
    within the installed package that one lies in. What is imported by a name that is only known at run time
    is not seen; ``own.files`` may name it.

    Raises:
        OwnCodeError: a module is missing, is no Python, or lacks the name.
        ParamsError: a file of ``own.files`` is missing or lies outside the project.
    """
    names = tuple(name for name in (sweep.generator_family, params.estimator) if is_reference(name))
    return _sources(names, params.own.files) if names else NOTHING


def check_own_sources(params: Params) -> None:
    """Check that all code of the user's own that params.yaml names is there, without importing it.

    Raises:
        OwnCodeError, ParamsError: as :func:`own_sources`.
    """
    for sweep in params.sweeps().values():
        own_sources(params, sweep)


@cache
def _sources(names: tuple[str, ...], files: tuple[str, ...]) -> OwnSources:
    project = Path.cwd()
    references = [Reference.parse(name) for name in names]
    modules: dict[str, Path] = {}
    for reference in references:
        modules |= own_modules(reference, find(reference))
    return OwnSources(
        MappingProxyType({name: _digest(path) for name, path in sorted(modules.items())}),
        MappingProxyType({name: _file_digest(name, project) for name in sorted(files)}),
        MappingProxyType(_versions(modules)),
    )


def own_modules(reference: Reference, home: Home) -> dict[str, Path]:
    """Return the modules that a reference reaches in its project or its package, by name."""
    top = reference.module.partition(".")[0]

    def locate(name: str) -> Path | None:
        ours = name and (home.in_project or name.partition(".")[0] == top)
        return module_file(name, home.folder) if ours else None

    parts = reference.module.split(".")
    return closure((".".join(parts[:end]) for end in range(1, len(parts) + 1)), locate)


def _digest(path: Path) -> str:
    try:
        return digest(path)
    except SyntaxError as error:
        raise OwnCodeError(f"{path}: is not valid Python: {error.msg} (line {error.lineno})") from None


def _file_digest(name: str, project: Path) -> str:
    path = project / name
    if not path.resolve().is_relative_to(project.resolve()) or not path.is_file():
        raise ParamsError(f"own.files: {name!r} is no file in {project}, the folder of params.yaml")
    return sha256_of(path)


def _versions(modules: Mapping[str, Path]) -> dict[str, str]:
    """The distributions that the modules import from, and their versions."""
    distributions = metadata.packages_distributions()
    tops = {name.partition(".")[0] for name in _all_imports(modules)}
    names = {distribution for top in tops for distribution in distributions.get(top, ())}
    return {name: metadata.version(name) for name in sorted(names) if name != "sbcflow"}


def _all_imports(modules: Mapping[str, Path]) -> Iterable[str]:
    return (target for name, path in modules.items() for target in imported(name, path))

"""A name of code of the user's own, as ``mymodule:build`` in params.yaml: where it lies, and what it gives.

A module is the project's own where it lies in the working folder, that of params.yaml; else it is looked for
among what is installed.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from sbcflow.errors import OwnCodeError, SbcflowError
from sbcflow.syntax import module_file


@dataclass(frozen=True)
class Reference:
    """``name`` in ``module``; its text is ``module:name``."""

    module: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Take apart a reference of params.yaml, whose form is checked there."""
        module, _, name = text.partition(":")
        return cls(module, name)

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"


@dataclass(frozen=True)
class Home:
    """Where a module lies: its ``file``, and the ``folder`` of the search path that it is found in."""

    file: Path
    folder: Path
    in_project: bool


def find(reference: Reference) -> Home:
    """Return where the module of a reference lies, without importing it.

    Raises:
        OwnCodeError: there is no such module, or its syntax is wrong, or nothing in it has the name.
    """
    home = _in_project(reference.module) or _installed(reference.module)
    if home is None:
        raise OwnCodeError(
            f"{reference}: no module {reference.module}: {reference.module.replace('.', '/')}.py is not in "
            f"{Path.cwd()}, where params.yaml has to be, and no such package is installed"
        )
    names = _top_level_names(reference, home.file)
    if names is not None and reference.name not in names:
        raise OwnCodeError(
            f"{reference}: {home.file} defines no {reference.name}; "
            f"it has {', '.join(sorted(names)) or 'nothing'}"
        )
    return home


def load(reference: Reference) -> Callable[..., Any]:
    """Import the module of a reference and return what is named there.

    Raises:
        OwnCodeError: as ``find``; or the import fails, or gives another module of that name, or the name is
            not callable.
    """
    module = sys.modules.get(reference.module) or _import(reference, find(reference))
    found = getattr(module, reference.name, None)
    if not callable(found):
        raise OwnCodeError(f"{reference}: {reference.name} must be a function or a class, got {found!r}")
    return found


@contextmanager
def naming(reference: Reference, call: str) -> Iterator[None]:
    """Turn what a call of the user's code raises into one line that names the reference and the place.

    Raises:
        OwnCodeError: in place of any exception that is not one of ours.
    """
    try:
        yield
    except SbcflowError:
        raise
    except Exception as error:
        raise OwnCodeError(f"{reference}: {call} raised {_told(error)}") from error


def _in_project(module: str) -> Home | None:
    folder = Path.cwd()
    file = module_file(module, folder)
    return Home(file, folder, True) if file else None


def _installed(module: str) -> Home | None:
    top = module.partition(".")[0]
    spec = _spec(top)
    if spec is None:
        return None
    places = spec.submodule_search_locations
    inside = next(iter(places), None) if places is not None else spec.origin
    if inside is None:
        return None
    folder = Path(inside).parent
    file = module_file(module, folder)
    return Home(file, folder, False) if file else None


def _spec(top: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(top)
    except ValueError:  # a module that was made by hand
        return None


def _top_level_names(reference: Reference, file: Path) -> set[str] | None:
    """What a module binds, as far as its syntax tells; None where a star import may bind anything."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        raise OwnCodeError(f"{reference}: {file} is not valid Python: {_told(error)}") from None
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound = {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
            if "*" in bound:
                return None
            names |= bound
    return names


def _import(reference: Reference, home: Home) -> object:
    if str(home.folder) not in sys.path:
        # Last, so that no file of the project takes the place of a library.
        sys.path.append(str(home.folder))
    try:
        module = importlib.import_module(reference.module)
    except Exception as error:
        raise OwnCodeError(f"{reference}: {home.file} cannot be imported: {_told(error)}") from error
    if module.__file__ is None or Path(module.__file__).resolve() != home.file.resolve():
        raise OwnCodeError(
            f"{reference}: another module {reference.module} is installed, at {module.__file__}: "
            f"rename {home.file.name}"
        )
    return module


def _told(error: Exception) -> str:
    """An exception in one line, with the last place in a file that is not ours."""
    text = f"{type(error).__name__}: {' '.join(str(error).split())}"
    frames = traceback.extract_tb(error.__traceback__)
    places = [frame for frame in frames if Path(frame.filename).is_relative_to(Path.cwd())] or frames
    return f"{text} ({Path(places[-1].filename).name}, line {places[-1].lineno})" if places else text

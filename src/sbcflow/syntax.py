"""What Python modules do and import, found from their syntax trees and never by importing them."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

DIGEST_DIGITS = 16

_Tree = str | list["_Tree"]


def closure(roots: Iterable[str], locate: Callable[[str], Path | None]) -> dict[str, Path]:
    """Return the modules that ``roots`` import, however far away, by name and with their files.

    ``locate`` gives the file of a module, or None for one that does not count.
    """
    found: dict[str, Path] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        path = None if name in found else locate(name)
        if path is not None:
            found[name] = path
            waiting.extend(imported(name, path))
    return dict(sorted(found.items()))


def module_file(name: str, folder: Path) -> Path | None:
    """Return the file of a module in the search path's ``folder``, None where there is none."""
    base = folder.joinpath(*name.split("."))
    candidates = (base / "__init__.py", base.with_suffix(".py"))
    return next((path for path in candidates if path.is_file()), None)


def digest(path: Path) -> str:
    """Return the digest of what the module at ``path`` does: the head of a sha256, DIGEST_DIGITS hex digits.

    Python versions agree on it as far as their syntax trees do: fields that a version added (type
    parameters) and ways to write an equal constant are left out, so 3.11 to 3.13 differ only where
    an f-string nests quotes that 3.11 could not parse.
    """
    text = normalised(path.read_text(encoding="utf-8"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_DIGITS]


def normalised(source: str) -> str:
    """Return what ``source`` does as text that comments, docstrings and layout do not change."""
    return json.dumps(_canonical(ast.parse(source)), separators=(",", ":"))


def imported(name: str, path: Path) -> Iterator[str]:
    """Yield every module that ``name`` imports, anywhere in it, and the packages those lie in."""
    is_package = path.name == "__init__.py"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, name, is_package)
            targets = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for target in targets:
            yield from _with_parents(target)


def _absolute(node: ast.ImportFrom, name: str, is_package: bool) -> str:
    if node.level == 0:
        return node.module or ""
    package = name.split(".") if is_package else name.split(".")[:-1]
    kept = package[: len(package) - node.level + 1]
    return ".".join([*kept, *([node.module] if node.module else [])])


def _with_parents(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:end]) for end in range(1, len(parts) + 1))


def _canonical(node: ast.AST) -> _Tree:
    """A syntax tree as nested lists, less positions, docstrings, empty fields and spellings."""
    tree: list[_Tree] = [type(node).__name__]
    for field, value in ast.iter_fields(node):
        if value is None or value == [] or field in ("kind", "type_comment"):
            continue
        documented = field == "body" and isinstance(node, _DOCUMENTED)
        tree.append([field, _canonical_value(_without_docstring(value) if documented else value)])
    return tree


def _canonical_value(value: object) -> _Tree:
    if isinstance(value, ast.AST):
        return _canonical(value)
    if isinstance(value, list):
        return [_canonical_value(item) for item in value]
    return repr(value)


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0]
    documented = (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )
    return body[1:] if documented else body

"""The digests of the source that determines a fit's numbers.

The import closure of the modules that simulate, fit and score is found from their syntax trees,
never by importing; each module counts by what it does, so comments, docstrings and layout are left
out. Whatever the closure reaches counts unless it is named in ``NOT_NUMERIC``: a forgotten entry
costs fits, it never keeps a stale one.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

import sbcflow

DIGEST_DIGITS = 16
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
    "sbcflow.sweep.summary": "how a summary is written, not what is in it",
}

_Tree = str | list["_Tree"]


def source_digests(package_dir: Path | None = None) -> Mapping[str, str]:
    """Return a digest of every numeric module of the package in ``package_dir`` (default: this one), by name.

    Each is the head of a sha256, DIGEST_DIGITS hex digits.

    Python versions agree on it as far as their syntax trees do: fields that a version added (type
    parameters) and ways to write an equal constant are left out, so 3.11 to 3.13 differ only where
    an f-string nests quotes that 3.11 could not parse.
    """
    return _digests(package_dir or _installed_package())


def numeric_modules(package_dir: Path | None = None) -> dict[str, Path]:
    """Return the modules that the digest covers, by name, with their files.

    Raises:
        FileNotFoundError: a root module is missing, so the digest would not mean what it says.
    """
    folder = package_dir or _installed_package()
    found: dict[str, Path] = {}
    waiting = [name for root in ROOTS for name in _with_submodules(root, folder)]
    while waiting:
        name = waiting.pop()
        path = _module_file(name, folder)
        if name in found or path is None or name in NOT_NUMERIC:
            continue
        found[name] = path
        waiting.extend(_imported(name, path))
    return dict(sorted(found.items()))


def normalised(source: str) -> str:
    """Return what ``source`` does as text that comments, docstrings and layout do not change."""
    return json.dumps(_canonical(ast.parse(source)), separators=(",", ":"))


@cache
def _digests(package_dir: Path) -> Mapping[str, str]:
    modules = numeric_modules(package_dir)
    return MappingProxyType({name: _digest(path) for name, path in modules.items()})


def _digest(path: Path) -> str:
    text = normalised(path.read_text(encoding="utf-8"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_DIGITS]


def _installed_package() -> Path:
    return Path(sbcflow.__path__[0])


def _module_file(name: str, package_dir: Path) -> Path | None:
    if name.partition(".")[0] != "sbcflow":
        return None
    base = package_dir.joinpath(*name.split(".")[1:])
    candidates = (base / "__init__.py", base.with_suffix(".py"))
    return next((path for path in candidates if path.is_file()), None)


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


def _imported(name: str, path: Path) -> Iterator[str]:
    """Every module that ``name`` imports, anywhere in it, and the packages those lie in."""
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

"""What the modules of the package import, read from their syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "sbcflow"


def modules_under(*names: str) -> list[str]:
    """Return the modules called ``sbcflow.<name>``, and all within where that is a package."""
    found = []
    for name in names:
        base = PACKAGE / name
        files = sorted(base.rglob("*.py")) if base.is_dir() else [base.with_suffix(".py")]
        assert files and all(file.is_file() for file in files), name
        found += [_module_of(file) for file in files]
    return found


def imports(module: str, *, lazy: bool) -> set[str]:
    """Return what a module imports when it is imported; ``lazy``: or when its functions run."""
    return set(_imports(module, lazy))


def reach(module: str, *, lazy: bool) -> dict[str, str]:
    """Return everything that importing ``module`` imports, each with the module that asks for it."""
    found: dict[str, str] = {}
    waiting = [module]
    while waiting:
        here = waiting.pop()
        for name in imports(here, lazy=lazy) - found.keys():
            found[name] = here
            if _file_of(name) is not None:
                waiting.append(name)
    return found


def libraries(names: dict[str, str]) -> dict[str, str]:
    """Return the top-level packages among ``names``, each with the module that asks for it."""
    return {name.partition(".")[0]: where for name, where in names.items()}


def _module_of(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def _file_of(module: str) -> Path | None:
    base = PACKAGE.parent.joinpath(*module.split("."))
    return next((f for f in (base / "__init__.py", base.with_suffix(".py")) if f.is_file()), None)


@cache
def _imports(module: str, lazy: bool) -> frozenset[str]:
    file = _file_of(module)
    assert file is not None, module
    return frozenset(name for node in _statements(ast.parse(file.read_text()), lazy) for name in _named(node))


def _statements(tree: ast.AST, lazy: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif _never_runs(node) or (isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not lazy):
            continue
        else:
            yield from _statements(node, lazy)


def _never_runs(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _named(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        assert node.level == 0 and node.module, "imports are absolute here"
        within = [f"{node.module}.{alias.name}" for alias in node.names]
        names = [node.module, *(name for name in within if _file_of(name) is not None)]
    for name in names:
        parts = name.split(".")
        yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))

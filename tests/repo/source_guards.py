"""What source code must not do, found in its syntax tree: unpickle, read YAML unsafely, write files in place.

Each finder yields ``Finding``s, so that the tests can show that a bad snippet is found.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from source_imports import PACKAGE, ROOT

PICKLING = (
    "pickle",
    "cPickle",
    "_pickle",
    "dill",
    "joblib",
    "cloudpickle",
    "shelve",
    "marshal",
    "jsonpickle",
)
# Functions that unpickle, whatever module they are taken from.
UNPICKLING = {"read_pickle", "to_pickle", "read_hdf", "Unpickler"}
UNSAFE_YAML = {"load", "load_all", "unsafe_load", "unsafe_load_all", "full_load", "full_load_all"}
UNSAFE_LOADERS = {"Loader", "CLoader", "FullLoader", "CFullLoader", "UnsafeLoader", "CUnsafeLoader"}
SAFE_RUAMEL = {"rt", "safe"}

MODE = re.compile(r"[rwaxbtU+]{1,4}")
WRITING_FLAGS = {"O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND"}
WRITING_METHODS = {"write_text", "write_bytes", "touch", "symlink_to", "hardlink_to", "tofile"}
WRITING_CALLS = {
    *(f"os.{name}" for name in ("replace", "rename", "renames", "link", "symlink", "truncate", "mkfifo")),
    *(f"shutil.{name}" for name in ("copy", "copy2", "copyfile", "copytree", "move", "make_archive")),
    *(f"{np}.{name}" for np in ("np", "numpy") for name in ("save", "savez", "savez_compressed", "savetxt")),
    *("np.memmap", "numpy.memmap", "np.lib.format.open_memmap", "sqlite3.connect"),
    *("logging.basicConfig", "logging.FileHandler", "Live", "dvclive.Live"),
}
# What writes to its first argument, a path or a stream, and to its second.
FORMATS = (
    "csv",
    "parquet",
    "json",
    "excel",
    "feather",
    "hdf",
    "html",
    "latex",
    "markdown",
    "orc",
    "stata",
    "xml",
)
SAVERS = {*(f"to_{name}" for name in FORMATS), "ParquetWriter", "savefig", "ZipFile", "GzipFile"}
SECOND_SAVERS = {"write_table", "write_feather"}


@dataclass(frozen=True)
class Finding:
    """A call or an import that is not allowed: its line and its text."""

    line: int
    what: str


Finder = Callable[[ast.AST], Iterator[Finding]]


def _modules() -> dict[str, ast.Module]:
    """Every module of the package and every script of the workflow, by path within those."""
    within = [(PACKAGE, path) for path in PACKAGE.rglob("*.py")]
    within += [(ROOT, path) for path in (ROOT / "workflow").rglob("*.py")]
    return {path.relative_to(base).as_posix(): ast.parse(path.read_text()) for base, path in within}


MODULES = _modules()


def findings(finder: Finder) -> dict[str, set[str]]:
    found = {name: {finding.what for finding in finder(tree)} for name, tree in MODULES.items()}
    return {name: what for name, what in found.items() if what}


def found_in(finder: Finder, snippet: str) -> list[str]:
    return [finding.what for finding in finder(ast.parse(snippet))]


def unpickling(tree: ast.AST) -> Iterator[Finding]:
    """Find imports of what unpickles, calls that do, and ``allow_pickle`` that is not plainly False."""
    for node in ast.walk(tree):
        for name in _imported(node):
            if not {*name.split(".")}.isdisjoint({*PICKLING, *UNPICKLING}):
                yield Finding(node.lineno, f"import of {name}")  # type: ignore[attr-defined]
        if isinstance(node, ast.Call):
            if _last_name(node) in UNPICKLING or _dynamic_import(node) in PICKLING:
                yield Finding(node.lineno, ast.unparse(node.func))
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle" and not _is(keyword.value, False):
                    yield Finding(node.lineno, f"{ast.unparse(node.func)} with allow_pickle")
        if isinstance(node, ast.Constant) and node.value == "allow_pickle":
            yield Finding(node.lineno, "allow_pickle in a string")


def unsafe_yaml(tree: ast.AST) -> Iterator[Finding]:
    """Find YAML read by anything but PyYAML's safe_load and ruamel's round-trip and safe kinds."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in ("yaml", "ruamel.yaml"):
            bad = {alias.name for alias in node.names} & (UNSAFE_YAML | UNSAFE_LOADERS)
            yield from (Finding(node.lineno, f"{node.module}.{name}") for name in sorted(bad))
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("yaml", "ruamel.yaml"):
            if node.attr in UNSAFE_YAML | UNSAFE_LOADERS:
                yield Finding(node.lineno, ast.unparse(node))
        elif isinstance(node, ast.Call) and _last_name(node) == "YAML":
            kinds = [*node.args[:1], *(k.value for k in node.keywords if k.arg in ("typ", None))]
            if any(not isinstance(kind, ast.Constant) or kind.value not in SAFE_RUAMEL for kind in kinds):
                yield Finding(node.lineno, ast.unparse(node))


def direct_writes(tree: ast.AST) -> Iterator[Finding]:
    """Find calls that write files in place; streams that ``replacing`` gives may be written to."""
    streams = set(_whole_streams(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _writes(node, streams):
            yield Finding(node.lineno, ast.unparse(node.func))


def _writes(call: ast.Call, streams: set[str]) -> bool:
    name, text = _last_name(call), ast.unparse(call.func)
    is_method = isinstance(call.func, ast.Attribute)
    if name in ("open", "fdopen"):
        return _opens_for_writing(call, text)
    if name in SAVERS:
        return _goes_elsewhere(_argument(call, 0, ("path_or_buf", "path", "buf", "fname", "where")), streams)
    if name in SECOND_SAVERS:
        return _goes_elsewhere(_argument(call, 1, ("where", "dest")), streams)
    if is_method and name in WRITING_METHODS:
        return not text.startswith("files.")
    if is_method and name in ("rename", "replace") and not text.startswith("os."):
        # A path's, whose one argument is where it goes; a string's and a table's take other ones.
        return len(call.args) == 1 and not call.keywords
    return text in WRITING_CALLS or (text.startswith("tempfile.") and text != "tempfile.gettempdir")


def _opens_for_writing(call: ast.Call, text: str) -> bool:
    if text == "os.open":
        return any(isinstance(n, ast.Attribute) and n.attr in WRITING_FLAGS for n in ast.walk(call))
    named = [keyword.value for keyword in call.keywords if keyword.arg in ("mode", None)]
    # A method's mode comes first, that of a function second.
    after_path = [] if isinstance(call.func, ast.Attribute) else call.args[1:2]
    constants = [a for a in call.args[:2] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    modes = [*named, *after_path, *(a for a in constants if MODE.fullmatch(str(a.value)))]
    return any(not isinstance(mode, ast.Constant) or set(str(mode.value)) & set("wax+") for mode in modes)


def _goes_elsewhere(target: ast.expr | None, streams: set[str]) -> bool:
    return target is not None and not (isinstance(target, ast.Name) and target.id in streams)


def _whole_streams(tree: ast.AST) -> Iterator[str]:
    """The names that are bound to a stream of ``replacing``, or to text in memory."""
    for node in ast.walk(tree):
        match node:
            case ast.withitem(context_expr=ast.Call() as call, optional_vars=ast.Name(id=name)):
                if _last_name(call) == "replacing":
                    yield name
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call):
                if _last_name(call) in ("StringIO", "BytesIO"):
                    yield name


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _dynamic_import(call: ast.Call) -> str:
    """The top of the module that a call of ``import_module`` or ``__import__`` names."""
    named = call.args and isinstance(call.args[0], ast.Constant) and str(call.args[0].value)
    return str(named).partition(".")[0] if _last_name(call) in ("import_module", "__import__") else ""


def _last_name(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def _argument(call: ast.Call, place: int, names: tuple[str, ...]) -> ast.expr | None:
    named = [keyword.value for keyword in call.keywords if keyword.arg in names]
    return call.args[place] if len(call.args) > place else next(iter(named), None)


def _is(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value

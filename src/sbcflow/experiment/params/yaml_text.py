"""Editing YAML as text: values are written at the places the parser recorded, every other byte stays.

What was written is read again, to prove that it says what was asked for and nothing else has changed.
Only what has no place of its own in the text (a value named by an alias) is dumped afresh, by ruamel.yaml.
"""

from __future__ import annotations

import copy
import io
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any, NamedTuple

import yaml

from sbcflow.experiment.params.yaml_values import Loader, float_token, load_yaml, same, token

Path = tuple[Any, ...]
Nodes = Mapping[tuple[str, ...], yaml.Node | None]
LAYOUTS = ((2, 4, 2), (2, 2, 0), (4, 4, 2), (4, 6, 4), (4, 4, 0))


class _Change(NamedTuple):
    """One place where two trees of values differ; ``old`` is None for a new key."""

    path: Path
    old: Any
    value: Any


class _Edit(NamedTuple):
    """Text to put in the place of ``text[start:end]``."""

    start: int
    end: int
    text: str


class _NoTextualEdit(Exception):  # noqa: N818
    """The text has no place of its own for a change."""


def edit_yaml(text: bytes, before: dict[str, Any], after: dict[str, Any]) -> bytes:
    """Return a YAML text, which reads as ``before``, changed where needed to read as ``after``.

    Raises:
        ValueError: a key is there twice, or no edit leads to ``after``.
    """
    found = list(_differences(before, after, ()))
    for write in (_edited, _dumped):
        with suppress(_NoTextualEdit):
            new = write(text.decode("utf-8"), found)
            if _reads_as(new, after):
                return new
    keys = ", ".join(".".join(map(str, change.path)) for change in found)
    raise ValueError(f"cannot be edited to set {keys} and nothing else; edit it by hand")


def _differences(old: Any, new: Any, path: Path) -> Iterator[_Change]:  # noqa: ANN401
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() <= new.keys():
        for key, value in new.items():
            if key in old:
                yield from _differences(old[key], value, (*path, key))
            else:
                yield _Change((*path, key), None, value)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, value in enumerate(new):
            yield from _differences(old[index], value, (*path, index))
    elif not same(old, new):
        yield _Change(path, old, new)


def _reads_as(text: bytes, values: object) -> bool:
    try:
        return same(load_yaml(text), values)
    except ValueError:
        return False


def _edited(text: str, found: list[_Change]) -> bytes:
    """Return the text with each change made in its place."""
    nodes = _nodes(text)
    edits = sorted((_edit(text, nodes, change) for change in found), key=lambda edit: edit[:2])
    pieces, at = [], 0
    for edit in edits:
        pieces += [text[at : edit.start], edit.text]
        at = edit.end
    return "".join([*pieces, text[at:]]).encode("utf-8")


@lru_cache(maxsize=64)
def _nodes(text: str) -> Nodes:
    """Return the nodes of a YAML text by their path; None is an alias, which has no text of its own.

    Raises:
        ValueError: a key is there twice.
    """
    nodes: dict[tuple[str, ...], yaml.Node | None] = {}
    known: set[int] = set()

    def visit(node: yaml.Node, path: tuple[str, ...]) -> None:
        if path in nodes:
            raise ValueError(f"{'.'.join(path)} is there twice")
        nodes[path] = None if id(node) in known else node
        if id(node) in known:
            return
        known.add(id(node))
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                visit(value, (*path, str(key.value)))
        elif isinstance(node, yaml.SequenceNode):
            for index, value in enumerate(node.value):
                visit(value, (*path, str(index)))

    root = yaml.compose(text, Loader=Loader)
    if root is not None:
        visit(root, ())
    return nodes


def _edit(text: str, nodes: Nodes, change: _Change) -> _Edit:
    path = tuple(map(str, change.path))
    if path not in nodes:
        # A key of the mapping's own, over one that it merged or has not.
        return _added(text, nodes, path, change.value)
    node = nodes[path]
    if node is None:
        raise _NoTextualEdit
    if isinstance(node, yaml.ScalarNode) or _is_flow(node):
        return _replaced(text, node, change.value)
    if change.old and change.value and isinstance(change.old, list) and isinstance(change.value, list):
        return _resized(text, node, change.old, change.value)
    return _collapsed(text, node, change.value)


def _added(text: str, nodes: Nodes, path: tuple[str, ...], value: Any) -> _Edit:  # noqa: ANN401
    """Write a new key below the last one of its mapping, or of the file."""
    node: Any = nodes.get(path[:-1])
    if nodes and not isinstance(node, yaml.MappingNode):
        raise _NoTextualEdit
    if _is_flow(node):
        end = node.end_mark.index - 1
        return _Edit(end, end, f"{', ' if node.value else ''}{token(path[-1])}: {token(value)}")
    column = node.start_mark.column if node else 0
    at = _line_end(text, _end(text, node)) if node else len(text.rstrip())
    lines = "".join(f"{_newline(text)}{line}" for line in _block(path[-1], value, column))
    return _Edit(at, at, lines if text.strip() else f"{lines.lstrip()}{_newline(text)}")


def _replaced(text: str, node: Any, value: Any) -> _Edit:  # noqa: ANN401
    """Write a value over a scalar or a flow collection; a string keeps the quotes it had."""
    start, end = node.start_mark.index, node.end_mark.index
    old = text[start:end]
    if old[:1] in ("&", "!"):
        raise _NoTextualEdit
    quote = old[:1] if old[:1] in ("'", '"') else ""
    is_block = old[:1] in ("|", ">")
    return _Edit(start, _end(text, node) if is_block else end, ("" if old else " ") + token(value, quote))


def _collapsed(text: str, node: Any, value: Any) -> _Edit:  # noqa: ANN401
    """Write a value on the line of its key, over a block collection."""
    start = len(text[: node.start_mark.index].rstrip())
    if text[start - 1 : start] != ":":
        raise _NoTextualEdit
    return _Edit(start, _end(text, node), f" {token(value)}")


def _resized(text: str, node: Any, old: list[Any], new: list[Any]) -> _Edit:  # noqa: ANN401
    """Write a list over a block list; the first items that both have, and the comments on them, stay."""
    kept = sum(1 for _ in itertools.takewhile(lambda pair: same(*pair), zip(old, new, strict=False)))
    start = _line_end(text, _end(text, node.value[kept - 1])) if kept else node.start_mark.index
    end = _line_end(text, _end(text, node))
    head = f"{_newline(text)}{' ' * node.start_mark.column}"
    lines = "".join(f"{head}- {token(item)}" for item in new[kept:])
    return _Edit(start, end, lines if kept else lines.lstrip())


def _is_flow(node: Any) -> bool:  # noqa: ANN401
    return isinstance(node, yaml.CollectionNode) and bool(node.flow_style)


def _end(text: str, node: Any) -> int:  # noqa: ANN401
    """Return where a node's last value ends; a block's own end mark lies beyond the comments below it."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        node = node.value[-1]
        node = node[-1] if isinstance(node, tuple) else node
    return len(text[: node.end_mark.index].rstrip())


def _line_end(text: str, at: int) -> int:
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    return end - 1 if text[at:end].endswith("\r") else end


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _block(key: str, value: Any, column: int) -> Iterator[str]:  # noqa: ANN401
    """Yield the lines of a key and its value."""
    head = f"{' ' * column}{token(key)}:"
    if isinstance(value, dict) and value:
        yield head
        for name, item in value.items():
            yield from _block(name, item, column + 2)
    else:
        yield f"{head} {token(value)}"


def _dumped(text: str, found: list[_Change]) -> bytes:
    """Return the text with the changes made by ruamel.yaml's round trip, in the layout that fits it best."""
    tree = _round_trip(text)
    for change in found:
        holder = tree
        for part in change.path[:-1]:
            if getattr(holder[part], "anchor", None) and holder[part].anchor.value:
                # Its aliases keep the values they had.
                holder[part] = copy.deepcopy(holder[part])
                holder[part].yaml_set_anchor(None)
            holder = holder[part]
        holder[change.path[-1]] = change.value
    return _dump(tree, *_layout(text)).replace("\n", _newline(text)).encode("utf-8")


def _round_trip(text: str) -> Any:  # noqa: ANN401
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    editor = YAML()
    editor.preserve_quotes = True
    try:
        return editor.load(text)
    except YAMLError as error:
        raise ValueError(f"not valid YAML: {' '.join(str(error).split())}") from None


@lru_cache(maxsize=16)
def _layout(text: str) -> tuple[tuple[int, int, int], str]:
    """Return the indents and the word for null that give the text back unchanged, or the usual ones."""
    tree, plain = _round_trip(text), text.replace("\r\n", "\n")
    layouts = list(itertools.product(LAYOUTS, ("null", "", "~")))
    return next((layout for layout in layouts if _dump(tree, *layout) == plain), layouts[0])


def _dump(tree: Any, indent: tuple[int, int, int], null: str) -> str:  # noqa: ANN401
    from ruamel.yaml import YAML
    from ruamel.yaml.representer import RoundTripRepresenter

    class Representer(RoundTripRepresenter):
        """Writes new values as both YAML versions read them."""

    def add(kind: type, tag: str, write: Callable[[Any], str]) -> None:
        full = f"tag:yaml.org,2002:{tag}"
        Representer.add_representer(kind, lambda self, value: self.represent_scalar(full, write(value)))

    add(float, "float", float_token)
    add(type(None), "null", lambda _: null)
    editor = YAML()
    editor.Representer = Representer
    editor.width = 4096
    editor.indent(mapping=indent[0], sequence=indent[1], offset=indent[2])
    stream = io.StringIO()
    editor.dump(tree, stream)
    return stream.getvalue()

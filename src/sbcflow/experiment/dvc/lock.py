"""A dvc.lock that claims only what was really done.

An entry of dvc.lock says: this command, with these params and deps, made these outs. ``dvc exp save``
rewrites it for whatever lies in the worktree; here it is rewritten where an experiment made those outs, and
says what it said before where it did not.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import Any

from sbcflow.errors import ArtifactError, ParamsError
from sbcflow.experiment.dvc.project import DEFAULT_PARAMS, TEMPLATE, Project, Stage, join
from sbcflow.experiment.params.overrides import lookup, read_values
from sbcflow.experiment.params.yaml_values import dump_yaml, load_yaml, same

Item = dict[str, Any]
Entry = dict[str, Any]
Read = Callable[[str], bytes | None]
REPEATED = re.compile(r"(item|key)(\..*|\[.*)?")


@dataclass(frozen=True)
class Produced:
    """An out as the experiment made it; a folder's ``md5`` ends in ".dir" and it has ``nfiles``.

    ``isexec`` is true of a file that anyone may execute; of one that Git keeps too, as DVC writes it.
    """

    md5: str
    size: int
    nfiles: int | None = None
    isexec: bool = False

    def item(self, path: str) -> Item:
        """Return the out as dvc.lock writes it."""
        item: Item = {"path": path, "hash": "md5", "md5": self.md5, "size": self.size}
        if self.nfiles is not None:
            item["nfiles"] = self.nfiles
        return {**item, "isexec": True} if self.isexec else item


def truthful_lock(
    lock: bytes | None,
    project: Project,
    read: Read,
    changed: Collection[str],
    produced: Mapping[str, Produced],
) -> bytes | None:
    """Return the dvc.lock of an experiment's commit, None for no file.

    Each entry of ``lock`` (its words are resolved, so templated stages count too) is

    - kept as it is, if it is untouched: its params and its command are those of the tree, none of its deps
      and outs has other content than it says;
    - rewritten, if all outs of its stage are in ``produced``, or if only outs have changed and those are:
      with the tree's params, the real hashes of deps that can be read, and those of the outs made;
    - kept as it is otherwise: it still says from what its outs were made, and with ``dvc status`` everybody
      sees that params or deps have moved on. What a stage below has made of those outs is then unknown, and
      its entry cannot be rewritten either. But one with metrics or plots that DVC's cache holds, and this
      experiment did not make, is dropped: they would be shown as this experiment's.

    A plain stage without an entry gets one if all its outs are in ``produced`` and all its deps are known.
    Hashes of DVC 2 (line ends folded) are kept and not rewritten. Folders of Git's as deps are taken on trust
    unless ``changed`` names a file in them. If no entry changes, ``lock`` itself is returned.

    Args:
        lock: the baseline's dvc.lock.
        project: the dvc.yaml beside it, as the experiment has it.
        read: gives a file of the experiment's tree by its path from the DVC root, None if there is none.
        changed: paths whose content is not the baseline's.
        produced: the outs that this experiment made, by path.

    Raises:
        ArtifactError: ``lock`` is no dvc.lock.
    """
    source = join(project.folder, "dvc.lock")
    document = _document(lock, source) if lock else {}
    before: dict[str, Entry] = document.get("stages") or {}
    assembly = _Assembly(read, changed, produced, join(project.folder, DEFAULT_PARAMS))
    stages = {stage.name: stage for stage in project.stages}
    shapes = _shapes(before, stages)
    decided = {name: assembly.decide(before.get(name), shapes[name]) for name in _order(shapes)}
    names = [*before, *(name for name in shapes if name not in before)]
    after = {name: entry for name in names if (entry := decided[name]) is not None}
    if same(before, after):
        return lock
    others = {key: value for key, value in document.items() if key not in ("schema", "stages")}
    return dump_yaml({"schema": "2.0", **others, "stages": after}) if after or others else None


def is_sound(lock: bytes) -> bool:
    """Say whether a dvc.lock is whole, as far as can be seen: DVC writes it in place, bit by bit."""
    try:
        return bool(_document(lock, "dvc.lock").get("stages"))
    except ArtifactError:
        return False


@dataclass(frozen=True)
class _Shape:
    """Inputs and outs of one stage, paths relative to the DVC root; ``names`` are those of its lock entry."""

    stage: Stage | None
    folder: str
    cmd: Any
    deps: tuple[str, ...]
    params: dict[str, tuple[str, ...]]
    outs: tuple[str, ...]
    names: Mapping[str, str]

    def written(self, path: str) -> str:
        """Return a path as dvc.lock has it, relative to the folder in which the stage runs."""
        if path in self.names or "://" in path or path.startswith("/"):
            return self.names.get(path, path)
        return posixpath.relpath(path, self.folder or ".")


@lru_cache(maxsize=64)
def _document(lock: bytes, source: str) -> dict[str, Any]:
    """Return the cached contents of a dvc.lock, which nobody may change."""
    try:
        document = load_yaml(lock) or {}
    except ValueError as error:
        raise ArtifactError(f"{source}: {error}") from None
    if not _is_lock(document):
        raise ArtifactError(f"{source}: not a dvc.lock of schema 2.0")
    return document


def _is_lock(document: Any) -> bool:  # noqa: ANN401
    if not isinstance(document, dict) or str(document.get("schema", "2.0")) != "2.0":
        return False
    stages = document.get("stages") or {}
    return isinstance(stages, dict) and all(map(_is_entry, stages.values()))


def _is_entry(entry: Any) -> bool:  # noqa: ANN401
    if not isinstance(entry, dict) or not isinstance(entry.get("cmd"), str | list):
        return False
    items = [*(entry.get("deps") or ()), *(entry.get("outs") or ())]
    params = entry.get("params") or {}
    return (
        all(isinstance(item, dict) and isinstance(item.get("path"), str) for item in items)
        and isinstance(params, dict)
        and all(isinstance(values, dict) for values in params.values())
    )


def _shapes(before: dict[str, Entry], stages: dict[str, Stage]) -> dict[str, _Shape]:
    """Return the stages that have an entry or could get one, by name."""
    shapes = {}
    for name, entry in before.items():
        stage = stages.get(name) or stages.get(name.partition("@")[0])
        plain = stage is not None and not stage.templated
        shapes[name] = _declared(stage, entry) if stage and plain else _locked(stage, entry)
    for name, stage in stages.items():
        if name not in before and not stage.templated:
            shapes[name] = _declared(stage, {})
    return shapes


def _locked(stage: Stage | None, entry: Entry) -> _Shape:
    folder = (stage.folder if stage else "") or ""
    names = _names(entry, folder)
    params = {join(folder, file): tuple(values) for file, values in (entry.get("params") or {}).items()}
    deps, outs = _paths(entry, "deps", folder), _paths(entry, "outs", folder)
    return _Shape(stage, folder, entry["cmd"], deps, params, outs, names)


def _declared(stage: Stage, entry: Entry) -> _Shape:
    folder = stage.folder or ""
    params: dict[str, tuple[str, ...]] = {}
    for file, key in stage.params:
        params[file] = (*params.get(file, ()), *(() if key is None else (key,)))
    cmd = list(stage.cmd) if isinstance(stage.cmd, tuple) else stage.cmd
    outs = tuple(out.path for out in stage.outs)
    return _Shape(stage, folder, cmd, stage.deps, params, outs, _names(entry, folder))


def _paths(entry: Entry, section: str, folder: str) -> tuple[str, ...]:
    return tuple(join(folder, item["path"]) for item in entry.get(section) or ())


def _names(entry: Entry, folder: str) -> dict[str, str]:
    items = [*(entry.get("deps") or ()), *(entry.get("outs") or ())]
    names = [*(item["path"] for item in items), *(entry.get("params") or ())]
    return {join(folder, name): name for name in names}


def _order(shapes: dict[str, _Shape]) -> list[str]:
    """Return the stages' names, each after those whose outs it reads."""
    makers = [(out, name) for name, shape in shapes.items() for out in shape.outs]
    graph = {
        name: {maker for dep in shape.deps for out, maker in makers if maker != name and _related(out, dep)}
        for name, shape in shapes.items()
    }
    try:
        return list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        raise ArtifactError(f"dvc.yaml: stages depend on each other: {' -> '.join(error.args[1])}") from None


def _related(one: str, other: str) -> bool:
    """Say whether two paths are the same or one lies under the other."""
    return one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")


class _Assembly:
    """Decides one entry after another; knows the outs of those decided and the paths that moved."""

    def __init__(
        self, read: Read, changed: Collection[str], produced: Mapping[str, Produced], params_file: str
    ) -> None:
        self._read = read
        self._produced = produced
        self._moved = {*changed, *produced}
        self._made: dict[str, Item] = {}
        self._params_file = params_file
        self._files: dict[str, dict[str, Any] | None] = {}

    def decide(self, entry: Entry | None, shape: _Shape) -> Entry | None:
        """Return the entry to keep or write for a stage, None to have none."""
        vouched = self._new(shape) if entry is None else self._revised(entry, shape)
        folder = shape.folder
        made = {join(folder, item["path"]): item for item in (vouched or {}).get("outs", ())}
        was = {join(folder, item["path"]): item for item in (entry or {}).get("outs") or ()}
        self._made.update(made)
        self._moved.update(path for path in {**was, **made} if _hash(made.get(path)) != _hash(was.get(path)))
        if vouched is None and entry is not None and not self._shows_others(shape):
            return entry
        return vouched

    def _shows_others(self, shape: _Shape) -> bool:
        """Say whether a stage has metrics or plots in DVC's cache that this experiment did not make."""
        outs = shape.stage.outs if shape.stage is not None else ()
        return any(out.kind != "out" and out.cache and out.path not in self._produced for out in outs)

    def _new(self, shape: _Shape) -> Entry | None:
        return self._written(shape, {}) if shape.outs and self._all_made(shape) else None

    def _revised(self, entry: Entry, shape: _Shape) -> Entry | None:
        """Return an entry that this experiment vouches for, None if it cannot."""
        inputs = self._inputs_changed(entry, shape)
        outs = [item for item in entry.get("outs") or () if self._out_changed(item, shape.folder)]
        if not inputs and not outs:
            return entry
        if shape.stage is None or shape.stage.folder is None or _is_legacy(entry):
            return None
        if shape.stage.templated and self._command_changed(entry["cmd"], shape):
            # Only DVC could tell what the command is now.
            return None
        if inputs:
            return self._written(shape, entry) if shape.outs and self._all_made(shape) else None
        if not all(join(shape.folder, item["path"]) in self._produced for item in outs):
            return None
        return {**entry, "outs": [self._out(item, shape.folder) for item in entry["outs"]]}

    def _all_made(self, shape: _Shape) -> bool:
        return all(path in self._produced for path in shape.outs)

    def _out(self, item: Item, folder: str) -> Item:
        made = self._produced.get(join(folder, item["path"]))
        return made.item(item["path"]) if made is not None and self._out_changed(item, folder) else item

    def _out_changed(self, item: Item, folder: str) -> bool:
        path = join(folder, item["path"])
        made = self._produced.get(path)
        if made is not None and made.isexec != bool(item.get("isexec")):
            return True
        return self._is_moved(path) and _hash(self._content(path)) != _hash(item)

    def _inputs_changed(self, entry: Entry, shape: _Shape) -> bool:
        if self._command_changed(entry["cmd"], shape):
            return True
        deps = [item for item in entry.get("deps") or () if self._dep_changed(item, shape.folder)]
        params = (entry.get("params") or {}).items()
        return bool(deps) or any(self._params_changed(join(shape.folder, f), v) for f, v in params)

    def _dep_changed(self, item: Item, folder: str) -> bool:
        path = join(folder, item["path"])
        return self._is_moved(path) and _hash(self._content(path)) != _hash(item)

    def _params_changed(self, file: str, locked: Mapping[str, Any]) -> bool:
        values = self._values(file)
        if values is None:
            return self._is_moved(file)
        return any(not same(_value(values, key), value) for key, value in locked.items())

    def _command_changed(self, locked: Any, shape: _Shape) -> bool:  # noqa: ANN401
        """Compare with dvc.yaml; parts of a template whose value is unknown may be anything."""
        if shape.stage is None:
            return False
        declared = shape.stage.cmd if isinstance(shape.stage.cmd, tuple) else (shape.stage.cmd,)
        lines = locked if isinstance(locked, list) else [locked]
        if len(lines) != len(declared) or (isinstance(locked, list) != isinstance(shape.stage.cmd, tuple)):
            return True
        if not shape.stage.templated:
            return list(declared) != lines
        return not all(map(self._fits, declared, lines))

    def _fits(self, template: str, line: str) -> bool:
        values = self._values(self._params_file) or {}
        # Odd pieces are the keys.
        pieces = enumerate(TEMPLATE.split(template))
        form = [_filled(p, values) if n % 2 else re.escape(p.replace("\\${", "${")) for n, p in pieces]
        return re.fullmatch("".join(form), line, re.DOTALL) is not None

    def _written(self, shape: _Shape, entry: Entry) -> Entry | None:
        """Return an entry for outs that were all made, or None if an input is unknown."""
        old = {join(shape.folder, item["path"]): item for item in entry.get("deps") or ()}
        deps = [self._dep(path, shape.written(path), old.get(path)) for path in shape.deps]
        params = self._params(shape, entry)
        if params is None or not all(deps):
            return None
        outs = [self._produced[path].item(shape.written(path)) for path in shape.outs]
        found = {"deps": _sorted(filter(None, deps)), "params": params, "outs": _sorted(outs)}
        return {"cmd": shape.cmd, **{section: items for section, items in found.items() if items}}

    def _dep(self, path: str, name: str, old: Item | None) -> Item | None:
        found = self._content(path)
        if found is None:
            return None if old is None or self._is_moved(path) else old
        if old is not None and _hash(found) == _hash(old):
            return old
        # Of a file that only the tree has, nothing but its bytes was read.
        is_made = path in self._produced or path in self._made
        flags = {"isexec": True} if old and old.get("isexec") and not is_made else {}
        return {**found, "path": name, **flags}

    def _params(self, shape: _Shape, entry: Entry) -> dict[str, dict[str, Any]] | None:
        """Return the tree's values as dvc.lock orders them, None if one cannot be had."""
        result = {}
        names = {shape.written(file): file for file in shape.params}
        for name in sorted(names, key=lambda name: (name != DEFAULT_PARAMS, name)):
            file, keys = names[name], shape.params[names[name]]
            values = self._values(file)
            old = (entry.get("params") or {}).get(name)
            if values is None and old is not None and not self._is_moved(file):
                result[name] = old
                continue
            if values is None or any(_value(values, key) is _MISSING for key in keys):
                return None
            result[name] = {key: _value(values, key) for key in sorted(keys or values)}
        return result

    def _values(self, file: str) -> dict[str, Any] | None:
        if file not in self._files:
            text = self._read(file)
            with suppress(ParamsError):
                self._files[file] = None if text is None else read_values(text, source=file)
        return self._files.setdefault(file, None)

    def _is_moved(self, path: str) -> bool:
        return path in self._moved or any(_related(path, other) for other in self._moved)

    def _content(self, path: str) -> Item | None:
        """Return what is known of a path's real content: made here, made by a stage above, or in the tree."""
        if path in self._produced:
            return self._produced[path].item(path)
        text = self._read(path)
        if text is None:
            return self._made.get(path)
        digest = hashlib.md5(text, usedforsecurity=False).hexdigest()
        return Produced(digest, len(text)).item(path)


class _Missing:
    """No value, which null is."""


_MISSING = _Missing()


def _value(values: Mapping[str, Any], key: str) -> Any:  # noqa: ANN401
    try:
        return lookup(values, key)
    except (KeyError, ParamsError):
        return _MISSING


def _filled(key: str, values: Mapping[str, Any]) -> str:
    """Return a pattern for what DVC puts in the place of ``${key}``."""
    value = None if REPEATED.fullmatch(key.strip()) else _value(values, key.strip())
    if isinstance(value, bool):
        return "true" if value else "false"
    return re.escape(str(value)) if isinstance(value, str | int | float) else ".*"


def _hash(item: Item | None) -> tuple[Any, Any] | None:
    return (item.get("hash"), item.get("md5")) if item else None


def _is_legacy(entry: Entry) -> bool:
    """Say whether an entry has a hash of DVC 2, which folded line ends and named no algorithm."""
    items = [*(entry.get("deps") or ()), *(entry.get("outs") or ())]
    return any("md5" in item and "hash" not in item for item in items)


def _sorted(items: Iterable[Item]) -> list[Item]:
    return sorted(items, key=lambda item: str(item["path"]))

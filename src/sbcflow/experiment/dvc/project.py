"""What a dvc.yaml declares: stages, their inputs and outs, and the files that hold metrics and params.

Templates (``${...}``, foreach, matrix) are not evaluated: such a stage is marked, and its words are kept
as they stand.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sbcflow.errors import ArtifactError
from sbcflow.experiment.params.yaml_values import load_yaml

DVC_YAML = "dvc.yaml"
DEFAULT_PARAMS = "params.yaml"
# A backslash makes it the shell's own.
TEMPLATE = re.compile(r"(?<!\\)\$\{(.*?)\}")
OUT_KINDS = {"outs": "out", "metrics": "metric", "plots": "plot"}


@dataclass(frozen=True)
class Out:
    """An out of a stage; ``kind`` is "out", "metric" or "plot", ``cache`` is false for files kept in Git."""

    path: str
    kind: str = "out"
    cache: bool = True


@dataclass(frozen=True)
class Stage:
    """One stage; every path is POSIX and relative to the DVC root.

    ``params`` are pairs of a file and a key, None for the whole file; ``folder`` is where the stage runs.
    Of a ``templated`` stage a word may hold ``${...}``; a template in its wdir makes ``folder`` None, and
    then it has no paths.
    """

    name: str
    cmd: str | tuple[str, ...]
    folder: str | None = ""
    deps: tuple[str, ...] = ()
    params: tuple[tuple[str, str | None], ...] = ()
    outs: tuple[Out, ...] = ()
    templated: bool = False


@dataclass(frozen=True)
class Project:
    """What one dvc.yaml declares; ``metrics``, ``params`` and ``plots`` are its top-level files."""

    folder: str = ""
    stages: tuple[Stage, ...] = ()
    metrics: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    plots: tuple[str, ...] = ()

    def out_paths(self) -> frozenset[str]:
        """Return the paths of all stages' outs, metrics and plots; templated ones are left out."""
        return frozenset(_plain(tuple(out.path for stage in self.stages for out in stage.outs)))


@lru_cache(maxsize=64)
def read_project(text: bytes, folder: str = "") -> Project:
    """Read a dvc.yaml that lies in ``folder``, a POSIX path relative to the DVC root.

    Raises:
        ArtifactError: the text is no YAML, or does not have the form of a dvc.yaml.
    """
    source = join(folder, DVC_YAML)
    try:
        values = load_yaml(text) or {}
        if not isinstance(values, dict):
            raise ValueError("must be a mapping")
        stages = _mapping(values, "stages").items()
        return Project(
            folder=join(folder, "."),
            stages=tuple(_stage(str(name), stage, folder) for name, stage in stages),
            metrics=tuple(join(folder, _word(path)) for path in _list(values, "metrics")),
            params=tuple(join(folder, _word(path)) for path in _list(values, "params")),
            plots=tuple(dict.fromkeys(join(folder, path) for path in _plots(values))),
        )
    except ValueError as error:
        raise ArtifactError(f"{source}: {error}") from None


def metrics_files(project: Project) -> tuple[str, ...]:
    """Return the metrics files of a project: top-level ones first; templated paths are left out."""
    of_stages = (out.path for stage in project.stages for out in stage.outs if out.kind == "metric")
    return _plain((*project.metrics, *of_stages))


def params_files(project: Project) -> tuple[str, ...]:
    """Return the params files of a project, params.yaml first where a stage or a template reads it."""
    of_stages = [file for stage in project.stages for file, _ in stage.params]
    default = join(project.folder, DEFAULT_PARAMS)
    is_read = default in (*of_stages, *project.params) or any(stage.templated for stage in project.stages)
    return _plain((*((default,) if is_read else ()), *project.params, *of_stages))


def git_metrics_file(project: Project) -> str | None:
    """Return the JSON metrics file that Git keeps, where exactly one is declared."""
    of_stages = [out.path for stage in project.stages for out in stage.outs if _is_git_metric(out)]
    found = [path for path in _plain((*project.metrics, *of_stages)) if path.endswith(".json")]
    return found[0] if len(found) == 1 else None


def join(folder: str, path: str) -> str:
    """Return a path of ``folder`` relative to the DVC root ("" is the root); URLs and "/..." stay."""
    if "://" in path:
        return path
    joined = posixpath.normpath(posixpath.join(folder, path))
    return "" if joined == "." else joined


def is_template(word: str) -> bool:
    """Say whether DVC would fill in a part of a word."""
    return bool(TEMPLATE.search(word))


def _is_git_metric(out: Out) -> bool:
    return out.kind == "metric" and not out.cache


def _plain(paths: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(path for path in paths if not is_template(path)))


def _stage(name: str, stage: Any, folder: str) -> Stage:  # noqa: ANN401
    repeated = isinstance(stage, dict) and ("foreach" in stage or "matrix" in stage)
    body = stage.get("do") if isinstance(stage, dict) and "foreach" in stage else stage
    if not isinstance(body, dict):
        raise ValueError(f"stage {name}: must be a mapping")
    try:
        wdir = join(folder, _word(body.get("wdir", ".")))
        words = {key: value for key, value in body.items() if key not in ("desc", "meta")}
        templated = repeated or any(map(is_template, _words(words)))
        if is_template(wdir):
            return Stage(name, _command(body, templated=True), None, templated=True)
        return Stage(
            name=name,
            cmd=_command(body, templated),
            folder=wdir,
            deps=tuple(join(wdir, _word(path)) for path in _list(body, "deps")),
            params=tuple((join(wdir, file), key) for file, key in _params(body)),
            outs=tuple(_outs(body, wdir)),
            templated=templated,
        )
    except ValueError as error:
        raise ValueError(f"stage {name}: {error}") from None


def _command(body: dict[str, Any], templated: bool) -> str | tuple[str, ...]:
    """Return the command as dvc.lock has it; of a templated stage, as it stands."""
    cmd = body.get("cmd")
    lines = [_word(line) for line in (cmd if isinstance(cmd, list) else [cmd])]
    if not all(line.strip() for line in lines) or not lines:
        raise ValueError("cmd must be a command or a list of commands")
    lines = lines if templated else [line.replace("\\${", "${") for line in lines]
    return tuple(lines) if isinstance(cmd, list) else lines[0]


def _outs(body: dict[str, Any], wdir: str) -> Iterator[Out]:
    for section, kind in OUT_KINDS.items():
        for entry in _list(body, section):
            for path, flags in _named(entry, section):
                cached = flags.get("cache", True) if isinstance(flags, dict) else True
                yield Out(join(wdir, path), kind, bool(cached))


def _params(body: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
    """Yield file and key; a file that is tracked whole is yielded once, as DVC does."""
    entries = _list(body, "params")
    named = [pair for entry in entries if not isinstance(entry, str) for pair in _named(entry, "params")]
    whole = dict.fromkeys(file for file, keys in named if not keys)
    pairs = [(DEFAULT_PARAMS, entry) for entry in entries if isinstance(entry, str)]
    for file, keys in named:
        if keys and not isinstance(keys, list):
            raise ValueError(f"params: {file}: must be a list of keys")
        pairs += [(file, _word(key)) for key in keys or ()]
    yield from dict.fromkeys(pair for pair in pairs if pair[0] not in whole)
    yield from ((file, None) for file in whole)


def _plots(values: dict[str, Any]) -> Iterator[str]:
    plots = values.get("plots") or []
    entries = plots if isinstance(plots, list) else [{name: props} for name, props in plots.items()]
    for entry in entries:
        for name, props in [(entry, None)] if isinstance(entry, str) else _named(entry, "plots"):
            axes = [props.get(axis) for axis in ("x", "y")] if isinstance(props, dict) else []
            files = [_word(file) for axis in axes if isinstance(axis, dict) for file in axis]
            yield from files or [name]


def _named(entry: Any, section: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401
    """Yield the path and the flags of an entry, a path alone or a mapping by path."""
    if isinstance(entry, str):
        yield entry, None
    elif isinstance(entry, dict):
        yield from ((_word(path), flags) for path, flags in entry.items())
    else:
        raise ValueError(f"{section}: {entry!r:.80} is no path")


def _mapping(values: dict[str, Any], key: str) -> dict[Any, Any]:
    found = values.get(key) or {}
    if not isinstance(found, dict):
        raise ValueError(f"{key} must be a mapping")
    return found


def _list(values: dict[str, Any], key: str) -> list[Any]:
    found = values.get(key) or []
    if not isinstance(found, list):
        raise ValueError(f"{key} must be a list")
    return found


def _word(value: Any) -> str:  # noqa: ANN401
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.80} must be a string")
    return value


def _words(value: Any) -> Iterator[str]:  # noqa: ANN401
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _words(key)
            yield from _words(item)
    elif isinstance(value, list):
        for item in value:
            yield from _words(item)

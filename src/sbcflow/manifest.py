"""The manifest of a run: built, sealed, checked on every write and read, and the checksums it carries.

The seal, ``pytyche.sbcflow.seal``, is of the file and not of what the manifest says: ``write`` adds it,
``read`` checks it and takes it off, so that what is read back is what was written.

Contract: docs/specs/experiment-manifest-schema.json, which the package holds a copy of. What passes
here passes pytyche 0.2.1's ``validate_manifest`` too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sbcflow.errors import ArtifactError
from sbcflow.files import json_bytes, read_json, sha256_of, write_bytes
from sbcflow.provenance import GitState, parse_experiment_id

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

SCHEMA_VERSION = 1
SCHEMA_FILE = "experiment-manifest-schema.json"
MANIFEST_FILE = "manifest.json"
SEAL = "seal"
OWN = "sbcflow"
SEAL_PLACE = f"pytyche.{OWN}.{SEAL}"
SHOWN = 80

RunKind = Literal["sweep", "corrections", "evaluation", "analysis", "audit"]
Manifest = dict[str, Any]


def build(
    *,
    experiment_id: str,
    timestamp: datetime,
    git: GitState,
    env: Mapping[str, str],
    params: Mapping[str, object],
    data_provenance: Mapping[str, object],
    capabilities: Mapping[str, Mapping[str, object]],
) -> Manifest:
    """Return a checked manifest, in the plain form that ``read`` returns (lists for tuples).

    ``capabilities`` becomes the reserved key ``pytyche``: one object a capability, ``calibration`` on
    sweeps and ``sbcflow`` (``capability``) on every run.

    Raises:
        ArtifactError: a value is not allowed, or has no form in JSON.
    """
    if timestamp.tzinfo is None:
        raise ValueError("timestamp needs a time zone")
    manifest = _plain(
        {
            "manifest_schema_version": SCHEMA_VERSION,
            "experiment_id": experiment_id,
            "timestamp_utc": timestamp.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "git": dict(git),
            "env": dict(env),
            "params": dict(params),
            "data_provenance": dict(data_provenance),
            "pytyche": {name: dict(content) for name, content in capabilities.items()},
        }
    )
    check(manifest)
    return manifest


def capability(run_kind: RunKind, root: Path | str, **more: object) -> dict[str, object]:
    """Return ``pytyche.sbcflow`` of a run folder whose other files are all written."""
    return {"run_kind": run_kind, "files": file_checksums(root), **more}


def check(manifest: Any) -> None:  # noqa: ANN401
    """Check a manifest against the schema, and that its times exist.

    Raises:
        ArtifactError: naming the place in the manifest and what is allowed there.
    """
    errors = list(_validator().iter_errors(manifest))
    if errors:
        raise ArtifactError(_explain(_most_telling(errors)))
    parse_experiment_id(manifest["experiment_id"])
    try:
        datetime.fromisoformat(manifest["timestamp_utc"])
    except ValueError as error:
        raise ArtifactError(f"timestamp_utc: {manifest['timestamp_utc']!r}: {error}") from None


def write(path: Path | str, manifest: Manifest) -> None:
    """Check a manifest, seal it and write it, whole or not at all.

    Raises:
        ArtifactError: naming the file, the place in the manifest and what is allowed there.
    """
    with _naming(path):
        check(manifest)
        content = _file_bytes(manifest)
    write_bytes(path, content)


def read(path: Path | str) -> Manifest:
    """Read a manifest and check it, its seal included where it has one; return it without the seal.

    Raises:
        ArtifactError: the file is missing, is not JSON, is no valid manifest or was altered.
    """
    document: Manifest = read_json(path)
    with _naming(path):
        check(document)
        found = document["pytyche"].get(OWN, {}).get(SEAL)
        if found is not None and found != seal(document):
            raise ArtifactError(f"was altered after it was written: its {SEAL_PLACE} does not match")
    return _unsealed(document)


def is_intact(path: Path | str, manifest: Manifest) -> bool:
    """Return whether a file is, to the byte, what ``write`` makes of ``manifest``: sealed, not respelled.

    Raises:
        ArtifactError: the file is missing or cannot be read.
    """
    return sha256_of(path) == hashlib.sha256(_file_bytes(manifest)).hexdigest()


def seal(manifest: Manifest) -> str:
    """Return the SHA-256 of what a manifest says, its seal aside: of sorted JSON without white space.

    Raises:
        ArtifactError: a value has no form in JSON.
    """
    try:
        text = json.dumps(_unsealed(manifest), sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"a value has no form in JSON: {error}") from None
    return hashlib.sha256(text.encode()).hexdigest()


def check_files(root: Path | str, *names: str) -> None:
    """Check that files of a run are as its manifest lists them; call before they are used.

    Raises:
        ArtifactError: the manifest or a file is missing or altered, or a file is not listed.
    """
    folder = Path(root)
    listed = read(folder / MANIFEST_FILE)["pytyche"].get(OWN, {}).get("files", {})
    for name in names:
        if name not in listed or sha256_of(folder / name) != listed[name]:
            raise ArtifactError(
                f"{folder / name}: is not what {MANIFEST_FILE} lists; make the run again, or restore it"
            )


def relist(root: Path | str, *names: str) -> None:
    """List files of a run that were written after its manifest; all else that it says stays.

    Raises:
        ArtifactError: the manifest or a file is missing.
    """
    folder = Path(root)
    path, manifest = folder / MANIFEST_FILE, read(folder / MANIFEST_FILE)
    own = manifest["pytyche"].setdefault(OWN, {})
    files = {**own.get("files", {}), **{name: sha256_of(folder / name) for name in names}}
    if files != own.get("files"):
        own["files"] = dict(sorted(files.items()))
        write(path, manifest)


def file_checksums(root: Path | str) -> dict[str, str]:
    """Return the SHA-256 of every file of a run folder by relative name, ``manifest.json`` aside.

    Hidden files and folders (leftovers of a killed writer, Snakemake's marks) are no part of a run.
    """
    folder = Path(root)
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    own = {name.as_posix(): path for name, path in found.items() if not _is_hidden(name)}
    own.pop(MANIFEST_FILE, None)
    return {name: sha256_of(own[name]) for name in sorted(own)}


@cache
def schema() -> dict[str, Any]:
    """Return the schema document."""
    text = resources.files("sbcflow").joinpath("schemas", SCHEMA_FILE).read_text(encoding="utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


@cache
def _validator() -> Validator:
    from jsonschema import Draft202012Validator, validators

    # JSON Schema takes 1.0 for an integer; pytyche's validator does not.
    strict = Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    extend: Callable[..., Callable[..., Validator]] = validators.extend
    return extend(Draft202012Validator, type_checker=strict)(schema())


def _plain(manifest: Manifest) -> Manifest:
    try:
        plain: Manifest = json.loads(json.dumps(manifest, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"manifest: a value has no form in JSON: {error}") from None
    return plain


def _file_bytes(manifest: Manifest) -> bytes:
    own = {**manifest["pytyche"].get(OWN, {}), SEAL: seal(manifest)}
    return json_bytes({**manifest, "pytyche": {**manifest["pytyche"], OWN: own}})


def _unsealed(manifest: Manifest) -> Manifest:
    pytyche = dict(manifest["pytyche"])
    own = {name: value for name, value in pytyche.pop(OWN, {}).items() if name != SEAL}
    return {**manifest, "pytyche": {**pytyche, **({OWN: own} if own else {})}}


def _is_hidden(name: Path) -> bool:
    return any(part.startswith(".") for part in name.parts)


def _most_telling(errors: Iterable[ValidationError]) -> ValidationError:
    """An unknown key explains the missing one it was meant to be, so it goes first at its depth."""
    return min(
        errors,
        key=lambda e: (len(e.absolute_path), e.validator != "additionalProperties", e.json_path),
    )


def _explain(error: ValidationError) -> str:
    place = error.json_path.removeprefix("$").removeprefix(".") or "manifest"
    schema_here, value = error.schema, error.instance
    assert isinstance(schema_here, Mapping)
    if error.validator == "required" and isinstance(value, Mapping):
        missing = [name for name in schema_here["required"] if name not in value]
        return f"{place}: is missing {', '.join(missing)} (required: {', '.join(schema_here['required'])})"
    if error.validator == "additionalProperties" and isinstance(value, Mapping):
        allowed = schema_here["properties"]
        unknown = [name for name in value if name not in allowed]
        return f"{place}: unknown key {', '.join(unknown)} (allowed: {', '.join(allowed)})"
    if error.validator == "oneOf":
        branch = _intended_branch(error)
        if branch:
            return _explain(_most_telling(branch))
    return f"{place}: must be {schema_here['description']}; got {_shown(value)}"


def _intended_branch(error: ValidationError) -> list[ValidationError]:
    """Return the errors of the branch of a union whose ``kind`` the value has, or none."""
    context = error.context or []
    for branch in {e.schema_path[0] for e in context}:
        errors = [e for e in context if e.schema_path[0] == branch]
        at_kind = any(list(e.path) == ["kind"] for e in errors)
        if isinstance(error.instance, Mapping) and "kind" in error.instance and not at_kind:
            return errors
    return []


def _shown(value: object) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


@contextmanager
def _naming(path: Path | str) -> Iterator[None]:
    """Put a file's name before the message of an ``ArtifactError``."""
    try:
        yield
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from None

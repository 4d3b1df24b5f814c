"""Reading the JSON files of corrections."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from sbcflow.errors import ArtifactError

T = TypeVar("T")


def parsed(path: Path, parse: Callable[[Mapping[str, Any]], T]) -> T:
    """Return what ``parse`` makes of a file's JSON object.

    Raises:
        ArtifactError: the file is missing, is no JSON object, or ``parse`` refuses it; a line that names it.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, Mapping):
            raise ArtifactError("must hold a JSON object")
        return parse(values)
    except (FileNotFoundError, NotADirectoryError):
        raise ArtifactError(f"{path}: no such file; a correction's folder holds it") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path}: not valid JSON: {error}") from None
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from None

"""Tables of a run as frames: text stays text, flags are booleans, empty fields of numbers are NaN."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pandas as pd

from sbcflow.errors import ArtifactError


def read_table(path: Path, text: Collection[str], flags: Collection[str] = ()) -> pd.DataFrame:
    """Read a csv: the columns ``text`` as they stand, an arm called NA included; ``flags`` as booleans.

    The others are numbers, or what pandas takes them for; an empty field there is NaN. Flags that are
    empty somewhere have pandas' ``boolean`` and NA.

    Raises:
        ArtifactError: the file cannot be read as a table, or lacks one of those columns.
    """
    try:
        header = list(pd.read_csv(path, nrows=0).columns)
        if missing := [name for name in (*text, *flags) if name not in header]:
            raise ArtifactError(f"{path}: is missing the columns {', '.join(missing)}")
        table = pd.read_csv(
            path,
            dtype={**dict.fromkeys(text, "str"), **dict.fromkeys(flags, "boolean")},
            keep_default_na=False,
            na_values={name: [""] for name in header if name not in text},
        )
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path}: cannot be read as a table: {' '.join(str(error).split())}") from None
    whole = {name: "bool" for name in flags if table[name].notna().all()}
    return table.astype(whole)

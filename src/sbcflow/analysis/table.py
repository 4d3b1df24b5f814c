"""Data files as they come: their column names, and the columns that an analysis asks for."""

from __future__ import annotations

import difflib
import re
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from pyarrow import ArrowException, parquet

from sbcflow.errors import DataError

CSV_ENDINGS = (".csv", ".csv.gz")
PARQUET_ENDING = ".parquet"
# Not pandas' own list: "None" is a fair name for an arm without treatment.
MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL")
INDEX_OF_PANDAS = re.compile(r"__index_level_\d+__")


def column_names(path: Path) -> tuple[str, ...]:
    """Return the names of a data file's columns, in its order.

    Raises:
        DataError: the file is missing, empty, of another kind or damaged, or names a column twice.
    """
    _check_kind(path)
    with _naming_damage(path):
        names = _parquet_names(path) if _is_parquet(path) else _csv_names(path)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: column {twice[0]}: stands twice in the header; each name must stand once")
    return tuple(names)


def read_columns(
    path: Path, names: Iterable[str], *, text: str, complete: Iterable[str] = ()
) -> pd.DataFrame:
    """Return the columns ``names`` of a data file; ``text`` is the one to read as it is written.

    Raises:
        DataError: the file is damaged, has no row, or misses a value in one of the columns ``complete``.
    """
    wanted = list(names)
    with _naming_damage(path):
        table = _read_parquet(path, wanted) if _is_parquet(path) else _read_csv(path, wanted, text)
    if table.empty:
        raise DataError(f"{path}: has no row; an analysis needs one a visitor")
    for name in complete:
        missing = table[name].isna().to_numpy()
        if missing.any():
            raise DataError(
                f"{path}: column {name}: {int(missing.sum())} of {len(table)} values are missing, the first "
                f"in row {int(missing.argmax()) + 1}; every visitor must have one "
                f"(missing: empty, {', '.join(MISSING[1:])})"
            )
    return table


def require_columns(path: Path, names: Iterable[str], available: tuple[str, ...]) -> None:
    """Check that every one of ``names`` is a column.

    Raises:
        DataError: naming the first that is not, and columns of a like name.
    """
    for name in names:
        if name not in available:
            near = difflib.get_close_matches(name, available, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise DataError(f"{path}: no column {name!r}{hint} (columns: {', '.join(available)})")


def _check_kind(path: Path) -> None:
    if not path.name.lower().endswith((*CSV_ENDINGS, PARQUET_ENDING)):
        raise DataError(f"{path}: must end in {', '.join(CSV_ENDINGS)} or {PARQUET_ENDING}")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: is empty; must hold a header and a row a visitor")


def _is_parquet(path: Path) -> bool:
    return path.name.lower().endswith(PARQUET_ENDING)


def _csv_names(path: Path) -> list[str]:
    header = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False)
    return [str(name) for name in header.iloc[0]]


def _parquet_names(path: Path) -> list[str]:
    return [name for name in parquet.read_schema(path).names if not INDEX_OF_PANDAS.fullmatch(name)]


def _read_csv(path: Path, names: list[str], text: str) -> pd.DataFrame:
    with warnings.catch_warnings():
        # pandas only warns of rows that are longer than the header, and drops what is over.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        return pd.read_csv(
            path,
            index_col=False,
            dtype={text: str},
            keep_default_na=False,
            na_values=list(MISSING),
            low_memory=False,
        )[names]


def _read_parquet(path: Path, names: list[str]) -> pd.DataFrame:
    table: pd.DataFrame = parquet.read_table(path, columns=names).to_pandas(ignore_metadata=True)
    return table[names]


@contextmanager
def _naming_damage(path: Path) -> Iterator[None]:
    """Turn what a damaged file makes its readers raise into one line that names the file."""
    try:
        yield
    except pd.errors.EmptyDataError:
        raise DataError(f"{path}: is empty; must hold a header and a row a visitor") from None
    except (ArrowException, ValueError, OSError, EOFError, zlib.error, pd.errors.ParserWarning) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path}: cannot be read, truncated or no such kind of file: {reason}") from None

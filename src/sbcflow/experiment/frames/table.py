"""Frames of experiments, straight from the references: all of them, the best one, two compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sbcflow.errors import ExperimentError, ExperimentNameError, RepositoryError
from sbcflow.experiment.frames.find import find
from sbcflow.experiment.frames.rows import METRICS_PREFIX, Cells, Reader, Row
from sbcflow.experiment.frames.where import Where, is_missing, select, shown
from sbcflow.experiment.git.store import Store
from sbcflow.experiment.params.yaml_values import same

if TYPE_CHECKING:
    import pandas as pd

LARGEST_EXACT = 2**53


def experiments(
    repo: Path | str = ".", baseline: str | None = None, where: Where = None, *, unsaved: bool = False
) -> pd.DataFrame:
    """Return the experiments of a repository, the oldest first; their names are the index.

    Commits tell whole seconds: of one second, those that sbcflow did not make come first, the others as they
    began.

    Columns: ``baseline``, ``sha``, ``parent`` (the parent of the last commit), ``state`` (Active for a
    checkpoint), ``failed`` (None, or why), ``time`` (of the commit, UTC), ``author``, then each ``params.*``
    and ``metrics.*`` as first seen (``sbcflow.experiment.frames.rows`` says how they are named). A value that
    an experiment does not have is missing (NaN).

    Args:
        repo: a folder in the repository.
        baseline: a revision; only experiments that start from it.
        where: which of them: see ``sbcflow.experiment.frames.where.select``.
        unsaved: those without any commit yet, too; of them only name, baseline, state and failure are known.

    Raises:
        RepositoryError: there is no repository, or no such baseline.
        ExperimentError: ``where`` names an unknown column, or makes no sense.
    """
    return select(to_frame(read_rows(Store(repo), baseline, unsaved=unsaved)), where)


def best(
    metric: str,
    mode: str = "max",
    repo: Path | str = ".",
    baseline: str | None = None,
    where: Where = None,
) -> pd.Series[Any]:
    """Return the row of the experiment with the largest (``mode="max"``) or smallest ("min") metric.

    Its ``name`` is the experiment's. NaN never wins, nor does a failed experiment; of equals, the oldest
    does.

    Raises:
        RepositoryError: there is no repository, or no such baseline.
        ExperimentError: no experiment has the metric, or ``mode`` is another.
    """
    return best_row(experiments(repo, baseline, where), metric, mode)


def compare(a: str, b: str, repo: Path | str = ".") -> pd.DataFrame:
    """Return the params and metrics in which two experiments differ, one a row.

    Columns: what ``a`` has, what ``b`` has, ``difference`` (b - a, of numbers).

    Args:
        a: the name of an experiment (as ``find`` takes it), or else a revision, as ``HEAD``.
        b: likewise.
        repo: a folder in the repository.

    Raises:
        ExperimentNameError: one is neither, or several experiments have the name.
    """
    store = Store(repo)
    return differences((a, b), (read_cells(store, a), read_cells(store, b)))


def read_rows(store: Store, baseline: str | None = None, *, unsaved: bool = False) -> list[Row]:
    """Return the experiments of a repository, of the baseline that a revision names or of all."""
    sha = None if baseline is None else str(store.commit(baseline).id)
    return Reader(store).rows(sha, unsaved=unsaved)


def read_cells(store: Store, name: str) -> Cells:
    """Return params and metrics of an experiment, or of a revision where no experiment has the name."""
    reader = Reader(store)
    try:
        row = reader.row(*find(store, name))
    except ExperimentNameError as unknown:
        try:
            commit = store.commit(name)
        except RepositoryError:
            raise unknown from None
        params, metrics = reader.cells(commit)
        return {**params, **metrics}
    return {**row.params, **row.metrics}


def to_frame(rows: Sequence[Row], repos: Sequence[str] | None = None) -> pd.DataFrame:
    """Return rows as a frame; ``repos`` adds a first column."""
    import pandas as pd

    seconds = pd.Series([row.time for row in rows], dtype="Int64")
    columns: dict[str, Any] = {} if repos is None else {"repo": _words(repos)}
    columns |= {
        "baseline": _words([row.ref.baseline for row in rows]),
        "sha": _words([row.sha for row in rows]),
        "parent": _words([row.parent for row in rows]),
        "state": _words([str(row.state) for row in rows]),
        "failed": _words([row.failed for row in rows]),
        "time": pd.to_datetime(seconds, unit="s", utc=True).array,
        "author": _words([row.author for row in rows]),
    }
    for cells in ([row.params for row in rows], [row.metrics for row in rows]):
        found = dict.fromkeys(name for row in cells for name in row)
        columns |= {name: _values([row.get(name) for row in cells]) for name in found}
    names = pd.Index([row.ref.name for row in rows], name="name", dtype=object)
    return pd.DataFrame(columns).set_axis(names, axis="index")


def best_row(frame: pd.DataFrame, metric: str, mode: str) -> pd.Series[Any]:
    """Return the row of a frame that has the best value of a metric.

    Raises:
        ExperimentError: none has the metric, or ``mode`` is neither max nor min.
    """
    import pandas as pd

    if mode not in ("max", "min"):
        raise ExperimentError(f"mode: max or min, got {mode!r}")
    metrics = {
        column.removeprefix(METRICS_PREFIX): column
        for column in frame.columns
        if column.startswith(METRICS_PREFIX)
    }
    column = metrics.get(metric) or metrics.get(metric.removeprefix(METRICS_PREFIX))
    if column is None:
        raise ExperimentError(f"no experiment has the metric {metric!r}; metrics: {shown(metrics)}")
    values = pd.to_numeric(frame[column], errors="coerce").astype(float).reset_index(drop=True)
    values = values[frame["failed"].isna().to_numpy()].dropna()
    if values.empty:
        raise ExperimentError(f"no experiment that did not fail has {metric!r}; metrics: {shown(metrics)}")
    ranked = values.sort_values(ascending=mode == "min", kind="stable")
    row: pd.Series[Any] = frame.iloc[int(ranked.index.to_numpy()[0])]
    return row


def differences(labels: tuple[str, str], cells: tuple[Cells, Cells]) -> pd.DataFrame:
    """Return the cells in which two differ, under their labels, with b - a where both are numbers."""
    import pandas as pd

    a, b = cells
    # Both lists of names start with the params.
    names = sorted(dict.fromkeys((*a, *b)), key=lambda name: name.startswith(METRICS_PREFIX))
    pairs = {name: (a.get(name), b.get(name)) for name in names}
    pairs = {name: pair for name, pair in pairs.items() if not _equal(*pair)}
    index = pd.Index(pairs, name="name", dtype=object)
    columns = [
        _words([pair[0] for pair in pairs.values()]),
        _words([pair[1] for pair in pairs.values()]),
        pd.array([_difference(*pair) for pair in pairs.values()], dtype=float),
    ]
    frame = pd.DataFrame(dict(enumerate(columns))).set_axis([*labels, "difference"], axis="columns")
    return frame.set_axis(index, axis="index")


def _equal(one: Any, other: Any) -> bool:  # noqa: ANN401
    if _is_number(one) and _is_number(other):
        return bool(one == other or (is_missing(one) and is_missing(other)))
    return same(one, other)


def _difference(one: Any, other: Any) -> float:  # noqa: ANN401
    return float(other - one) if _is_number(one) and _is_number(other) else float("nan")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _words(values: Iterable[object]) -> Any:  # noqa: ANN401
    """Return a column in which None stays None, in every version of pandas."""
    import pandas as pd

    return pd.Series(list(values), dtype=object)


def _values(values: list[Any]) -> Any:  # noqa: ANN401
    """Return a column of params or metrics, with the type that pandas finds in it."""
    large = any(type(value) is int and abs(value) > LARGEST_EXACT for value in values)
    # Where one is missing pandas makes all integers floats, which would change a large seed.
    return _words(values) if large and not all(type(value) is int for value in values) else values

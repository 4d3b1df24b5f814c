"""Experiments of several repositories at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sbcflow.errors import ExperimentError, ExperimentNameError
from sbcflow.experiment.frames.find import named, nearest
from sbcflow.experiment.frames.rows import Cells
from sbcflow.experiment.frames.table import best_row, differences, read_cells, read_rows, to_frame
from sbcflow.experiment.frames.where import Where, select
from sbcflow.experiment.git.store import Store

if TYPE_CHECKING:
    import pandas as pd

HTML_ROWS = 60
Name = str | tuple[Path | str, str]


class Experiments:
    """The experiments of several repositories; each use reads them anew.

    ``len`` counts them; iterating yields their rows, as ``frame`` has them.
    """

    def __init__(self, repos: Iterable[Path | str]) -> None:
        """Open the repositories that the paths lie in.

        Raises:
            RepositoryError: a path lies in none.
            ExperimentError: there is no path, or two lead to the same repository.
        """
        paths = [repos] if isinstance(repos, Path | str) else list(repos)
        self._stores: dict[str, Store] = {}
        folders: dict[Path, str] = {}
        for path in map(str, paths):
            store = Store(path)
            if store.common_dir in folders:
                raise ExperimentError(f"{path}: the same repository as {folders[store.common_dir]}")
            folders[store.common_dir] = path
            self._stores[path] = store
        if not paths:
            raise ExperimentError("Experiments: needs at least one repository")

    def frame(self, baseline: str | None = None, where: Where = None) -> pd.DataFrame:
        """Return what ``sbcflow.experiment.frames.table.experiments`` does, with a column ``repo`` in front.

        ``repo`` is the path as it was given; ``baseline`` is a revision in each repository; ``where``
        chooses among all.

        Raises:
            RepositoryError: a repository has no such baseline.
            ExperimentError: ``where`` names an unknown column, or makes no sense.
        """
        pairs = [(path, row) for path, store in self._stores.items() for row in read_rows(store, baseline)]
        return select(to_frame([row for _, row in pairs], [path for path, _ in pairs]), where)

    def best(
        self, metric: str, mode: str = "max", baseline: str | None = None, where: Where = None
    ) -> pd.Series[Any]:
        """Return the row with the best value of a metric, as ``sbcflow.experiment.frames.table.best`` does.

        Raises:
            RepositoryError: a repository has no such baseline.
            ExperimentError: no experiment has the metric, or ``mode`` is neither max nor min.
        """
        return best_row(self.frame(baseline, where), metric, mode)

    def compare(self, a: Name, b: Name) -> pd.DataFrame:
        """Return the params and metrics in which two experiments differ.

        Each is a name that one repository has, or a pair of repository and name (or revision). The columns
        are named likewise, ``<repository>:<name>`` where a pair was given.

        Raises:
            ExperimentNameError: there is no such experiment, or several have the name.
        """
        return differences((_label(a), _label(b)), (self._cells(a), self._cells(b)))

    def __len__(self) -> int:
        """Return how many experiments there are."""
        return sum(len(store.experiment_refs()) for store in self._stores.values())

    def __iter__(self) -> Iterator[pd.Series[Any]]:
        """Yield the row of each experiment."""
        for _, row in self.frame().iterrows():
            yield row

    def __repr__(self) -> str:
        return f"Experiments([{', '.join(map(repr, self._stores))}])"

    def _repr_html_(self) -> str:
        """Return a table for a notebook."""
        import pandas as pd

        with pd.option_context("display.max_colwidth", None):
            return self.frame().to_html(max_rows=HTML_ROWS, show_dimensions=True, notebook=True)

    def _cells(self, name: Name) -> Cells:
        path, plain = (self._holder(name), name) if isinstance(name, str) else (str(name[0]), name[1])
        if path not in self._stores:
            raise ExperimentError(f"{path}: not among the repositories: {', '.join(self._stores)}")
        try:
            return read_cells(self._stores[path], plain)
        except ExperimentNameError as error:
            raise ExperimentNameError(f"{path}: {error}") from None

    def _holder(self, name: str) -> str:
        """Return the one repository that has an experiment of a name."""
        every = {path: store.experiment_refs() for path, store in self._stores.items()}
        found = [path for path, pairs in every.items() if named(pairs, name)]
        if len(found) > 1:
            pairs = ", ".join(f"({path!r}, {name!r})" for path in found)
            raise ExperimentNameError(f"several repositories have an experiment {name!r}: choose {pairs}")
        if not found:
            names = [ref.name for pairs in every.values() for ref, _ in pairs]
            raise ExperimentNameError(
                f"no experiment {name!r} in {', '.join(self._stores)}{nearest(name, names)}"
            )
        return found[0]


def _label(name: Name) -> str:
    return name if isinstance(name, str) else f"{name[0]}:{name[1]}"

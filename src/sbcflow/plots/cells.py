"""Coverage cell by cell, of a conditional scorecard."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sbcflow.plots.rows import coverage_rows


def plot_cells(
    table: pd.DataFrame,
    dimension: str = "estimated_size",
    target: str = "visitor",
    level: float = 0.9,
    axes: Axes | None = None,
) -> Figure:
    """Draw the raw and the corrected coverage of each cell of a dimension at one level, with 95% intervals.

    ``table`` holds rows of conditional.csv; ``target`` is visitor, ate or segment. In brackets the number of
    fits that have effects there.

    Raises:
        ValueError: the table has no such cells.
    """
    of_target = table[(table["target"] == target) & (table["dimension"] == dimension)]
    rows = of_target[np.isclose(of_target["level"], level)]
    if rows.empty:
        raise ValueError(f"the table has no cells of {target!r} by {dimension!r} at the level {level:g}")
    n_fits = rows.drop_duplicates("cell").set_index("cell")["n_fits"]
    labels = {str(name): f"{str(name).replace('_', ' ')} ({n})" for name, n in n_fits.items()}
    return coverage_rows(rows, "cell", labels, level, axes)

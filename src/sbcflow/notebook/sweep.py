"""A sweep in a notebook: its table, the draws of its fits, and how often they held the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sbcflow.calibration.bootstrap import interval_over_fits
from sbcflow.calibration.fit import CONVERGED_COLUMN, converged_fits
from sbcflow.errors import ArtifactError
from sbcflow.files import read_npz
from sbcflow.levels import LEVELS, coverage_column
from sbcflow.notebook.run import Run
from sbcflow.notebook.tables import read_table
from sbcflow.params import is_reference
from sbcflow.scoring import rank_of
from sbcflow.sweep.layout import AGGREGATE, CONFIGS, DRAWS

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sbcflow.data import IntArray

TEXT = ("config_id", "generator_family", "template")
FLAGS = (CONVERGED_COLUMN, "diagnostics.escalated")
RANKS = "ranks."
N_BOOTSTRAP, SEED = 2000, 0


@dataclass(frozen=True, eq=False, repr=False)
class Sweep(Run):
    """A sweep: ``table`` is its aggregate.csv, a row a fit."""

    table: pd.DataFrame

    @classmethod
    def of(cls, run: Run) -> Sweep:
        """Read the table of a sweep.

        Raises:
            ArtifactError: it is missing, damaged or altered.
        """
        return cls(run.path, run.manifest, read_table(run.file(AGGREGATE), TEXT, FLAGS))

    @property
    def configs(self) -> tuple[str, ...]:
        """The ids of the configs, in the order of the table."""
        return tuple(self.table["config_id"])

    @property
    def keeps_draws(self) -> bool:
        """Whether the draws of the fits were kept (``save_samples``)."""
        return bool(self.about("calibration")["save_samples"])

    @property
    def n_draws(self) -> int:
        """The number of draws of each fit.

        Raises:
            ArtifactError: the estimator is the user's own, and the sweep kept no draws to tell.
        """
        if is_reference(self.params.get("estimator", "")):
            first = self.configs[0]
            self._check_draws([first])
            return int(read_npz(self.path / _draws_file(first))["draws"].shape[1])
        n_draws: int = self.params["inference"]["n_draws"]
        return n_draws

    @property
    def coverage(self) -> pd.DataFrame:
        """Raw coverage at each level over the converged fits, with its 95% interval over fits.

        The columns are those of a scorecard: level, coverage, coverage_lower, coverage_upper, ...

        Raises:
            ArtifactError: no fit converged.
        """
        per_fit = converged_fits(self.table)[[coverage_column(level) for level in LEVELS]].to_numpy()
        lower, upper = interval_over_fits(per_fit, N_BOOTSTRAP, SEED)
        ends = {"coverage": per_fit.mean(axis=0), "coverage_lower": lower, "coverage_upper": upper}
        of_all = {"group_kind": "all", "group": "all", "n_fits": len(per_fit), "method": "raw"}
        return pd.DataFrame({**of_all, "level": LEVELS, **ends})

    def draws(self, config: str | int) -> xr.DataTree:
        """Return the draws of one fit as ArviZ takes them, by the config's id or its place in the table.

        Group ``posterior``: ``cate`` (chain=1, draw, point) float32, in revenue per visitor. Group
        ``constant_data``: ``truth`` (point), ``arm`` (point), ``covariates`` (point, feature).

        Raises:
            ArtifactError: there is no such config, the sweep kept no draws, or they were altered.
        """
        return self.datatree([config]).children[self._config_id(config)].copy()

    def datatree(self, configs: Sequence[str | int] | None = None) -> xr.DataTree:
        """Return the draws of several fits, of all where None: a tree with a node a config, as ``draws``.

        All of it is in memory: 4 bytes a draw and point, 4 MB a fit of the pilot.

        Raises:
            ArtifactError: as ``draws``.
        """
        import xarray as xr

        from sbcflow.notebook.draws import tree_of

        chosen = self.configs if configs is None else [self._config_id(config) for config in configs]
        self._check_draws(chosen)
        trees = {
            name: tree_of(read_npz(self.path / _draws_file(name)), self._described(name)) for name in chosen
        }
        return xr.DataTree.from_dict(
            {f"{name}/{group}": part for name, tree in trees.items() for group, part in tree.items()},
            name=self.path.name,
        )

    def ranks(self, effect: str = "cate_0") -> IntArray:
        """Return the rank of the truth of one effect among its draws, (n_converged_fits,), a rank a fit.

        ``effect`` is the name of a column ``ranks.<effect>``. Ranks are uniform on 0..``n_draws`` where
        the model is that which simulated the data: in sweeps of the family ``prior``.

        Raises:
            ArtifactError: the sweep ranked no such effect.
        """
        column = f"{RANKS}{effect}"
        if column not in self.table:
            known = [name.removeprefix(RANKS) for name in map(str, self.table) if name.startswith(RANKS)]
            raise ArtifactError(
                f"{self.path / AGGREGATE}: no column {column}; ranked were {', '.join(known) or 'none'}"
            )
        return converged_fits(self.table)[column].to_numpy(dtype=np.int32)

    def point_ranks(self, point: int = 0) -> IntArray:
        """Return the rank of the truth at one test point among its draws, (n_converged_fits,), a rank a fit.

        Raises:
            ArtifactError: there is no such point, the sweep kept no draws, or they were altered.
        """
        chosen = list(converged_fits(self.table)["config_id"])
        self._check_draws(chosen)
        ranks = [self._point_rank(name, point) for name in chosen]
        return np.array(ranks, dtype=np.int32)

    def plot_coverage(self, axes: Axes | None = None) -> Figure:
        """Draw raw coverage against nominal level, over the converged fits."""
        from sbcflow import plots

        return plots.plot_coverage(self.coverage, axes)

    def plot_coverage_error(self, axes: Axes | None = None) -> Figure:
        """Draw raw coverage less nominal level, level by level."""
        from sbcflow import plots

        return plots.plot_coverage_error(self.coverage, axes)

    def plot_ranks(self, effect: str = "cate_0", axes: Axes | None = None) -> Figure:
        """Draw whether the ranks of one effect are uniform over the fits (3 or more)."""
        from sbcflow import plots

        return plots.plot_ranks(self.ranks(effect), self.n_draws, axes, f"rank of {effect}, scaled")

    def plot_pit(self, point: int = 0, axes: Axes | None = None) -> Figure:
        """Draw whether the PIT values of one test point are uniform over the fits (3 or more)."""
        from sbcflow import plots
        from sbcflow.plots.uniformity import pit_of_ranks

        pit = pit_of_ranks(self.point_ranks(point), self.n_draws)
        return plots.plot_pit(pit, axes, f"PIT value of test point {point}")

    def plot_against(self, x: str, y: str, axes: Axes | None = None) -> Figure:
        """Draw a point a fit: one column of the table against another, or short names of ``plots``."""
        from sbcflow import plots

        return plots.plot_against(self.table, x, y, axes)

    def plot_times(self, axes: Axes | None = None) -> Figure:
        """Draw how long each fit took."""
        from sbcflow import plots

        return plots.plot_times(self.table, axes)

    def facts(self) -> Mapping[str, object]:
        about = self.about("calibration")
        n_converged = int(self.table[CONVERGED_COLUMN].sum())
        return {
            "kind": about["sweep_kind"],
            "family": about["generator_family"],
            "fits": f"{len(self.table)}, {n_converged} converged",
            "visitors": ", ".join(f"{scale:,}" for scale in about["scales"]),
            "draws": "kept" if self.keeps_draws else "not kept",
        }

    def _config_id(self, config: str | int) -> str:
        known = self.configs
        if isinstance(config, int | np.integer) and 0 <= config < len(known):
            return known[config]
        if config in known:
            return str(config)
        raise ArtifactError(
            f"{self.path}: no config {config!r}; there are 0 to {len(known) - 1}, {known[0]} to {known[-1]}"
        )

    def _check_draws(self, config_ids: Sequence[str]) -> None:
        if not self.keeps_draws:
            raise ArtifactError(
                f"{self.path}: this sweep kept no draws; to keep them, set save_samples in params.yaml"
            )
        self.file(*map(_draws_file, config_ids))

    def _point_rank(self, config_id: str, point: int) -> int:
        path = self.path / _draws_file(config_id)
        samples = read_npz(path)
        n_points = len(samples["truth"])
        if not 0 <= point < n_points:
            raise ArtifactError(f"{path}: no test point {point}; there are 0 to {n_points - 1}")
        return int(rank_of(samples["truth"][point], samples["draws"][point]))

    def _described(self, config_id: str) -> dict[str, object]:
        row = self.table.iloc[self.configs.index(config_id)]
        return {
            "run": self.path.name,
            "config_id": config_id,
            "template": row["template"],
            "n_visitors": int(row["n_visitors"]),
            "converged": int(row[CONVERGED_COLUMN]),
        }


def _draws_file(config_id: str) -> str:
    return f"{CONFIGS}/{config_id}/{DRAWS}"

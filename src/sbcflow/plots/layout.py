"""The layout of a figure: everything in it lies on its paper, however it is saved."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

EDGE_INCHES = 0.08


class WholeLayout(ConstrainedLayoutEngine):
    """Matplotlib's constrained layout, with room at the edges and labels of axes that stay on the paper.

    Constrained layout leaves the length of an axis' label out of account, so a label longer than its
    axis may run off the paper. It is moved along its axis here, just so far that it does not.
    """

    def __init__(self) -> None:
        super().__init__(w_pad=EDGE_INCHES, h_pad=EDGE_INCHES)

    def execute(self, fig: Figure) -> None:
        """Lay the figure out."""
        super().execute(fig)
        for axes in fig.axes:
            _pull_in(axes, axes.xaxis, fig)
            _pull_in(axes, axes.yaxis, fig)


def _pull_in(axes: Axes, axis: XAxis | YAxis, figure: Figure) -> None:
    """Move an axis' label from the middle of its axis by as much as it reaches over the paper's edges."""
    along = 0 if isinstance(axis, XAxis) else 1
    place = [*axis.label.get_position()]
    place[along] = 0.5
    axis.label.set_position((place[0], place[1]))
    if not axis.label.get_text():
        return
    extent, edge = axis.label.get_window_extent(), EDGE_INCHES * figure.dpi
    low, high = extent.min[along], extent.max[along]
    over = max(edge - low, 0.0) - max(high - (figure.bbox.max[along] - edge), 0.0)
    place[along] += over / axes.bbox.size[along]
    axis.label.set_position((place[0], place[1]))

"""Figure of a function of one number and its derivatives: a pure function of the numbers."""

from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import UsageError
from .axes import TICK, TITLE, drawable, line_style
from .figure import Figure


def derivative_figure(
    name: str, points: Sequence[float], panels: Mapping[str, Sequence[float]]
) -> Figure:
    """Draw a function of one number and its derivatives, one panel below the other.

    Args:
        name: of the function, for the title.
        points: where it was evaluated, in any order.
        panels: name of each panel to its value at each of the points, such as `first_derivative`.

    Returns:
        A figure 800 pixels wide and 260 high for each panel. Values that are not finite are gaps.

    Raises:
        UsageError: there is no panel, or one has not a value for each point.
    """
    wrong = [panel for panel, values in panels.items() if len(values) != len(points)]
    if wrong or not panels:
        raise UsageError(f"Give one value for each of {len(points)} points in each panel: {wrong}")
    order = np.argsort(np.asarray(points, dtype=np.float64), kind="stable")
    places = np.asarray(points, dtype=np.float64)[order]
    height = len(panels) * 2.6
    figure = Figure(figsize=(8, height), dpi=100, layout="constrained")
    rows = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for index, (axes, (panel, values)) in enumerate(zip(rows, panels.items(), strict=True)):
        drawn = drawable(values)[order]
        axes.plot(
            places, drawn, **{**line_style(index, drawn.size), "linestyle": "-"}, linewidth=1.6
        )
        gaps = int(np.isnan(drawn).sum())
        label = panel.replace("_", " ") + (f"\n({gaps} not finite)" if gaps else "")
        axes.set_ylabel(label, fontsize=TICK)
        axes.tick_params(labelsize=TICK)
        axes.grid(visible=True, color="0.9")
        axes.set_axisbelow(True)
    rows[0].set_title(f"{name} and its derivatives", fontsize=TITLE)
    rows[-1].set_xlabel("point", fontsize=TICK)
    figure.align_ylabels()
    return figure

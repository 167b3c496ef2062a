"""Two optimizers on one problem: where each goes, and how far apart they are, step by step."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from .axes import COLOURS, LABEL, TICK, TITLE, drawable, dress
from .figure import Figure

Values = NDArray[np.floating[Any]]


def two_paths_figure(
    ours: Values, theirs: Values, allowed: Values, problem: str, first: int | None = None
) -> Figure:
    """Draw the number in which two paths differ most, and their largest difference, by step.

    Args:
        ours: of the candidate, (T + 1, n), the start first.
        theirs: of the reference, likewise.
        allowed: the largest difference that rounding may make, (T + 1,).
        problem: its name.
        first: the step at which more than that differs, marked where it is given.

    Returns:
        A figure of 720 by 760 pixels, legible at half its size.
    """
    ours, theirs = drawable(ours), drawable(theirs)
    apart = np.abs(ours - theirs)
    ends = "" if np.isfinite(ours).all() else ", as long as it is finite"
    most = int(np.nan_to_num(apart).max(axis=0).argmax())
    figure = Figure(figsize=(7.2, 7.6), dpi=100, layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    above.plot(theirs[:, most], color=COLOURS[0], linewidth=4.5, label="reference")
    above.plot(ours[:, most], "--", color=COLOURS[1], linewidth=2, label=f"candidate{ends}")
    above.set_title(problem, fontsize=TITLE)
    dress(above, "parameter (the entry that differs most)")
    _draw_difference(below, np.fmax.reduce(apart, axis=1), allowed, ends)
    dress(below, "largest difference")
    below.set_xlabel("step" + (f" (dotted: they part at {first})" if first else ""), fontsize=LABEL)
    for axes in (above, below):
        if first:
            axes.axvline(first, color="0.4", linewidth=1, linestyle=":")
        axes.legend(fontsize=TICK)
    return figure


def _draw_difference(axes: Axes, apart: Values, allowed: Values, ends: str) -> None:
    """Draw differences; on a log axis, where there are any: of those that are 0, nothing."""
    steps = np.arange(len(apart))
    if np.nan_to_num(apart).any():
        axes.set_yscale("log")
        found = np.where(apart > 0, apart, np.nan)
        axes.plot(steps, found, ".-", color=COLOURS[1], label=f"found{ends}")
        axes.plot(steps[1:], allowed[1:], color="0.5", linewidth=1, label="allowed for rounding")
    else:
        label = f"0{ends}" if ends else "0 at every step"
        axes.plot(steps, apart, color=COLOURS[1], label=label)

"""Learning curves of several runs in one figure."""

from collections.abc import Mapping, Sequence
from textwrap import shorten

import numpy as np

from ..errors import UsageError
from .axes import (
    COLOURS,
    DASHES,
    LABEL,
    TICK,
    TITLE,
    UPDATES,
    drawable,
    dress,
    name_start,
    scale_to,
)
from .figure import Figure

_WIDEST, _THINNEST = 4.5, 1.5  # line widths: of equal curves each is seen beside the next


def comparison_figure(
    panels: Mapping[str, Mapping[str, tuple[Sequence[int], Sequence[float]]]],
    parted: int | None = None,
) -> Figure:
    """Draw a panel for each loss, with a curve in it for each run.

    Args:
        panels: name of a loss to the runs' curves by the name of the run, each the numbers of
            updates and the losses then.
        parted: the update at which runs part, marked where it is given.

    Returns:
        A figure of 720 by 340 pixels and 340 more for each further panel. Runs that are equal are
        drawn over one another, the first one widest; one that rises out of the picture is named.

    Raises:
        UsageError: there is no curve.
    """
    drawn = {loss: curves for loss, curves in panels.items() if curves}
    if not drawn:
        raise UsageError("there is no learning curve to draw: the runs wrote no losses")
    names = list(dict.fromkeys(name for curves in drawn.values() for name in curves))
    height = 3.2 * len(drawn) + 0.3 * (1 + len(names) // 2)
    figure = Figure(figsize=(7.2, height), dpi=100, layout="constrained")
    rows = figure.subplots(len(drawn), sharex=True, squeeze=False)[:, 0]
    for axes, (loss, curves) in zip(rows, drawn.items(), strict=True):
        for name, (steps, losses) in curves.items():
            place = names.index(name)
            axes.plot(
                steps,
                drawable(losses),
                color=COLOURS[place % len(COLOURS)],
                linestyle=DASHES[place % len(DASHES)] if len(steps) > 1 else "",
                marker="o" if len(steps) == 1 else "",
                linewidth=np.interp(place, [0, max(len(names) - 1, 1)], [_WIDEST, _THINNEST]),
                rasterized=len(steps) > 20_000,
                label=name,
            )
        scale_to(axes, [losses for _, losses in curves.values()])
        top = axes.get_ylim()[1]
        gone = [name for name, (_, y) in curves.items() if not (drawable(y) <= top).all()]
        beyond = f"\nrises out of the picture: {shorten(', '.join(gone), 60)}" if gone else ""
        axes.set_title(f"{loss}{beyond}", fontsize=TITLE)
        dress(axes, "loss")
        if parted:
            axes.axvline(parted, color="0.4", linewidth=1, linestyle=":", label="_they part")
    if any(0 in steps for curves in drawn.values() for steps, _ in curves.values()):
        name_start(rows[-1], 0)
    rows[-1].set_xlabel(
        f"{UPDATES} (dotted: they part after {parted})" if parted else UPDATES, fontsize=LABEL
    )
    handles = {line.get_label(): line for axes in rows for line in axes.get_lines()}
    figure.legend(
        handles=[handles[name] for name in names],
        loc="outside lower center",
        ncols=min(2, len(names)),
        frameon=False,
        fontsize=TICK,
    )
    return figure

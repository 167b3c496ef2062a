"""Figures of where an optimizer is stable: pure functions of the numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import LogLocator, NullFormatter

from .axes import COLOURS, LABEL, LARGEST, SMALLEST, TICK, TITLE, drawable
from .figure import Figure

#: how far above the loss before the first update the axis ends: what diverges does not rule it
HIGHEST = 100.0
#: a wide pale line, and a thin one over it: where both agree both are seen
_STYLES: Mapping[str, Mapping[str, Any]] = {
    "predicted": {"color": COLOURS[1], "linewidth": 7, "alpha": 0.4},
    "observed": {"color": "black", "linewidth": 1.5, "linestyle": "--"},
}


def loss_by_rate_figure(
    rates: Sequence[float],
    losses: Sequence[float],
    updates: int,
    start: float,
    marks: Mapping[str, float | None],
    optimizer: str = "",
) -> Figure:
    """Draw the loss after some updates over the learning rate, both on logarithmic axes.

    Args:
        rates: of the points.
        losses: at these; those that are not finite, or not above 0, are gaps.
        updates: how many were made.
        start: the loss before them, drawn as a level.
        marks: `predicted` and `observed`, the largest stable rates; None is left out.
        optimizer: which one it is; "" for no word of it.

    Returns:
        A figure of 800 by 500 pixels.
    """
    figure = Figure(figsize=(8, 5), dpi=100, layout="constrained")
    axes = figure.subplots()
    shown = drawable(losses)
    shown = np.where(shown > SMALLEST, shown, np.nan)
    axes.axhline(start, color="0.5", linewidth=1, label="before the first update")
    axes.plot(rates, shown, color=COLOURS[0], marker=".", label=f"after {updates} updates")
    for name, rate in marks.items():
        if rate is not None:
            axes.axvline(rate, **_STYLES[name], zorder=1, label=f"{name}: {rate:.6g}")
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yscale("log")
    if SMALLEST < start < LARGEST / HIGHEST:
        axes.set_ylim(np.nanmin([*shown, start]) / 3, start * HIGHEST)
    axes.set_title("Loss by learning rate, and up to which it is stable", fontsize=TITLE)
    _finish(figure, "learning rate" + (f" of {optimizer}" if optimizer else ""), "loss")
    return figure


def stability_map_figure(rows: Sequence[Mapping[str, float | None]]) -> Figure:
    """Draw the largest stable learning rate over the momentum, predicted and observed.

    Args:
        rows: each with `momentum`, `predicted`, which may be None, and `observed`.

    Returns:
        A figure of 800 by 500 pixels; what is stable by the observation is shaded.
    """
    figure = Figure(figsize=(8, 5), dpi=100, layout="constrained")
    axes = figure.subplots()
    ordered = sorted(rows, key=lambda row: row["momentum"] or 0.0)
    columns = {
        name: np.array([row[name] for row in ordered], dtype=np.float64)  # None becomes NaN
        for name in ("momentum", "predicted", "observed")
    }
    momentum, observed = columns["momentum"], columns["observed"]
    axes.fill_between(momentum, observed, color=COLOURS[2], alpha=0.15, label="stable")
    axes.plot(momentum, columns["predicted"], "--", color=COLOURS[1], label="predicted")
    axes.plot(momentum, observed, "o", color=COLOURS[2], label="observed")
    axes.set_ylim(bottom=0)
    axes.set_title("Where the optimizer is stable", fontsize=TITLE)
    _finish(figure, "momentum", "learning rate")
    return figure


def _finish(figure: Figure, x: str, y: str) -> None:
    (axes,) = figure.axes
    axes.set_xlabel(x, fontsize=LABEL)
    axes.set_ylabel(y, fontsize=LABEL)
    axes.tick_params(labelsize=TICK)
    axes.grid(visible=True, color="0.9")
    axes.set_axisbelow(True)
    axes.legend(fontsize=TICK - 1)

"""Figure of a sweep: the best loss over two swept values, as a heat map."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm
from numpy.typing import NDArray

from ..drawing.axes import LABEL, TICK, TITLE
from ..drawing.figure import Figure
from ..errors import UsageError
from ..runs.record import WORSE

Row = Mapping[str, Any]
Numbers = NDArray[np.float64]

LABELS_UP_TO = 16  # values that are named one by one on an axis or a colour bar
_SHADES = 10  # colours
_NUMBERS_UP_TO = 150  # cells with their loss written in them


def best_loss_figure(rows: Sequence[Row], first: str, second: str) -> Figure:
    """Draw the best loss over two swept values, as a heat map.

    With several seeds a cell shows the median of their best losses. A cell with a member that
    diverged, or ended above its start, has a cross, and the cell with the least loss a star.

    Args:
        rows: of `rows_of`.
        first: the hyperparameter along the horizontal axis.
        second: the one along the vertical axis.

    Returns:
        The figure.

    Raises:
        UsageError: no member has a best loss.
    """
    xs, ys = (sorted({row[name] for row in rows}) for name in (first, second))
    losses, crossed = _cells(rows, first, second, xs, ys)
    good = losses[np.isfinite(losses)]
    if not good.size:
        raise UsageError("There is no best loss to draw: no member has finished an epoch.")
    figure = Figure(figsize=(8, 6.5), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor("0.85")
    # as many cells in each shade: a few large losses would leave all others alike
    edges = np.unique(np.quantile(good, np.linspace(0, 1, _SHADES + 1)))
    norm = BoundaryNorm(edges, 256) if edges.size > 2 else None
    shown = axes.imshow(losses, origin="lower", aspect="auto", cmap="viridis_r", norm=norm)
    if losses.size <= _NUMBERS_UP_TO:
        _write_numbers(axes, losses)
    row, column = np.unravel_index(np.nanargmin(losses), losses.shape)
    best = f"least: {losses[row, column]:.5g} at {first} = {xs[column]:g}, {second} = {ys[row]:g}"
    axes.plot(
        [column], [row + 0.25], "*", ms=15, color="white", markeredgecolor="black", label=best
    )
    if crossed.any():
        high, across = np.nonzero(crossed)
        axes.plot(
            across,
            high + 0.25,
            "x",
            color="#D55E00",
            markersize=7,
            linestyle="",
            label="diverged or worse than start",
        )
    axes.set_xlabel(first, fontsize=LABEL)
    axes.set_ylabel(second, fontsize=LABEL)
    for axis, values in ((axes.xaxis, xs), (axes.yaxis, ys)):
        ticks = list(range(0, len(values), math.ceil(len(values) / LABELS_UP_TO)))
        axis.set_ticks(ticks, labels=[f"{values[tick]:.3g}" for tick in ticks])
    axes.tick_params(labelsize=TICK)
    axes.tick_params(axis="x", rotation=45 if len(xs) > 8 else 0)
    axes.set_title("Best loss of each member", fontsize=TITLE)
    bar = figure.colorbar(shown, ax=axes, format="%.4g")
    bar.set_label("best loss (as many cells in each shade)", fontsize=TICK)
    bar.ax.tick_params(labelsize=TICK - 2)
    figure.legend(loc="outside lower center", ncols=1, frameon=False, fontsize=TICK)
    return figure


def _write_numbers(axes: Axes, losses: Numbers) -> None:
    middle = np.nanmedian(losses)
    size = max(6.0, min(10.0, 95 / losses.shape[1]))
    for (row, column), loss in np.ndenumerate(losses):
        if np.isfinite(loss):
            dark = loss > middle
            axes.text(
                column,
                row - 0.12,
                _short(loss),
                ha="center",
                va="center",
                fontsize=size,
                color="white" if dark else "black",
            )


def _short(loss: float) -> str:
    """Return a number of at most five digits, or such as 1.3e5."""
    text = f"{loss:.4g}"
    mantissa, _, exponent = f"{loss:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}" if len(text) > 6 else text


def _cells(
    rows: Sequence[Row], first: str, second: str, xs: Sequence[float], ys: Sequence[float]
) -> tuple[Numbers, NDArray[np.bool_]]:
    """Return the median best loss of each cell, NaN where there is none, and what diverged."""
    found: dict[tuple[int, int], list[float]] = {}
    crossed = np.zeros((len(ys), len(xs)), dtype=np.bool_)
    for row in rows:
        cell = ys.index(row[second]), xs.index(row[first])
        crossed[cell] |= row["status"] in ("diverged", WORSE)
        if row.get("best_loss") is not None:
            found.setdefault(cell, []).append(row["best_loss"])
    losses = np.full((len(ys), len(xs)), np.nan)
    for cell, values in found.items():
        losses[cell] = np.median(values)
    return losses, crossed

"""Figures of a sweep: learning curves coloured by a swept value, and the best loss over two."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ..errors import UsageError
from .record import WORSE

Row = Mapping[str, Any]
#: for each member the epochs and its losses
Curves = Mapping[int, tuple[Sequence[int], Sequence[float]]]

_LEGEND_UP_TO = 12  # members, above which a colour bar says the value
_LABELS_UP_TO = 16  # values that are named one by one on an axis or a colour bar
_LINES_UP_TO = 1000  # members that are drawn; of more, as many at equal distances
_LOG_FROM = 10.0  # largest / least value from which an axis is logarithmic
_SHADES = 10  # colours of a heat map
_NUMBERS_UP_TO = 150  # cells with their loss written in them
_HEADROOM = 10.0  # how far above the losses of the first epoch a diverging curve is followed
_SETS = {"train": "training set", "val": "validation set"}


def member_curves_figure(
    rows: Sequence[Row], curves: Mapping[str, Curves], name: str, names: Sequence[str]
) -> Figure:
    """Draw the loss per epoch of every member, coloured by one of the swept values.

    Args:
        rows: of `rows_of`.
        curves: of each set, the losses of each member; a panel for each.
        name: the swept hyperparameter that gives the colour.
        names: all swept hyperparameters, for the legend.

    Returns:
        A figure with a legend for up to 12 members and a colour bar for more.

    Raises:
        UsageError: there is nothing to draw.
    """
    if not any(curves.values()):
        raise UsageError("There is no learning curve to draw: give at least one.")
    figure = Figure(figsize=(5.5 * len(curves) + 1, 5), dpi=100, layout="constrained")
    values = sorted({row[name] for row in rows})
    begun = [row for row in rows if row["member"] in next(iter(curves.values()))]
    drawn = begun[:: math.ceil(len(begun) / _LINES_UP_TO)]
    panels = figure.subplots(1, len(curves), squeeze=False)[0]
    for axes, (label, each) in zip(panels, curves.items(), strict=True):
        _draw_curves(axes, drawn, each, name, values, names)
        axes.set_title(_SETS.get(label, label), fontsize=11)
    panels[0].set_ylabel("loss")
    diverged = sum(row["status"] == "diverged" for row in rows)
    note = f" ({diverged} of {len(rows)} members diverged)" if diverged else ""
    figure.suptitle(f"Loss per epoch, coloured by {name}{note}", fontsize=12)
    if len(drawn) <= _LEGEND_UP_TO:
        handles, labels = panels[0].get_legend_handles_labels()
        columns = min(4, len(handles))
        figure.legend(
            handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=9
        )
    else:
        _colour_bar(figure, list(panels), name, values)
    return figure


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
    figure = Figure(figsize=(8, 6), dpi=100, layout="constrained")
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
            label=f"diverged or {WORSE}",
        )
    axes.set_xlabel(first)
    axes.set_ylabel(second)
    for axis, values in ((axes.xaxis, xs), (axes.yaxis, ys)):
        ticks = list(range(0, len(values), math.ceil(len(values) / _LABELS_UP_TO)))
        axis.set_ticks(ticks, labels=[f"{values[tick]:.3g}" for tick in ticks])
    axes.tick_params(axis="x", rotation=45 if len(xs) > 8 else 0)
    axes.set_title("Best loss of each member", fontsize=12)
    figure.colorbar(shown, ax=axes, label="best loss (as many cells in each shade)", format="%.4g")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def _write_numbers(axes: Axes, losses: NDArray[np.float64]) -> None:
    middle = np.nanmedian(losses)
    for (row, column), loss in np.ndenumerate(losses):
        if np.isfinite(loss):
            dark = loss > middle
            axes.text(
                column,
                row - 0.12,
                f"{loss:.4g}",
                ha="center",
                va="center",
                fontsize=7,
                color="white" if dark else "black",
            )


def _cells(
    rows: Sequence[Row], first: str, second: str, xs: Sequence[float], ys: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
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


def _draw_curves(
    axes: Axes,
    rows: Sequence[Row],
    curves: Curves,
    name: str,
    values: Sequence[float],
    names: Sequence[str],
) -> None:
    """Draw one set's curves, and choose the axis so that diverging ones do not hide the rest."""
    colours = dict(zip(values, _colours(len(values)), strict=True))
    lines = [_finite(*curves[row["member"]]) for row in rows]
    if len(rows) <= _LEGEND_UP_TO:
        seeds = len({row["seed"] for row in rows}) > 1
        for row, line in zip(rows, lines, strict=True):
            label = ", ".join(f"{each} = {row[each]:g}" for each in names)
            axes.plot(
                *line.T,
                color=colours[row[name]],
                linewidth=1.6,
                marker="o" if np.isfinite(line[:, 1]).sum() == 1 else "",
                label=f"{label}, seed {row['seed']}" if seeds else label,
            )
    else:
        _draw_many(axes, lines, [colours[row[name]] for row in rows])
    _limit(axes, [line[:, 1] for line in lines])
    axes.set_xlabel("epoch (counted from 0)")
    axes.grid(visible=True, color="0.9")
    axes.set_axisbelow(True)


def _draw_many(axes: Axes, lines: Sequence[NDArray[np.float64]], colours: Sequence[Any]) -> None:
    """Draw lines as one thing, which takes a tenth of the time."""
    if all(len(line) == 1 for line in lines):
        epochs, losses = np.concatenate(lines).T
        axes.scatter(epochs, losses, c=colours, alpha=0.6)
        return
    axes.add_collection(LineCollection(list(lines), colors=colours, linewidths=0.8, alpha=0.6))
    axes.autoscale_view()


def _limit(axes: Axes, curves: Sequence[NDArray[np.float64]]) -> None:
    """Make the axis logarithmic where losses are far apart, and end it above the first epoch's."""
    every = np.concatenate(list(curves))
    every = every[np.isfinite(every)]
    begins = np.array([curve[0] for curve in curves if curve.size and np.isfinite(curve[0])])
    if not every.size or not begins.size:
        return
    top = min(float(every.max()), _HEADROOM * float(np.median(begins)))
    low = float(every.min())
    if low > 0 and top > _LOG_FROM * low:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.5, top * 1.5)
    elif top < every.max():
        axes.set_ylim(low - 0.05 * (top - low), top)


def _colour_bar(figure: Figure, panels: list[Axes], name: str, values: Sequence[float]) -> None:
    edges = np.arange(len(values) + 1) - 0.5
    norm = BoundaryNorm(edges, len(values))
    shown = ScalarMappable(norm, ListedColormap(_colours(len(values))))
    bar = figure.colorbar(shown, ax=panels, label=name)
    ticks = list(range(0, len(values), math.ceil(len(values) / _LABELS_UP_TO)))
    bar.minorticks_off()  # one for each value otherwise
    bar.set_ticks(ticks, labels=[f"{values[tick]:.3g}" for tick in ticks])


def _colours(count: int) -> list[tuple[float, float, float, float]]:
    """Return a colour for each value in order, from dark to light but not too light for a line."""
    return [colormaps["viridis"](shade) for shade in np.linspace(0.0, 0.9, count)]


def _finite(epochs: Sequence[int], losses: Sequence[float]) -> NDArray[np.float64]:
    """Return a line's points, (n, 2), with gaps where a loss cannot be drawn."""
    heights = np.asarray(losses, dtype=np.float64)
    return np.column_stack([epochs, np.where(np.abs(heights) <= 1e200, heights, np.nan)])

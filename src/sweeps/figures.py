"""Figure of a sweep: its learning curves, by a swept value."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import BoundaryNorm, ListedColormap
from numpy.typing import NDArray

from ..drawing.axes import (
    DASHES,
    EPOCHS,
    LABEL,
    START,
    TICK,
    TITLE,
    drawable,
    dress,
    name_start,
    scale_to,
)
from ..drawing.figure import Figure
from ..errors import UsageError
from .heat_map import LABELS_UP_TO
from .record import ranked

Row = Mapping[str, Any]
Numbers = NDArray[np.float64]
#: for each member the epochs and its losses
Curves = Mapping[int, tuple[Sequence[int], Sequence[float]]]

_SINGLY_UP_TO = 12  # members that are drawn each; of more, the median and the middle half
_LEGEND_UP_TO = 12  # values, above which a colour bar says the value
_LINES_UP_TO = 1000  # members that are drawn; of more, as many at equal distances
MEMBER, BEST = "a member", "the best member"
_SETS = {"train": "training set", "val": "validation set"}


def member_curves_figure(
    rows: Sequence[Row],
    curves: Mapping[str, Curves],
    name: str,
    names: Sequence[str],
    quantity: str = "loss",
) -> Figure:
    """Draw the losses per epoch, coloured by one of the swept values, and mark the best.

    Up to 12 members are drawn each. Of more, a line is the median of the members with one value,
    the band around it the middle half of them, and a thin grey line one of them; the best member is
    drawn out in black. A member that diverged counts as above all others. Of more than 12 values
    there are no bands, and a colour bar says the value in place of the legend.

    The loss axis is logarithmic, and ends, as `scale_to` has it.

    Args:
        rows: of `rows_of`.
        curves: of each set, the losses of each member; a panel for each.
        name: the swept hyperparameter that gives the colour.
        names: all swept hyperparameters, to say which member is the best.
        quantity: what the loss is, for its axis.

    Returns:
        A figure of 800 pixels by 390 for each panel and 110 more.

    Raises:
        UsageError: there is nothing to draw.
    """
    if not any(curves.values()):
        raise UsageError("There is no learning curve to draw: give at least one.")
    figure = Figure(figsize=(8, 3.9 * len(curves) + 1.1), dpi=100, layout="constrained")
    values = sorted({row[name] for row in rows})
    begun = [row for row in rows if row["member"] in next(iter(curves.values()))]
    panels = figure.subplots(len(curves), sharex=True, squeeze=False)[:, 0]
    for axes, (label, each) in zip(panels, curves.items(), strict=True):
        scale_to(axes, [losses for _, losses in each.values()])
        _draw_by_value(axes, begun, each, name, values)
        axes.set_title(_SETS.get(label, label), fontsize=LABEL)
        dress(axes, quantity)
    best = ranked(begun)[0] if begun else {}
    if best.get("best_loss") is not None:
        _mark_best(list(panels), best, curves, singly=len(begun) <= _SINGLY_UP_TO)
    panels[-1].set_xlabel(EPOCHS, fontsize=LABEL)
    if any(START in epochs for epochs, _ in next(iter(curves.values())).values()):
        name_start(panels[-1], START)
    figure.suptitle(f"Loss per epoch by {name}{_notes(rows, best, names)}", fontsize=TITLE)
    if len(values) > _LEGEND_UP_TO:
        _colour_bar(figure, list(panels), name, values)
    figure.align_ylabels()
    _legend(figure, panels[0], name if len(values) <= _LEGEND_UP_TO else None)
    return figure


def _notes(rows: Sequence[Row], best: Row, names: Sequence[str]) -> str:
    """Return how many members diverged, and which one is the best."""
    diverged = sum(row["status"] == "diverged" for row in rows)
    note = f" ({diverged} of {len(rows)} members diverged)" if diverged else ""
    if best.get("best_loss") is None:
        return note
    chosen = [f"{each} {best[each]:g}" for each in names]
    if len({row["seed"] for row in rows}) > 1:
        chosen.append(f"seed {best['seed']}")
    where = f"{best['best_loss']:.5g} at epoch {best['best_epoch']}"
    return f"{note}\nbest (star): {', '.join(chosen)}: {where}"


def _draw_by_value(
    axes: Axes, rows: Sequence[Row], curves: Curves, name: str, values: Sequence[float]
) -> None:
    """Draw the curves of one set: each member, or what those with one value have in common."""
    singly = len(rows) <= _SINGLY_UP_TO
    several = len(rows) > len({row[name] for row in rows})
    if not singly and several:
        lines = [_points(*curves[row["member"]]) for row in rows]
        _draw_grey(axes, lines[:: math.ceil(len(lines) / _LINES_UP_TO)])
    few = len(values) <= _LEGEND_UP_TO
    colours, dashes = _colours(len(values)), cycle(DASHES if few else "-")
    for value, colour, dash in zip(values, colours, dashes, strict=False):
        of_value = [curves[row["member"]] for row in rows if row[name] == value]
        label = f"{value:g}" if few else "_"
        if singly or len(of_value) == 1:
            for place, curve in enumerate(of_value):
                _draw_line(axes, _points(*curve), colour, dash, "_" if place else label)
        elif of_value:
            epochs, low, middle, high = middle_half(of_value)
            points = np.column_stack([epochs, np.where(np.isfinite(middle), middle, np.nan)])
            _draw_line(axes, points, colour, dash, label)
            if few and len(of_value) > 1:
                top = axes.get_ylim()[1]  # of an infinite edge
                ends, shade = np.minimum([low, high], top), 0.02 + 0.25 / len(values)
                axes.fill_between(epochs, ends[0], ends[1], color=colour, alpha=shade, linewidth=0)


def _draw_line(axes: Axes, points: Numbers, colour: Any, dash: str, label: str) -> None:
    marker = "o" if np.isfinite(points[:, 1]).sum() == 1 else ""
    axes.plot(*points.T, color=colour, linestyle=dash, linewidth=1.8, marker=marker, label=label)


def _draw_grey(axes: Axes, lines: Sequence[Numbers]) -> None:
    """Draw lines as one thing, which takes a tenth of the time."""
    drawn = LineCollection(list(lines), colors="0.6", linewidths=0.5, alpha=0.4, zorder=1)
    drawn.set_label(MEMBER)
    axes.add_collection(drawn, autolim=False)


def middle_half(
    curves: Sequence[tuple[Sequence[int], Sequence[float]]],
) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Return the epochs of some curves, and at each the lower end of the middle half of the losses.

    A loss that is not finite counts as above all others, infinity; an epoch in which a curve was
    not measured is without it.

    Returns:
        The epochs, the lower quartiles, the medians, the upper quartiles. Of a quartile between two
        losses it is the outer one.

    Example:
        >>> _, low, middle, high = middle_half([([0], [x]) for x in (1.0, 2.0, 3.0, math.nan)])
        >>> low.tolist(), middle.tolist(), high.tolist()
        ([1.0], [2.5], [inf])
    """
    epochs = sorted({epoch for measured, _ in curves for epoch in measured})
    losses = np.full((len(curves), len(epochs)), np.nan)
    for row, (measured, values) in enumerate(curves):
        finite = drawable(values)
        losses[row, np.searchsorted(epochs, measured)] = np.where(np.isnan(finite), np.inf, finite)
    ordered, last = np.sort(losses, axis=0), (~np.isnan(losses)).sum(axis=0) - 1  # NaN at the end

    def at(place: Numbers) -> Numbers:
        found: Numbers = np.take_along_axis(ordered, place.astype(int)[None], axis=0)[0]
        return found

    low, high = at(np.floor(last / 4)), at(np.ceil(3 * last / 4))
    middle = (at(np.floor(last / 2)) + at(np.ceil(last / 2))) / 2
    return np.asarray(epochs, dtype=np.float64), low, middle, high


def _mark_best(
    panels: Sequence[Axes], best: Row, curves: Mapping[str, Curves], singly: bool
) -> None:
    """Draw out the best member, where there are many, and mark its best epoch."""
    for axes, each in zip(panels, curves.values(), strict=True):
        if not singly:
            points = _points(*each[best["member"]])
            axes.plot(*points.T, color="black", linewidth=1.4, linestyle="--", label=BEST)
    judged = panels[list(curves).index("val") if "val" in curves else 0]
    star: dict[str, Any] = {
        "marker": "*",
        "markersize": 15,
        "color": "white",
        "markeredgecolor": "black",
    }
    judged.plot([best["best_epoch"]], [best["best_loss"]], **star, zorder=4, label="_")


def _legend(figure: Figure, axes: Axes, name: str | None) -> None:
    """Say below the panels, the first of which is given, what is in them."""
    handles, labels = axes.get_legend_handles_labels()
    if MEMBER in labels:  # which is drawn first, below all
        handles, labels = handles[1:] + handles[:1], labels[1:] + labels[:1]
    if handles:
        figure.legend(
            handles,
            labels,
            title=name,
            loc="outside lower center",
            ncols=min(5, len(handles)),
            frameon=False,
            fontsize=TICK,
            title_fontsize=TICK,
        )


def _colour_bar(figure: Figure, panels: list[Axes], name: str, values: Sequence[float]) -> None:
    edges = np.arange(len(values) + 1) - 0.5
    norm = BoundaryNorm(edges, len(values))
    shown = ScalarMappable(norm, ListedColormap(_colours(len(values))))
    bar = figure.colorbar(shown, ax=panels)
    bar.set_label(name, fontsize=LABEL)
    bar.ax.tick_params(labelsize=TICK)
    ticks = list(range(0, len(values), math.ceil(len(values) / LABELS_UP_TO)))
    bar.minorticks_off()  # one for each value otherwise
    bar.set_ticks(ticks, labels=[f"{values[tick]:.3g}" for tick in ticks])


def _colours(count: int) -> list[tuple[float, float, float, float]]:
    """Return a colour for each value in order, none too light for a line; few have many hues."""
    if count > _LEGEND_UP_TO:
        return [colormaps["viridis"](shade) for shade in np.linspace(0.0, 0.9, count)]
    hues = colormaps["turbo"](np.linspace(0.0, 0.95, count))
    return [(0.8 * red, 0.8 * green, 0.8 * blue, 1.0) for red, green, blue, _ in hues]


def _points(epochs: Sequence[int], losses: Sequence[float]) -> Numbers:
    """Return a line's points, (n, 2), with gaps where a loss cannot be drawn."""
    return np.column_stack([epochs, drawable(losses)])

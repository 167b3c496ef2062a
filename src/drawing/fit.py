"""Figure of a fit: data, what was predicted of them, and what is left."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from .axes import COLOURS, LABEL, LARGEST, TICK, TITLE
from .figure import Figure

Numbers = NDArray[np.float64]

_POINTS_UP_TO = 2_000  # of a set; of more, as many at equal distances
_VECTORS_UP_TO = 500  # points, above which an SVG holds those of a set as a picture
_SETS = {"train": ("training", "o", COLOURS[4]), "val": ("validation", "^", COLOURS[1])}
_PLACES = {"left": 0.13, "right": 0.98, "top": 0.92, "bottom": 0.18, "hspace": 0.24}
_WIDE = 60  # letters of a title in one line
_LINE = 0.04  # of the figure's height: a further line of the title
_LONG = 66  # letters of the three longest names, above which the legend is smaller
#: colour and dashes of a line, by the first word of its name
_LINES = {
    "start": ("0.45", ":"),
    "epoch": (COLOURS[3], "-."),
    "best": (COLOURS[2], "-"),
    "last": ("black", "--"),
}


@dataclass(frozen=True)
class Points:
    """The rows of a set, and what was predicted of them.

    Args:
        x: the inputs, (n, d).
        y: the targets, (n,).
        predictions: name of the parameters, which begins with `start`, `epoch`, `best` or `last`,
            to the predictions, (n,).
    """

    x: Numbers
    y: Numbers
    predictions: Mapping[str, Numbers]


def fit_figure(
    sets: Mapping[str, Points], judged: str, labels: Sequence[str] = ("x", "y")
) -> Figure:
    """Draw the data with the predictions above, and the residuals below.

    Of one input the predictions are lines through the data, one for each of the parameters. Of
    several the predictions with the judged parameters stand over the targets, with the diagonal on
    which both are equal. Lines do not rule the axis of the data: what lies far from these is cut
    off, and a line of which nothing is seen is named as outside.

    Args:
        sets: `train`, and `val` where there is one.
        judged: the name of the parameters whose residuals are drawn.
        labels: what the input and the target are called.

    Returns:
        A figure of 800 by 700 pixels, with up to 2,000 rows of each set.

    Raises:
        FloatingPointError: there is no row, or a prediction with the judged parameters is
            not finite.
    """
    shown = {name: _thinned(each) for name, each in sets.items() if len(each.y)}
    if not shown or not all(_is_drawable(each.predictions[judged]) for each in shown.values()):
        raise FloatingPointError("there are no predictions that are finite")
    figure = Figure(figsize=(8, 7), dpi=100)  # its places are given: a layout is drawn twice
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(2.2, 1))
    figure.subplots_adjust(**_PLACES)
    one = next(iter(shown.values())).x.shape[1] == 1
    draw = _draw_lines if one else _draw_over_targets
    draw(top, shown, judged, labels)
    _draw_residuals(bottom, shown, judged, one)
    bottom.set_xlabel(labels[0] if one else f"true {labels[1]}", fontsize=LABEL)
    for axes in (top, bottom):
        axes.grid(visible=True, color="0.9")
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=TICK)
        axes.yaxis.get_offset_text().set_fontsize(TICK - 2)
    handles, _ = top.get_legend_handles_labels()
    long = sum(sorted(len(str(handle.get_label())) for handle in handles)[-3:]) > _LONG
    figure.legend(
        loc="lower center",
        ncols=min(3, len(handles)),
        frameon=False,
        fontsize=TICK - 3 if long else TICK - 1,
        columnspacing=1.2,
    )
    figure.align_ylabels()
    return figure


def _thinned(points: Points) -> Points:
    step = -(-len(points.y) // _POINTS_UP_TO)
    predictions = {name: each[::step] for name, each in points.predictions.items()}
    return Points(points.x[::step], points.y[::step], predictions)


def _is_drawable(values: Numbers) -> bool:
    return bool((np.abs(values) < LARGEST).all())


def _scatter(axes: Axes, name: str, x: Numbers, y: Numbers, label: str | None = None) -> None:
    _, marker, colour = _SETS.get(name, (name, "s", COLOURS[3]))
    (line,) = axes.plot(x, y, marker, color=colour, markersize=4.5, alpha=0.65, label=label)
    line.set_rasterized(len(x) > _VECTORS_UP_TO)


def _rows(name: str, points: Points) -> str:
    count = len(points.y)
    return f"{_SETS.get(name, (name,))[0]} data, {count} row{'s' * (count != 1)}"


def _reach(y: Numbers) -> tuple[float, float]:
    """Return how far an axis follows lines: as far from the data as these are from each other."""
    low, high = float(y.min()), float(y.max())
    room = high - low or max(abs(high), 1.0)
    return low - room, high + room


def _draw_lines(axes: Axes, sets: Mapping[str, Points], judged: str, labels: Sequence[str]) -> None:
    for name, points in sets.items():
        _scatter(axes, name, points.x[:, 0], points.y, _rows(name, points))
    seen = np.concatenate([each.y for each in sets.values()])
    low, high = _reach(seen)
    x = np.concatenate([each.x[:, 0] for each in sets.values()])
    order = np.argsort(x)
    for label in next(iter(sets.values())).predictions:
        y = np.concatenate([each.predictions[label] for each in sets.values()])
        colour, dashes = _LINES[re.split(r"\W", label)[0]]
        if _is_drawable(y):
            inside = y[(y >= low) & (y <= high)]
            name = label if inside.size else f"{label} (outside)"
            axes.plot(x[order], y[order], dashes, color=colour, linewidth=2, label=name)
            seen = np.concatenate([seen, inside])
    margin = (high - low) / 50
    axes.set_ylim(seen.min() - margin, seen.max() + margin)
    axes.set_ylabel(labels[1], fontsize=LABEL)
    _set_title(axes, f"{labels[1]} over {labels[0]}:", "the data, and what was fitted")


def _draw_over_targets(
    axes: Axes, sets: Mapping[str, Points], judged: str, labels: Sequence[str]
) -> None:
    for name, points in sets.items():
        _scatter(axes, name, points.y, points.predictions[judged], _rows(name, points))
    every = np.concatenate([each.y for each in sets.values()])
    ends = [every.min(), every.max()]
    axes.plot(ends, ends, "-", color="black", linewidth=1.5, label="predicted = true")
    axes.set_ylabel(f"predicted {labels[1]}", fontsize=LABEL)
    _set_title(axes, f"Predicted over true {labels[1]}:", judged)


def _set_title(axes: Axes, names: str, what: str) -> None:
    """Give the upper axes their title: in several lines, above lower axes, where it is long."""
    lines = [f"{names} {what}"]
    if len(lines[0]) > _WIDE:
        lines = [*wrap(names, _WIDE), what]
        axes.figure.subplots_adjust(top=_PLACES["top"] - _LINE * (len(lines) - 1))
    axes.set_title("\n".join(lines), fontsize=TITLE)


def _draw_residuals(axes: Axes, sets: Mapping[str, Points], judged: str, one: bool) -> None:
    for name, points in sets.items():
        x = points.x[:, 0] if one else points.y
        _scatter(axes, name, x, points.y - points.predictions[judged])
    axes.axhline(0, color="black", linewidth=1)
    axes.set_ylabel("true less predicted", fontsize=LABEL)
    axes.set_title(f"Residuals: {judged}", fontsize=LABEL)

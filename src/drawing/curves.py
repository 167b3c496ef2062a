"""Learning-curve figures: pure functions of the numbers, without pyplot and without a window."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.image import imsave
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ..errors import UsageError

#: the place on the epoch axis of what was measured before any update
START = -1

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # Okabe and Ito
_DASHES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D")
_LOG_FROM = 100.0  # largest / least value from which the axis is logarithmic
_LARGEST, _SMALLEST = 1e200, 1e-200  # beyond these, the log axis' own arithmetic overflows
_MARKED_UP_TO = 60  # points, above which a line shows no marker at each
_VECTORS_UP_TO = 20_000  # points, above which an SVG holds the line as a picture


def batch_loss_figure(
    losses: Sequence[float], steps_per_epoch: int = 0, *, first_step: int = 0
) -> Figure:
    """Draw the loss of every update, and its mean over each epoch.

    Args:
        losses: one loss an update, in order.
        steps_per_epoch: updates in an epoch; 0 where it is not known, which leaves the mean out.
        first_step: the number of updates before the first of these losses.

    Returns:
        A figure of 800 by 500 pixels. Losses that are not finite are left out and counted.

    Raises:
        UsageError: there is no loss.
    """
    if not losses:
        raise UsageError("There is no loss to draw: give at least one.")
    values = _drawable(losses)
    steps = first_step + np.arange(values.size)
    figure, axes = _blank("Loss of every update", "update", [("loss", steps, values)])
    axes.set_xlabel("update (k: the loss after k updates, before the next)")
    axes.plot(
        steps, values, **_line(0, values.size), linewidth=0.8, alpha=0.8, label="every update"
    )
    if 1 < steps_per_epoch < values.size:
        middles, means = _epoch_means(values, steps, steps_per_epoch)
        axes.plot(middles, means, **_line(1, means.size), linewidth=2.0, label="mean of the epoch")
    _finish(figure, axes, values)
    return figure


def learning_curve_figure(
    epochs: Sequence[float], curves: Mapping[str, Sequence[float | None]]
) -> Figure:
    """Draw losses per epoch, and mark the epoch with the least value of each.

    Args:
        epochs: the epochs, counted from 0, at their ends; what was measured within epoch e lies
            between e - 1 and e. `START` is what was measured before any update, and is drawn but
            never the best.
        curves: name of a loss to its value at each of the epochs, None where it was not measured.
            A curve without any value is left out.

    Returns:
        A figure of 800 by 500 pixels. Values that are not finite are left out and counted.

    Raises:
        UsageError: no curve has a value, or a curve is not as long as the epochs.
    """
    wrong = [name for name, values in curves.items() if len(values) != len(epochs)]
    if wrong:
        raise UsageError(f"Curve {wrong[0]!r} must have one value for each of {len(epochs)} epochs")
    series = [
        (name, *_measured(epochs, values))
        for name, values in curves.items()
        if any(value is not None for value in values)
    ]
    if not series:
        raise UsageError("There is no value to draw: give at least one curve with a value.")
    figure, axes = _blank("Loss per epoch", "epoch", series)
    axes.set_xlabel("epoch (counted from 0; measured at its end)")
    for index, (name, places, values) in enumerate(series):
        line = _line(index, values.size)
        axes.plot(places, values, **line, linewidth=1.6, label=name)
        _mark_least(axes, name, places, values, line["color"])
    if any(START in places for _, places, _ in series):
        _name_start(axes)
    _finish(figure, axes, np.concatenate([values for _, _, values in series]))
    return figure


def save_figure(figure: Figure, path: Path) -> NDArray[np.uint8]:
    """Write a figure as PNG and SVG; equal figures give equal files.

    Args:
        figure: any figure; it is laid out once and drawn once for each of the two.
        path: the place without a suffix; its folder is made.

    Returns:
        The image, as `pixels` returns it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    png, svg = (path.with_name(f"{path.name}.{suffix}") for suffix in ("png", "svg"))
    image = pixels(figure)
    imsave(png, image)
    figure.set_layout_engine("none")  # it is laid out
    dpi = figure.dpi
    canvas: Any = FigureCanvasSVG(figure)
    with matplotlib.rc_context({"svg.hashsalt": "descentlab"}):
        canvas.print_svg(svg, metadata={"Date": None})
    figure.set_dpi(dpi)  # which an SVG has of its own
    return image


def pixels(figure: Figure) -> NDArray[np.uint8]:
    """Return a figure as an image, shape (height, width, 3), as TensorBoard takes it."""
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()  # `savefig` would draw it twice
    image: NDArray[np.uint8] = np.array(canvas.buffer_rgba())[:, :, :3]
    return image


def least(epochs: Sequence[float], values: Sequence[float | None]) -> tuple[float, float] | None:
    """Return the first epoch with the least finite value, and the value; None where none is finite.

    Example:
        >>> least([START, 0, 1, 2], [0.1, 3.0, 2.0, 2.0])
        (1, 2.0)
    """
    pairs = [
        (value, epoch)
        for epoch, value in zip(epochs, values, strict=True)
        if value is not None and math.isfinite(value) and epoch != START
    ]
    if not pairs:
        return None
    value, epoch = min(pairs)
    return epoch, value


def _drawable(values: Sequence[float]) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    return np.where(np.abs(array) <= _LARGEST, array, np.nan)


def _measured(
    epochs: Sequence[float], values: Sequence[float | None]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    pairs = [(e, value) for e, value in zip(epochs, values, strict=True) if value is not None]
    return np.array([e for e, _ in pairs], dtype=np.float64), _drawable([v for _, v in pairs])


def _epoch_means(
    values: NDArray[np.float64], steps: NDArray[np.int64], steps_per_epoch: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the middle and the mean of each epoch's finite values."""
    good = np.isfinite(values)
    epoch = steps[good] // steps_per_epoch
    which, index, count = np.unique(epoch, return_inverse=True, return_counts=True)
    if which.size == 0:
        return np.zeros(0), np.zeros(0)
    scaled = values[good] / count[index]  # divided first: a sum of large values may overflow
    middle = np.bincount(index, weights=steps[good] / count[index])
    return middle.astype(np.float64), np.bincount(index, weights=scaled).astype(np.float64)


def _line(index: int, points: int) -> dict[str, Any]:
    return {
        "color": _COLOURS[index % len(_COLOURS)],
        "linestyle": _DASHES[index % len(_DASHES)],
        "marker": _MARKERS[index % len(_MARKERS)] if points <= _MARKED_UP_TO else "",
        "markersize": 4,
        "rasterized": points > _VECTORS_UP_TO,
    }


def _blank(
    title: str, unit: str, series: Sequence[tuple[str, NDArray[Any], NDArray[np.float64]]]
) -> tuple[Figure, Axes]:
    """Return an empty figure, titled with what is left out of the curves to come."""
    figure = Figure(figsize=(8, 5), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    missing = [(name, places[~np.isfinite(values)]) for name, places, values in series]
    notes = [
        f"{places.size} of {name} (first at {unit} {math.ceil(places[0])})".replace(
            f"epoch {START}", "start"
        )
        for name, places in missing
        if places.size
    ]
    if notes:
        title += f"\nleft out as not finite: {', '.join(notes)}"
    axes.set_title(title, fontsize=12)
    axes.set_ylabel("loss")
    axes.grid(visible=True, color="0.9")
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=12, integer=True, min_n_ticks=1))
    return figure, axes


def _mark_least(
    axes: Axes,
    name: str,
    places: NDArray[np.float64],
    values: NDArray[np.float64],
    colour: str,
) -> None:
    best = least(places.tolist(), values.tolist())
    if best is None:
        return
    epoch, value = best
    label = f"best {name.rsplit('/', 1)[-1]}: epoch {math.ceil(epoch)}, {value:.5g}"
    axes.plot(
        [epoch],
        [value],
        linestyle="",
        marker="*",
        markersize=15,
        color=colour,
        markeredgecolor="black",
        label=label,
        zorder=3,
    )


def _name_start(axes: Axes) -> None:
    """Put the word "start" on the epoch axis, at what was measured before any update."""
    low, high = axes.get_xlim()
    ticks = axes.xaxis.get_major_locator().tick_values(low, high)
    room = (high - low) / 20
    kept = [int(tick) for tick in ticks if START + room < tick <= high]
    axes.set_xticks([START, *kept], labels=["start", *map(str, kept)])
    axes.set_xlim(low, high)


def _finish(figure: Figure, axes: Axes, values: NDArray[np.float64]) -> None:
    """Choose the loss axis, and put the legend below, where it hides nothing."""
    good = values[np.isfinite(values)]
    if good.size and good.min() > _SMALLEST and good.max() > _LOG_FROM * good.min():
        axes.set_yscale("log")
    handles, _ = axes.get_legend_handles_labels()
    figure.legend(loc="outside lower center", ncols=min(2, len(handles)), frameon=False)


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
        drawn = _drawable(values)[order]
        axes.plot(places, drawn, **{**_line(index, drawn.size), "linestyle": "-"}, linewidth=1.6)
        gaps = int(np.isnan(drawn).sum())
        axes.set_ylabel(panel.replace("_", " ") + (f"\n({gaps} not finite)" if gaps else ""))
        axes.grid(visible=True, color="0.9")
        axes.set_axisbelow(True)
    rows[0].set_title(f"{name} and its derivatives", fontsize=12)
    rows[-1].set_xlabel("point")
    return figure

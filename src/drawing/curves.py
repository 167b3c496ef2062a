"""Learning-curve figures: pure functions of the numbers, without pyplot and without a window."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ..errors import UsageError
from .axes import (
    COUNTED,
    EPOCHS,
    LABEL,
    START,
    TICK,
    drawable,
    dress,
    is_wide,
    left_out,
    line_style,
    name_start,
    set_title,
)
from .figure import Figure

Numbers = NDArray[np.float64]
#: of each curve its name, the epochs and the values
Series = Sequence[tuple[str, Numbers, Numbers]]

_NEAR = 0.02  # of the figure's range: how far above its least value a curve is near it
_LONG = 1 / 5  # of the epochs, that a flat part has at the least
_FLAT = 1 / 16  # of the axis' height, below which what is drawn there cannot be told apart
_ROUNDING = 1e-5  # relative: of what differs less there is nothing to be told apart


def learning_curve_figure(
    epochs: Sequence[float],
    curves: Mapping[str, Sequence[float | None]],
    quantity: str = "loss",
) -> Figure:
    """Draw losses per epoch, and mark the epoch with the least value of each.

    The loss axis is logarithmic as `is_wide` has it. Where the start is so far above the rest that
    the last epochs lie in a flat line, a second panel below shows these alone: from the epoch on
    from which no curve is above its least value by more than a fiftieth of all that is drawn, if
    these are a fifth of the epochs or more.

    Args:
        epochs: the epochs, counted from 0, at their ends; what was measured within epoch e lies
            between e - 1 and e. `START` is what was measured before any update, and is drawn but
            never the best.
        curves: name of a loss to its value at each of the epochs, None where it was not measured.
            A curve without any value is left out.
        quantity: what the losses are, for their axis.

    Returns:
        A figure of 800 by 500 pixels, or by 750 with a second panel. Values that are not finite are
        left out and counted.

    Raises:
        UsageError: no curve has a value, or a curve is not as long as the epochs.
    """
    series = _series(epochs, curves)
    late = _flat_part(series)
    figure = Figure(figsize=(8, 7.5 if late else 5), dpi=100, layout="constrained")
    ratios = (1.6, 1) if late else (1,)
    axes, *below = figure.subplots(len(ratios), squeeze=False, height_ratios=ratios)[:, 0]
    _draw_curves(axes, series, quantity)
    notes = [note for each in series if (note := left_out(each[0], "epoch", each[1], each[2]))]
    note = f"\nleft out as not finite: {', '.join(notes)}" if notes else ""
    set_title(axes, f"Loss per epoch{note}")
    if any(START in places for _, places, _ in series):
        name_start(axes, START)
    for panel in below:
        _draw_curves(panel, late, "")
        set_title(panel, f"From epoch {math.ceil(late[0][1][0])} on")
    whole = all(START in places for _, places, _ in series)
    (below or [axes])[-1].set_xlabel(EPOCHS if whole else COUNTED, fontsize=LABEL)
    handles, _ = axes.get_legend_handles_labels()
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(2, len(handles)),
        frameon=False,
        fontsize=TICK,
    )
    return figure


def _series(epochs: Sequence[float], curves: Mapping[str, Sequence[float | None]]) -> Series:
    """Return the curves with a value, each with its own epochs."""
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
    return series


def _draw_curves(axes: Axes, series: Series, quantity: str) -> None:
    """Draw curves, each with a star at its least value, on a scale that suits them."""
    for index, (name, places, values) in enumerate(series):
        line = line_style(index, values.size)
        axes.plot(places, values, **line, linewidth=1.8, label=name)
        _mark_least(axes, name, places, values, line["color"])
    every = np.concatenate([values for _, _, values in series])
    good = every[np.isfinite(every)]
    if good.size and is_wide(float(good.min()), float(good.max())):
        axes.set_yscale("log")
    dress(axes, quantity)


def _flat_part(series: Series) -> Series:
    """Return the part of curves in which they are flat though their values differ; else nothing."""
    every = np.concatenate([values for _, _, values in series])
    good = every[np.isfinite(every)]
    if not good.size:
        return []
    places = np.concatenate([places for _, places, _ in series])
    begin = max(_near_from(x, y, _NEAR * float(np.ptp(good))) for _, x, y in series)
    if places.max() - begin < _LONG * np.ptp(places):
        return []
    late = [(name, x[x >= begin], y[x >= begin]) for name, x, y in series]
    parts = [values for _, _, values in late]
    if any(len(values) < 3 or not np.isfinite(values).all() for values in parts):
        return []
    if all(np.ptp(values) <= _ROUNDING * np.abs(values).max() for values in parts):
        return []
    height, flat = (_height(values, good) for values in (good, np.concatenate(parts)))
    return late if flat < _FLAT * height else []


def _height(values: Numbers, drawn: Numbers) -> float:
    """Return how high values reach on the axis of all that is drawn, in whatever unit."""
    wide = is_wide(float(drawn.min()), float(drawn.max()))
    return float(np.ptp(np.log(values) if wide else values))


def _near_from(places: Numbers, values: Numbers, near: float) -> float:
    """Return the epoch from which on a curve is near its least value, the start left out."""
    best = least(places.tolist(), values.tolist())
    if best is None:
        return math.inf
    far = np.flatnonzero(~(values <= best[1] + near))
    begin = int(far[-1]) + 1 if far.size else 0
    return float(places[begin]) if begin < len(places) else math.inf


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


def _measured(epochs: Sequence[float], values: Sequence[float | None]) -> tuple[Numbers, Numbers]:
    pairs = [(e, value) for e, value in zip(epochs, values, strict=True) if value is not None]
    return np.array([e for e, _ in pairs], dtype=np.float64), drawable([v for _, v in pairs])


def _mark_least(
    axes: Axes,
    name: str,
    places: Numbers,
    values: Numbers,
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

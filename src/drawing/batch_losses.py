"""Figure of the loss of every update: a pure function of the numbers."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ..errors import UsageError
from .axes import (
    LABEL,
    TICK,
    UPDATES,
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


def batch_loss_figure(
    losses: Sequence[float],
    steps_per_epoch: int = 0,
    *,
    first_step: int = 0,
    short: int = 0,
    quantity: str = "loss",
) -> Figure:
    """Draw the loss of every update, and its mean over each epoch.

    The axis is logarithmic as `is_wide` has it. Losses of an epoch's last batch, where that has
    fewer rows than the others, scatter more: they are faded, and neither the axis nor the means
    are of them, as the legend says.

    Args:
        losses: one loss an update, in order.
        steps_per_epoch: updates in an epoch; 0 where it is not known, which leaves the mean out.
        first_step: the number of updates before the first of these losses.
        short: how many rows the last batch of an epoch has, where they are fewer than in the
            others; 0 where all have as many.
        quantity: what the loss is, for its axis.

    Returns:
        A figure of 800 by 500 pixels. Losses that are not finite are left out and counted.

    Raises:
        UsageError: there is no loss.
    """
    if not losses:
        raise UsageError("There is no loss to draw: give at least one.")
    values = drawable(losses)
    steps = first_step + np.arange(values.size)
    full = np.ones(values.size, dtype=np.bool_)
    if short and steps_per_epoch > 1:
        full = steps % steps_per_epoch != steps_per_epoch - 1
    figure = Figure(figsize=(8, 5), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    note = left_out(f"{values.size} losses", "update", steps, values)
    below = f"\nleft out as not finite: {note}" if note else ""
    set_title(axes, f"Loss of every update{below}")
    style = line_style(0, values.size)
    axes.plot(steps[full], values[full], **style, linewidth=0.8, alpha=0.8, label="every update")
    if 1 < steps_per_epoch < values.size:
        middles, means = _epoch_means(values[full], steps[full], steps_per_epoch)
        label = "mean of the epoch" + "'s full batches" * (not full.all())
        axes.plot(middles, means, **line_style(1, means.size), linewidth=2.0, label=label)
    _choose_axis(axes, values[full])
    if not full.all():
        _draw_short(axes, steps[~full], values[~full], short)
    axes.set_xlabel(UPDATES, fontsize=LABEL)
    dress(axes, quantity)
    if first_step == 0:
        name_start(axes, 0)
    columns = 2 if full.all() else 1  # side by side, the longer labels leave the figure
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=TICK)
    return figure


def _choose_axis(axes: Axes, values: Numbers) -> None:
    """Make the loss axis logarithmic where losses are far apart, and keep it as it is now."""
    good = values[np.isfinite(values)]
    if good.size and is_wide(float(good.min()), float(good.max())):
        axes.set_yscale("log")
    axes.set_ylim(*axes.get_ylim())


def _draw_short(axes: Axes, steps: NDArray[np.int64], values: Numbers, rows: int) -> None:
    """Draw the losses of short batches, as far as they lie within the axis."""
    low, high = axes.get_ylim()
    beyond = int(np.sum((values < low) | (values > high)))
    label = f"short last batch, {rows} row{'s' * (rows > 1)}"
    label += f" ({beyond} of {values.size} outside)" if beyond else ""
    axes.plot(steps, values, ".", color="0.45", markersize=7, alpha=0.6, zorder=1, label=label)


def _epoch_means(
    values: Numbers, steps: NDArray[np.int64], steps_per_epoch: int
) -> tuple[Numbers, Numbers]:
    """Return the middle and the mean of each epoch's finite values."""
    good = np.isfinite(values)
    epoch = steps[good] // steps_per_epoch
    which, index, count = np.unique(epoch, return_inverse=True, return_counts=True)
    if which.size == 0:
        return np.zeros(0), np.zeros(0)
    scaled = values[good] / count[index]  # divided first: a sum of large values may overflow
    middle = np.bincount(index, weights=steps[good] / count[index])
    return middle.astype(np.float64), np.bincount(index, weights=scaled).astype(np.float64)

"""What the figures of losses share: colours, sizes, what can be drawn, the axes."""

import math
from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike, NDArray

#: the place on an axis of epochs of what was measured before any update
START = -1

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # Okabe and Ito
DASHES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D")
LARGEST, SMALLEST = 1e200, 1e-200  # beyond these, the log axis' own arithmetic overflows
TITLE, LABEL, TICK = 16, 15, 13  # points: legible where a figure is shown at half its size
COUNTED = "epoch (counted from 0)"
EPOCHS = "epoch (counted from 0; measured at its end)"
UPDATES = "updates made before"
_LOG_FROM = 10.0  # largest / least value from which an axis is logarithmic
_FEW_POWERS = 300.0  # largest / least value up to which a logarithmic axis has 2 and 5 labelled
_SHORT = 30  # letters of a title
_HEADROOM = 3.0  # times where the curves begin, so far a diverging one is followed at least
_MARKED_UP_TO = 60  # points, above which a line shows no marker at each
_VECTORS_UP_TO = 20_000  # points, above which an SVG holds the line as a picture


def drawable(values: ArrayLike) -> NDArray[np.float64]:
    """Return values with gaps, NaN, where one cannot be drawn."""
    array = np.asarray(values, dtype=np.float64)
    return np.where(np.abs(array) <= LARGEST, array, np.nan)


def is_wide(low: float, high: float) -> bool:
    """Return whether the axis from one loss to another is logarithmic.

    It is where both are positive and the higher is more than ten times the lower: of what lies in
    the lowest tenth of a linear axis nothing could be told apart.

    Example:
        >>> is_wide(1.0, 10.0), is_wide(1.0, 11.0), is_wide(0.0, 11.0)
        (False, True, False)
    """
    return low > SMALLEST and high > _LOG_FROM * low


def scale_to(axes: Axes, curves: Sequence[Sequence[float]]) -> None:
    """Make the loss axis logarithmic where losses are far apart; diverging ones do not rule it.

    The axis ends as many times above where the curves begin, by their median, as the least loss
    lies below, and at three times at the least.

    Args:
        axes: whose vertical axis is set.
        curves: the losses of each curve, in order.
    """
    every = np.concatenate([drawable(curve) for curve in curves])
    every = every[np.isfinite(every)]
    begins = [curve[0] for curve in curves if len(curve) and abs(curve[0]) <= LARGEST]
    if not every.size or not begins:
        return
    low, most = float(every.min()), float(every.max())
    begin, top = float(np.median(begins)), most
    if begin > 0:
        up = max(_HEADROOM, begin / low) if low > SMALLEST else _HEADROOM
        top = min(most, up * begin)
    if is_wide(low, top):
        axes.set_yscale("log")
        margin = math.exp(0.05 * math.log(top / low))
        axes.set_ylim(low / margin, top * margin)
    elif top < most:
        axes.set_ylim(low - 0.05 * (top - low), top)


def dress(axes: Axes, quantity: str) -> None:
    """Give axes of losses their label, a grid, whole numbers below, and a legible size of text.

    Args:
        axes: what is dressed.
        quantity: what the loss is, as plain text; "" for no label.
    """
    lines = [_balanced(line) for line in quantity.replace(" (", "\n(").split("\n")]
    axes.set_ylabel("\n".join(lines), fontsize=LABEL, parse_math=False)
    axes.tick_params(labelsize=TICK)
    axes.tick_params(which="minor", labelsize=TICK - 2)
    axes.yaxis.get_offset_text().set_fontsize(TICK)
    axes.grid(visible=True, color="0.9")
    axes.set_axisbelow(True)
    label_log(axes)
    places = MaxNLocator(nbins=9, steps=[1, 2, 5, 10], integer=True, min_n_ticks=1)
    axes.xaxis.set_major_locator(places)


def set_title(axes: Axes, title: str) -> None:
    """Give axes of losses their title.

    A short one cannot meet what else may stand above the axes, for which matplotlib would look each
    time that they are laid out or drawn, 5 ms a figure.
    """
    axes.set_title(title, fontsize=TITLE, y=None if len(title) > _SHORT else 1.0)


def label_log(axes: Axes) -> None:
    """Label 1, 2 and 5 on a logarithmic axis of losses that has few powers of ten."""
    low, high = axes.get_ylim()
    if axes.get_yscale() == "log" and high < _FEW_POWERS * low:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _in_short(value)))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _in_short(value: float) -> str:
    r"""Return a number as on an axis.

    Example:
        >>> _in_short(20000.0), _in_short(2e-5)
        ('20000', '$2 \times 10^{-5}$')
    """
    if 1e-3 <= value < 1e6:
        return f"{value:.6g}"
    mantissa, _, exponent = f"{value:.0e}".partition("e")
    return rf"${mantissa} \times 10^{{{int(exponent)}}}$"


def _balanced(text: str) -> str:
    r"""Return a text in as few lines as go beside an axis, about as long as each other.

    Example:
        >>> _balanced("mean squared distance from the target")
        'mean squared distance\nfrom the target'
    """
    count = -(-len(text) // 32)
    return fill(text, min(32, len(text) // max(count, 1) + 6))


def name_start(axes: Axes, place: float) -> None:
    """Put the word "start" below what was measured before any update.

    Args:
        axes: with all that is drawn on them.
        place: of the start: `START` on an axis of epochs, 0 on one of updates.
    """
    low, high = axes.get_xlim()
    ticks = axes.xaxis.get_major_locator().tick_values(low, high)
    room = (high - low) / 12
    kept = [int(tick) for tick in ticks if place + room < tick <= high]
    axes.set_xticks([place, *kept], labels=["start", *map(str, kept)])
    axes.set_xlim(low, high)


def line_style(index: int, points: int) -> dict[str, Any]:
    """Return how a line is drawn: by its place among others, and by how many points it has."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[index % len(DASHES)],
        "marker": MARKERS[index % len(MARKERS)] if points <= _MARKED_UP_TO else "",
        "markersize": 4,
        "rasterized": points > _VECTORS_UP_TO,
    }


def left_out(name: str, unit: str, places: NDArray[Any], values: NDArray[np.float64]) -> str:
    """Return how many values of a curve cannot be drawn, and where the first is; "" for none."""
    missing = places[~np.isfinite(values)]
    if not missing.size:
        return ""
    first = f"{unit} {math.ceil(missing[0])}"
    return f"{missing.size} of {name} (first at {first})".replace(f"epoch {START}", "start")

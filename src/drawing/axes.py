"""What the figures of losses share: colours, what can be drawn, and the scale of the loss axis."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # Okabe and Ito
DASHES = ("-", "--", "-.", ":")
LARGEST, SMALLEST = 1e200, 1e-200  # beyond these, the log axis' own arithmetic overflows
_LOG_FROM = 10.0  # largest / least value from which an axis is logarithmic
_HEADROOM = 10.0  # how far above where the curves begin a diverging one is followed


def drawable(values: Sequence[float]) -> NDArray[np.float64]:
    """Return values with gaps, NaN, where one cannot be drawn."""
    array = np.asarray(values, dtype=np.float64)
    return np.where(np.abs(array) <= LARGEST, array, np.nan)


def scale_to(axes: Axes, curves: Sequence[Sequence[float]]) -> None:
    """Make the loss axis logarithmic where losses are far apart; diverging ones do not rule it.

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
    top = min(most, _HEADROOM * float(np.median(begins))) if np.median(begins) > 0 else most
    if low > SMALLEST and top > _LOG_FROM * low:
        axes.set_yscale("log")
        margin = math.exp(0.05 * math.log(top / low))
        axes.set_ylim(low / margin, top * margin)
    elif top < most:
        axes.set_ylim(low - 0.05 * (top - low), top)

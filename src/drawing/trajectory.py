"""Figure of a descent: the path of the parameters over the loss, and their values by update."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ..errors import UsageError
from .axes import DASHES, LABEL, TICK, TITLE, drawable, label_log, name_start
from .figure import Figure

Numbers = NDArray[np.float64]

_PATH, _START, _END, _MINIMUM = "#D55E00", "#0072B2", "#009E73", "#CC79A7"  # Okabe and Ito
_CURVE_POINTS, _PLANE_POINTS = (241, 961, 3841), 49
_BANDS = 240  # of a curve whose waves are narrower than the picture can show
_RESOLVED = 0.05  # of the curve's height: how far it may lie beside the middle of its neighbours
_LEVELS = 24
_MARGIN = 0.25  # of the path's extent, on each side
_MARKED_UP_TO = 60  # points
_ROUNDING = 1e-5  # relative
_NAMES = 5  # in a row of the legend, at most
_LINES_UP_TO = 6  # parameters that are drawn by name


@dataclass(frozen=True)
class Path:
    """The path of a descent.

    Args:
        points: the parameters before the first update and after each kept one, (k, p).
        losses: the loss at each, (k,).
        gradients: the norm of the gradient at each, (k,).
        names: of the parameters, p of them.
        updates: the number of updates before each, (k,).
    """

    points: Numbers
    losses: Numbers
    gradients: Numbers
    names: Sequence[str]
    updates: NDArray[np.int64]

    @property
    def step_sizes(self) -> Numbers:
        """The distance from each point to the next, (k - 1,)."""
        return np.asarray(np.linalg.norm(np.diff(self.points, axis=0), axis=1))

    @property
    def apart(self) -> int:
        """How many updates lie between a point and the next: of them all the most."""
        return int(np.diff(self.updates).max(initial=1))


def trajectory_figure(
    path: Path, loss: Callable[[Numbers], Numbers], minimiser: Numbers | None = None
) -> Figure:
    """Draw a path over the loss, and below it parameters, gradient and step size by update.

    Where several updates lie between two points, as in an epoch of several batches, the title says
    so, and the change from point to point is named as such.

    Of one parameter it is the curve of the loss, of two its contours, of more the contours in the
    plane of the path's two leading principal components, through the path's mean.

    Args:
        path: at least two points, all finite.
        loss: gives the losses, (m,), at points, (m, p).
        minimiser: where the loss is least, (p,), if that is known; of several such places, (m, p).

    Returns:
        A figure of 900 by 900 pixels.

    Raises:
        UsageError: the path has fewer than two points, or one that is not finite.
    """
    if len(path.points) < 2 or not np.isfinite(path.points).all():
        raise UsageError("A path needs two points or more, all of them finite.")
    figure = Figure(figsize=(9, 9), dpi=100, layout="constrained")
    grid = figure.add_gridspec(2, 3, height_ratios=(2.3, 1))
    top = figure.add_subplot(grid[0, :])
    if path.points.shape[1] == 1:
        _draw_curve(top, path, loss, minimiser)
    else:
        _draw_contours(figure, top, path, loss, minimiser)
    last = path.updates[-1]
    where = " over the loss" if path.apart == 1 else ", one point an epoch"
    top.set_title(f"The path of {last} update{'s' * bool(last != 1)}{where}", fontsize=TITLE)
    top.xaxis.label.set_fontsize(LABEL)
    top.yaxis.label.set_fontsize(LABEL)
    top.tick_params(labelsize=TICK)
    _draw_by_update([figure.add_subplot(grid[1, column]) for column in range(3)], path)
    names = sum(len(axes.get_legend_handles_labels()[1]) for axes in figure.axes)
    rows = -(-names // _NAMES)
    figure.legend(loc="outside lower center", ncols=-(-names // rows), frameon=False, fontsize=TICK)
    return figure


def _range(values: Numbers) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    margin = _MARGIN * (high - low) or 0.5 * max(abs(high), 1.0)
    return low - margin, high + margin


def _not_too_thin(*ranges: tuple[float, float]) -> list[tuple[float, float]]:
    """Widen the shorter of two ranges to a fifth of the longer one: a path may be straight."""
    least = max(high - low for low, high in ranges) / 5
    middles = [((low + high) / 2, max(high - low, least) / 2) for low, high in ranges]
    return [(middle - half, middle + half) for middle, half in middles]


def _draw_curve(
    axes: Axes, path: Path, loss: Callable[[Numbers], Numbers], minimiser: Numbers | None
) -> None:
    """Draw the curve of a loss of one parameter, and the path on it."""
    seen = path.points if minimiser is None else np.vstack([path.points, minimiser])
    _draw_loss(axes, _range(seen), loss)
    _draw_path(axes, path.points[:, 0], path.losses)
    if minimiser is not None:
        places = minimiser.reshape(-1, 1)
        named = ", ".join(f"{place:.5g}" for place in places[:, 0])
        label = f"{_minimum(places)} at {named}"
        axes.plot(places[:, 0], loss(places), **_ring(), label=label)
    axes.set_xlabel(path.names[0])
    axes.set_ylabel("loss")
    axes.grid(visible=True, color="0.9")


def _draw_loss(axes: Axes, ends: tuple[float, float], loss: Callable[[Numbers], Numbers]) -> None:
    """Draw the curve of a loss; where its waves are too narrow to be seen, between what it lies."""
    for count in _CURVE_POINTS:
        places = np.linspace(*ends, count)
        heights = drawable(loss(places[:, None]))  # beyond the path it may be infinite
        beside = np.abs(heights[1:-1] - (heights[:-2] + heights[2:]) / 2)
        told = beside[np.isfinite(beside)]
        if not told.size or told.max() <= _RESOLVED * np.ptp(heights[np.isfinite(heights)]):
            axes.plot(places, heights, color="0.45", linewidth=1.4, label="loss")
            return
    bands = heights[:-1].reshape(_BANDS, -1)
    middles = places[:-1].reshape(_BANDS, -1).mean(axis=1)
    label = "loss, in narrow waves"
    low, high = (reduce(bands, axis=1) for reduce in (np.fmin.reduce, np.fmax.reduce))
    axes.fill_between(middles, low, high, color="0.8", label=label)


def _draw_contours(
    figure: Figure,
    axes: Axes,
    path: Path,
    loss: Callable[[Numbers], Numbers],
    minimiser: Numbers | None,
) -> None:
    """Draw the contours of a loss around a path, in its own plane or in a principal one."""
    seen = path.points if minimiser is None else np.vstack([path.points, minimiser])
    origin, directions, labels = plane_of(path)
    flat = (seen - origin) @ directions.T
    ranges = [_range(flat[:, side]) for side in (0, 1)]
    across, up = (np.linspace(*each, _PLANE_POINTS) for each in _not_too_thin(*ranges))
    corners = np.stack(np.meshgrid(across, up), axis=-1)
    heights = loss(corners.reshape(-1, 2) @ directions + origin).reshape(corners.shape[:2])
    low = min(_least(heights), float(path.losses.min()))
    shown, levels = _levels(heights, low)
    drawn = axes.contourf(across, up, shown, levels=levels, cmap="Greys", alpha=0.75)
    bar = figure.colorbar(drawn, ax=axes, ticks=levels[::4])
    bar.set_label("loss", fontsize=LABEL)
    bar.ax.tick_params(labelsize=TICK)
    told = low + levels[::4] ** 2
    told[np.abs(told) < _ROUNDING * told[-1]] = 0.0  # beside the others it is
    bar.set_ticklabels([_in_three_digits(loss) for loss in told])
    _draw_path(axes, *flat[: len(path.points)].T)
    if minimiser is not None:
        least = flat[len(path.points) :]
        axes.plot(*least.T, **_ring(), label=_minimum(least))
    axes.set_xlabel(labels[0])
    axes.set_ylabel(labels[1])


def plane_of(path: Path) -> tuple[Numbers, Numbers, list[str]]:
    """Return the plane that a path is drawn in: a point of it, two directions, their labels.

    Returns:
        The point (p,), orthonormal directions (2, p), and two labels.
    """
    count = path.points.shape[1]
    if count == 2:
        return np.zeros(2), np.eye(2), list(path.names)
    mean = path.points.mean(axis=0)
    _, sizes, directions = np.linalg.svd(path.points - mean, full_matrices=True)
    shares = np.zeros(count)
    shares[: sizes.size] = sizes**2 / (np.sum(sizes**2) or 1.0)
    labels = [f"principal component {n + 1} ({shares[n]:.1%} of the path)" for n in range(2)]
    return mean, directions[:2], labels


def _least(heights: Numbers) -> float:
    finite = heights[np.isfinite(heights)]
    return float(finite.min()) if finite.size else 0.0


def _levels(heights: Numbers, low: float) -> tuple[Numbers, Numbers]:
    """Return the root of how far losses are above the least one, and levels of it for contours.

    So contours lie closer near the least one.
    """
    finite = np.isfinite(heights)
    shown = np.sqrt(np.clip(np.where(finite, heights, np.nan) - low, 0.0, None))
    top = float(np.nanmax(shown)) if finite.any() else 0.0
    return shown, np.linspace(0.0, top or 1.0, _LEVELS + 1)


def _in_three_digits(loss: float) -> str:
    """Return a loss with three digits.

    Example:
        >>> _in_three_digits(1039.7), _in_short(0.016512)
        ('1040', '0.0165')
    """
    return f"{float(f'{loss:.3g}'):g}"


def _draw_path(axes: Axes, across: Numbers, up: Numbers) -> None:
    axes.plot(across, up, color=_PATH, linewidth=1.2, marker=".", markersize=5, label="path")
    axes.plot(across[0], up[0], **_mark("o", _START), label="start")
    axes.plot(across[-1], up[-1], **_mark("*", _END, 16), label="end")


def _mark(marker: str, colour: str, size: int = 10) -> dict[str, Any]:
    return {
        "linestyle": "",
        "marker": marker,
        "markersize": size,
        "color": colour,
        "markeredgecolor": "black",
        "zorder": 3,
    }


def _minimum(places: Numbers) -> str:
    return "minimum" if len(places) == 1 else "minima"


def _ring() -> dict[str, Any]:
    """Return how a minimum is drawn: around the star of an end that reached it."""
    ring = {"markerfacecolor": "none", "markeredgecolor": _MINIMUM, "markeredgewidth": 3}
    return {**_mark("o", _MINIMUM, 22), **ring, "zorder": 4}


def _name_of_steps(path: Path) -> str:
    """Return what the way from a point to the next is: a step only if one update makes it."""
    if path.apart == 1:
        return "length of the step"
    alike = np.ptp(np.diff(path.updates)) == 0
    return f"change in {path.apart} updates" if alike else "change in an epoch"


def _draw_by_update(axes: Sequence[Axes], path: Path) -> None:
    """Draw the parameters, the gradient's norm and the step size by update."""
    values, gradient, step = axes
    marker = "." if len(path.points) <= _MARKED_UP_TO else ""
    if len(path.names) == 1:
        values.plot(path.updates, path.points[:, 0], marker=marker)
        values.set_title(path.names[0], fontsize=TICK)
    elif len(path.names) <= _LINES_UP_TO:
        for column, name in enumerate(path.names):
            dash = DASHES[column % len(DASHES)]
            values.plot(path.updates, path.points[:, column], dash, marker=marker, label=name)
        values.set_title("parameters", fontsize=TICK)
    else:
        values.plot(path.updates, np.linalg.norm(path.points, axis=1), marker=marker)
        values.set_title("norm of the parameters", fontsize=TICK)
    gradient.plot(path.updates, path.gradients, color=_PATH, marker=marker)
    gradient.set_title("norm of the gradient", fontsize=TICK)
    step.plot(path.updates[1:], path.step_sizes, color=_END, marker=marker)
    step.set_title(_name_of_steps(path), fontsize=TICK)
    for each, drawn in ((gradient, path.gradients), (step, path.step_sizes)):
        good = drawn[np.isfinite(drawn) & (drawn > 0)]
        if good.size and good.max() > 100 * good.min():
            each.set_yscale("log")
            label_log(each)
        elif good.size and np.ptp(good) <= _ROUNDING * good.max():
            each.set_ylim(0, 2 * good.max())  # of rounding there is nothing to be seen
    for each in axes:
        each.set_xlabel("updates", fontsize=TICK)
        each.tick_params(labelsize=TICK - 1)
        each.xaxis.set_major_locator(MaxNLocator(nbins=3, integer=True, min_n_ticks=1))
        each.grid(visible=True, color="0.9")
    if path.updates[0] == 0:
        for each in (values, gradient):
            name_start(each, 0)

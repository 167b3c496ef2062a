"""The pictures that only the handouts need: pure functions of the numbers."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import imread

from descentlab.objectives import Objective

_STEP = "#D55E00"
_CURVE = "#0072B2"
_PATHS = (_CURVE, _STEP, "#009E73", "#CC79A7")
_DPI = 150
_GAP, _HEAD = 40, 60  # pixels


def stable_rates_figure(horizons: Sequence[int], rates: Sequence[float]) -> Figure:
    """Draw the observed stable rates over the horizon T, on the line of 1/T²."""
    figure, axes = _single("The largest stable learning rate falls as 1/T²")
    line = np.geomspace(min(horizons), max(horizons), 100)
    axes.plot(line, line**-2.0, color=_CURVE, label="1/T²")
    axes.plot(horizons, rates, "o", color=_STEP, markersize=9, label="by real steps")
    axes.set(xscale="log", yscale="log", xlabel="T", ylabel="learning rate")
    axes.legend(frameon=False)
    return figure


def paths_figure(paths: Mapping[str, Sequence[float]]) -> Figure:
    """Draw a parameter over the steps, from its start on, with the step nearest to 0 marked."""
    figure, axes = _single("θ before the first and after every step")
    for colour, (name, path) in zip(_PATHS, paths.items(), strict=False):
        nearest = min(range(len(path)), key=lambda step: abs(path[step]))
        axes.plot(path, "-o", color=colour, markersize=4, label=name)
        label = f"nearest to 0: {path[nearest]:.3g} after {nearest} steps"
        axes.plot(nearest, path[nearest], "*", color=colour, markersize=15, mec="k", label=label)
    axes.axhline(0.0, color="black", linewidth=0.8)
    axes.set(xlabel="step", ylabel="θ", xticks=range(0, max(map(len, paths.values())), 2))
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def minima_figure(objective: Objective, places: Sequence[float], values: Sequence[float]) -> Figure:
    """Draw a function of one number on [-5, 5], with the ends of descents marked."""
    figure, axes = _single("Where gradient descent ends, from starts beside each minimum")
    _draw_objective(axes, objective)
    axes.plot(places, values, "o", color=_STEP, markersize=8, label="ends of descents")
    axes.plot([0.0], [0.0], "*", color="black", markersize=14, label="the kink: global minimum")
    axes.set(xlabel="θ", ylabel="objective")
    axes.legend(frameon=False, loc="lower right")
    return figure


def descent_on_the_wave_figure(
    objective: Objective, paths: Mapping[str, Mapping[str, Sequence[float]]]
) -> Figure:
    """Draw an objective with the steps of several descents on it, one panel for each.

    Args:
        objective: a function of one number.
        paths: start to learning rate to the parameter before and after every step.
    """
    columns = len(next(iter(paths.values())))
    size = (3.2 * columns, 2.7 * len(paths))
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    panels = figure.subplots(len(paths), columns, sharex=True, sharey=True, squeeze=False)
    for row, (start, by_rate) in zip(panels, paths.items(), strict=True):
        for axes, (rate, path) in zip(row, by_rate.items(), strict=True):
            _draw_objective(axes, objective)
            heights = _values(objective, path)
            axes.plot(path, heights, "-o", color=_STEP, markersize=3, linewidth=0.6)
            axes.plot(path[-1], heights[-1], "*", color="black", markersize=13)
            axes.plot(path[0], heights[0], "s", color="white", mec="black", markersize=5)
            axes.set_title(f"from {start}, lr {rate}: ends at {path[-1]:.3f}", fontsize=9)
    figure.suptitle("Square: start. Star: after 100 steps.", fontsize=10)
    return figure


def random_fits_figure(
    losses: Sequence[Sequence[float]], milestones: Sequence[int], printed: Sequence[float]
) -> Figure:
    """Draw the losses of one fit, a curve for each seed, and those printed at the milestones."""
    figure, axes = _single(f"The printed losses among those of {len(losses)} seeds")
    for curve in losses:
        axes.plot(curve, color=_CURVE, linewidth=0.7, alpha=0.6)
    axes.plot([], [], color=_CURVE, label="one seed")
    axes.plot(milestones, printed, "D", color=_STEP, markersize=8, label="printed")
    axes.set(yscale="log", xlabel="step", ylabel="summed squared error")
    axes.legend(frameon=False)
    return figure


def momentum_figure(sets: Sequence[Sequence[str]], curves: Mapping[str, Sequence[float]]) -> Figure:
    """Draw learning curves coloured by momentum, one panel for each set of momenta.

    Args:
        sets: the momenta of each panel.
        curves: momentum to the loss before the first and after every epoch.
    """
    figure = Figure(figsize=(8, 3.1 * len(sets)), dpi=100, layout="constrained")
    panels = figure.subplots(len(sets), 1, sharex=True, squeeze=False)[:, 0]
    viridis = colormaps["viridis"]
    for axes, momenta in zip(panels, sets, strict=True):
        for momentum in momenta:
            epochs = np.arange(len(curves[momentum])) - 1
            colour = viridis(float(momentum))
            axes.plot(epochs, curves[momentum], color=colour, linewidth=2, label=f"μ = {momentum}")
        axes.set(yscale="log", ylabel="training loss")
        axes.grid(visible=True, color="0.9")
        above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0)}  # where no curve is
        axes.legend(**above, frameon=False, fontsize=9, ncols=len(momenta))
    panels[-1].set_xlabel("epoch (-1: before any update)")
    figure.colorbar(ScalarMappable(Normalize(0, 1), viridis), ax=list(panels), label="momentum μ")
    return figure


def beside_each_other(pictures: Mapping[str, bytes]) -> Figure:
    """Put PNG pictures beside each other, pixel for pixel, each under its title."""
    images = {
        title: np.asarray(imread(io.BytesIO(picture), format="png"))
        for title, picture in pictures.items()
    }
    width = sum(image.shape[1] + _GAP for image in images.values())
    height = max(image.shape[0] for image in images.values()) + _HEAD
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    left = _GAP / 2
    for title, image in images.items():
        rows, columns = image.shape[:2]
        place = (left / width, (height - _HEAD - rows) / height, columns / width, rows / height)
        axes = figure.add_axes(place)
        axes.imshow(image)
        axes.set_axis_off()
        axes.set_title(title, fontsize=9)
        left += columns + _GAP
    return figure


def _single(title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, 5), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, fontsize=12)
    axes.grid(visible=True, color="0.9")
    axes.set_axisbelow(True)
    return figure, axes


def _values(objective: Objective, points: Sequence[float]) -> Any:
    return torch.func.vmap(objective)(torch.tensor(points, dtype=torch.float64)).numpy()


def _draw_objective(axes: Axes, objective: Objective) -> None:
    places = np.linspace(-5.2, 5.2, 600).tolist()
    axes.plot(places, _values(objective, places), color=_CURVE, linewidth=1.2)

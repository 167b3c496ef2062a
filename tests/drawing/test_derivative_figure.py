"""The derivatives' figure against the numbers that were put into it."""

import math

import numpy as np
import pytest

from descentlab.drawing.derivatives import derivative_figure
from descentlab.drawing.figure import pixels
from descentlab.errors import UsageError


def lines(figure):
    return [[list(xy) for xy in axes.get_lines()[0].get_data()] for axes in figure.axes]


def test_a_panel_for_each_order_sorted_by_point():
    panels = {"value": [4.0, 0.0, 1.0], "first_derivative": [-4.0, 0.0, 2.0]}
    figure = derivative_figure("Square", [-2.0, 0.0, 1.0], panels)
    assert lines(figure) == [
        [[-2, 0, 1], [4, 0, 1]],
        [[-2, 0, 1], [-4, 0, 2]],
    ]
    shuffled = {name: [values[i] for i in (2, 0, 1)] for name, values in panels.items()}
    assert lines(derivative_figure("Square", [1.0, -2.0, 0.0], shuffled)) == lines(figure)
    wrong = {name: values[::-1] for name, values in panels.items()}
    assert lines(derivative_figure("Square", [-2.0, 0.0, 1.0], wrong)) != lines(figure)
    assert [axes.get_ylabel() for axes in figure.axes] == ["value", "first derivative"]
    assert figure.axes[0].get_title() == "Square and its derivatives"


def test_values_that_are_not_finite_are_gaps_and_counted():
    figure = derivative_figure("f", [0.0, 1.0, 2.0], {"value": [1.0, math.nan, math.inf]})
    assert np.isnan(lines(figure)[0][1]).tolist() == [False, True, True]
    assert figure.axes[0].get_ylabel() == "value\n(2 not finite)"


def test_nothing_leaves_the_figure():
    points = np.linspace(-5, 5, 101)
    names = ("value", "first_derivative", "second_derivative")
    figure = derivative_figure("Wide", points.tolist(), {n: (1e9 * points).tolist() for n in names})
    image = pixels(figure)
    assert image.shape == (780, 800, 3)
    assert all(edge.min() == 255 for edge in (image[0], image[-1], image[:, 0], image[:, -1]))


@pytest.mark.parametrize("panels", [{}, {"value": [1.0]}])
def test_what_cannot_be_drawn_is_refused(panels):
    with pytest.raises(UsageError, match="one value for each of 2 points"):
        derivative_figure("f", [0.0, 1.0], panels)

"""The figure of a fit: which points and lines are in it."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from descentlab.drawing.figure import pixels
from descentlab.drawing.fit import Points, fit_figure

X = np.array([[3.0], [1.0], [2.0]])
Y = np.array([6.0, 2.5, 4.0])
LINE = {"start": 0 * Y, "best, epoch 2": 2 * X[:, 0], "last": 1.9 * X[:, 0]}


def lines(axes):
    return {line.get_label(): np.stack(line.get_data()) for line in axes.get_lines()}


def test_of_one_input_lines_go_through_the_data():
    held = Points(X[:1] + 1, Y[:1], {name: y[:1] + 2 for name, y in LINE.items()})
    figure = fit_figure(
        {"train": Points(X, Y, LINE), "val": held}, "best, epoch 2", ("size", "price")
    )
    top, bottom = figure.axes
    drawn = lines(top)
    assert_array_equal(drawn["training data, 3 rows"], [X[:, 0], Y])
    assert_array_equal(drawn["validation data, 1 row"], [[4], [6]])
    assert_array_equal(drawn["best, epoch 2"], [[1, 2, 3, 4], [2, 4, 6, 8]])  # in order of x
    assert_array_equal(drawn["start"][1], [0, 0, 0, 2])
    first, second = bottom.get_lines()[:2]
    assert_array_equal(first.get_ydata(), Y - LINE["best, epoch 2"])
    assert_array_equal(second.get_ydata(), [6 - 8])
    assert (bottom.get_xlabel(), top.get_ylabel()) == ("size", "price")


def test_of_several_inputs_predictions_stand_over_targets():
    points = Points(np.hstack([X, X]), Y, LINE)
    figure = fit_figure({"train": points}, "last")
    top, bottom = figure.axes
    drawn = lines(top)
    assert_array_equal(drawn["training data, 3 rows"], [Y, LINE["last"]])
    assert_array_equal(drawn["predicted = true"], [[2.5, 6], [2.5, 6]])
    assert_array_equal(bottom.get_lines()[0].get_data(), [Y, Y - LINE["last"]])
    assert "last" in top.get_title()
    assert bottom.get_xlabel() == "true y"


def test_lines_that_are_not_finite_are_left_out():
    figure = fit_figure({"train": Points(X, Y, {**LINE, "last": Y * np.inf})}, "best, epoch 2")
    assert "last" not in lines(figure.axes[0])
    assert "start" in lines(figure.axes[0])
    with pytest.raises(FloatingPointError, match="finite"):
        fit_figure({"train": Points(X, Y, {"last": Y * np.nan})}, "last")


def test_of_many_rows_some_are_drawn():
    x = np.arange(9_000.0)
    figure = fit_figure({"train": Points(x[:, None], x, {"last": x})}, "last")
    assert_array_equal(figure.axes[0].get_lines()[0].get_xdata(), x[::5])


@pytest.mark.parametrize("far", [1e22, -1e22, 50.0])
def test_a_line_that_went_astray_does_not_hide_the_data(far):
    figure = fit_figure({"train": Points(X, Y, {**LINE, "last": Y + far})}, "best, epoch 2")
    top, _ = figure.axes
    assert "last (outside)" in lines(top)
    assert "start" in lines(top)  # of zeros, which is near the data
    low, high = top.get_ylim()
    assert low < Y.min() < Y.max() < high
    assert np.ptp(Y) > (high - low) / 4


def test_nothing_written_overlaps_or_leaves_the_figure_of_large_numbers():
    figure = fit_figure({"train": Points(X, 1e9 * Y, {"last": 3e9 * Y})}, "last", ("x", "y" * 20))
    pixels(figure)
    inside = figure.bbox
    for axes in figure.axes:
        offset = axes.yaxis.get_offset_text()
        boxes = [text.get_window_extent() for text in (axes.title, offset, axes.yaxis.label)]
        assert offset.get_text().startswith("1e")
        assert not boxes[0].overlaps(boxes[1])
        assert all(inside.containsx(box.x0) and inside.containsy(box.y1) for box in boxes)
    top, bottom = figure.axes
    assert bottom.title.get_window_extent().y1 < top.get_window_extent().y0


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("length", [16, 30, 60])
def test_a_title_of_long_names_stays_within_the_figure(length, count):
    words = ("petal width (cm) " * 4)[:length].strip()
    points = Points(np.hstack([X] * count), Y, {"best, epoch 123": Y, "last": Y})
    figure = fit_figure({"train": points}, "best, epoch 123", (words, words))
    pixels(figure)
    title, inside = figure.axes[0].title, figure.bbox
    assert " ".join(title.get_text().split()).count(words) == 3 - count
    box = title.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= inside.x1
    assert figure.axes[0].get_window_extent().y1 < box.y0 < box.y1 <= inside.y1


@pytest.mark.parametrize("rows", [3, 12_345])
def test_the_legend_stays_within_the_figure(rows):
    x = np.linspace(0, 1, rows)
    names = ["start", "epoch 5", f"best, epoch {rows}", f"last, {10 * rows} updates"]
    points = Points(x[:, None], x, {name: x + 1e6 for name in names})
    figure = fit_figure({"train": points, "val": points}, names[2])
    pixels(figure)
    legend = figure.legends[0].get_window_extent()
    assert figure.bbox.containsx(legend.x0)
    assert figure.bbox.containsx(legend.x1)
    assert legend.y1 < figure.axes[1].xaxis.label.get_window_extent().y0

"""The figure of a path over the loss: what is drawn, against scikit-learn and closed forms."""

import collections
import dataclasses
import itertools

import numpy as np
import pytest
from sklearn.decomposition import PCA

from descentlab.drawing.figure import pixels
from descentlab.drawing.trajectory import Path, plane_of, trajectory_figure
from descentlab.errors import UsageError

RANDOM = np.random.default_rng(11)


def path(points):
    count = len(points)
    names = [f"w[{n}]" for n in range(points.shape[1])]
    losses = (points**2).sum(axis=1)
    return Path(points, losses, 2 * np.sqrt(losses), names, np.arange(count))


def bowl(points):
    return (points**2).sum(axis=1)


def drawn(figure, label, axes=0):
    (line,) = (one for one in figure.axes[axes].lines if one.get_label() == label)
    return np.stack(line.get_data(), axis=1)


def test_one_parameter_is_a_path_on_the_curve_of_the_loss():
    points = RANDOM.normal(size=(9, 1))
    figure = trajectory_figure(path(points), bowl, np.zeros(1))
    curve, way = drawn(figure, "loss"), drawn(figure, "path")
    assert np.allclose(curve[:, 1], curve[:, 0] ** 2)
    assert curve[:, 0].min() < points.min() < points.max() < curve[:, 0].max()
    assert np.array_equal(way, np.hstack([points, points**2]))
    assert np.array_equal(drawn(figure, "start")[0], way[0])
    assert np.array_equal(drawn(figure, "end")[0], way[-1])
    assert drawn(figure, "minimum at 0").tolist() == [[0.0, 0.0]]


def test_two_parameters_are_drawn_as_they_are():
    points = RANDOM.normal(size=(9, 2))
    figure = trajectory_figure(path(points), bowl, np.zeros(2))
    assert np.array_equal(drawn(figure, "path"), points)
    assert figure.axes[0].get_xlabel() == "w[0]"
    assert drawn(figure, "minimum").tolist() == [[0.0, 0.0]]


def test_several_minima_of_one_parameter_are_all_marked():
    figure = trajectory_figure(path(np.array([[2.0], [1.5]])), bowl, np.array([[1.0], [-2.0]]))
    assert drawn(figure, "minima at 1, -2").tolist() == [[1.0, 1.0], [-2.0, 4.0]]


@pytest.mark.parametrize("parameters", [1, 2])
def test_a_minimum_that_is_reached_is_a_ring_around_the_end(parameters):
    points = np.stack([np.ones(parameters), np.zeros(parameters)])
    lines = trajectory_figure(path(points), bowl, np.zeros(parameters)).axes[0].lines
    end, minimum = (next(x for x in lines if x.get_label().startswith(n)) for n in ("end", "min"))
    assert np.array_equal(end.get_xydata(), minimum.get_xydata())
    assert minimum.get_markersize() - minimum.get_markeredgewidth() > end.get_markersize()
    assert minimum.get_markerfacecolor() == "none"
    assert minimum.get_zorder() > end.get_zorder()


@pytest.mark.parametrize("parameters", [1, 2, 3])
def test_the_legend_stands_below_all_that_is_drawn(parameters):
    figure = trajectory_figure(path(RANDOM.normal(size=(9, parameters))), bowl)
    pixels(figure)
    (legend,) = figure.legends
    assert {"path", "start", "end"} <= {text.get_text() for text in legend.get_texts()}
    lowest = min(axes.get_tightbbox().y0 for axes in figure.axes)
    assert 0 <= legend.get_window_extent().y0 < legend.get_window_extent().y1 <= lowest
    assert not any(axes.get_legend() for axes in figure.axes)
    named = {f"w[{n}]" for n in range(parameters)} if parameters > 1 else set()
    assert named == {text.get_text() for text in legend.get_texts() if "w" in text.get_text()}
    assert figure.axes[-3].get_title() == ("parameters" if parameters > 1 else "w[0]")


@pytest.mark.parametrize(("noise", "flat"), [(1e-12, True), (0.1, False)])
def test_steps_that_differ_by_rounding_are_level(noise, flat):
    points = np.cumsum([[0.0, 0.0], [0.2, 0.0], [0.2 * (1 + noise), 0.0]], axis=0)
    step = trajectory_figure(path(points), bowl).axes[-1]
    assert (step.get_ylim() == pytest.approx((0, 0.4))) == flat


def test_the_bar_begins_at_the_least_loss_that_is_seen():
    points = np.array([[3.0, 4.0], [0.6, -0.8], [0.01, 0.02]])
    figure = trajectory_figure(path(points), bowl)
    pixels(figure)
    least, *_, last = (float(each.get_text()) for each in figure.axes[1].get_yticklabels())
    assert least == pytest.approx(bowl(points).min(), rel=1e-2)
    assert last > bowl(points).max()


def test_what_is_nothing_beside_the_other_losses_is_0_on_the_bar():
    figure = trajectory_figure(path(np.array([[3.0, 4.0], [1e-7, 1e-6]])), bowl)
    pixels(figure)
    labels = [each.get_text() for each in figure.axes[1].get_yticklabels()]
    assert labels[0] == "0"
    assert "0" not in labels[1:]


def test_no_name_stands_alone_in_a_row_of_the_legend():
    """Of six in rows of five, the second was below the first."""
    figure = trajectory_figure(path(RANDOM.normal(size=(9, 2))), bowl, np.zeros(2))
    pixels(figure)
    (legend,) = figure.legends
    heights = [round(text.get_window_extent().y0) for text in legend.get_texts()]
    assert sorted(collections.Counter(heights).values()) == [3, 3]


def test_more_parameters_are_drawn_in_the_plane_of_scikit_learns_components():
    spread = np.array([5.0, 3.0, 0.4, 0.2, 0.1])
    points = 2.0 + RANDOM.normal(size=(40, 5)) * spread
    expected = PCA(n_components=2).fit(points)
    origin, directions, labels = plane_of(path(points))
    assert np.allclose(origin, expected.mean_)
    assert np.allclose(np.abs(directions @ expected.components_.T), np.eye(2), atol=1e-9)
    for label, share in zip(labels, expected.explained_variance_ratio_, strict=True):
        assert f"({share:.1%} of the path)" in label
    way = drawn(trajectory_figure(path(points), bowl), "path")
    assert np.allclose(np.abs(way), np.abs(expected.transform(points)))
    assert not np.allclose(np.abs(way), np.abs(points[:, :2]))  # another plane is told apart


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_a_straight_path_and_a_short_one_can_be_drawn(count):
    step = RANDOM.normal(size=count)
    image = pixels(trajectory_figure(path(np.stack([step, 0.5 * step])), bowl))
    assert image.shape == (900, 900, 3)
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 20


def test_steps_are_distances():
    points = RANDOM.normal(size=(6, 3))
    expected = [np.linalg.norm(b - a) for a, b in itertools.pairwise(points)]
    assert np.allclose(path(points).step_sizes, expected)
    figure = trajectory_figure(path(points), bowl)
    lengths = next(each for each in figure.axes if each.get_title() == "length of the step")
    assert np.allclose(lengths.lines[0].get_ydata(), expected)
    assert lengths.lines[0].get_xdata().tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("updates", "title", "change"),
    [
        ([0, 1, 2], "The path of 2 updates over the loss", "length of the step"),
        ([0, 12, 24], "The path of 24 updates, one point an epoch", "12 updates"),
        ([0, 12, 18], "The path of 18 updates, one point an epoch", "an epoch"),
    ],
)
def test_the_change_in_several_updates_is_not_called_a_step(updates, title, change):
    points = RANDOM.normal(size=(3, 2))
    taken = dataclasses.replace(path(points), updates=np.array(updates))
    top, *_, last = trajectory_figure(taken, bowl).axes
    assert top.get_title() == title
    assert last.get_title().removeprefix("change in ") == change
    assert last.lines[0].get_xdata().tolist() == updates[1:]


@pytest.mark.parametrize("points", [np.ones((1, 2)), np.array([[0.0], [np.nan]])])
def test_what_is_no_path_is_refused(points):
    with pytest.raises(UsageError, match="two points or more"):
        trajectory_figure(path(points), bowl)


def waves(points):
    return (points * (2 + np.sin(4 * points)))[:, 0] ** 2


def test_waves_are_drawn_as_they_are_or_as_what_they_lie_between():
    """At 241 places a path of 60 had another curve than the loss."""
    near, far = (trajectory_figure(path(np.array([[1.0], [end]])), waves) for end in (60, 1e9))
    curve = drawn(near, "loss")
    every = np.linspace(curve[0, 0], curve[-1, 0], 100_001)
    between = np.interp(every, *curve.T)
    assert np.abs(between - waves(every[:, None])).max() < 0.05 * curve[:, 1].max()
    assert not [line for line in far.axes[0].lines if line.get_label() == "loss"]
    (band,) = far.axes[0].collections
    assert band.get_label() == "loss, in narrow waves"
    low, high = band.get_paths()[0].get_extents().get_points()
    assert high[1] == pytest.approx(9 * high[0] ** 2, rel=0.05)
    assert low[1] >= 0


@pytest.mark.parametrize("end", [0.0, 20.0])
def test_a_loss_that_is_infinite_beside_the_path_is_a_curve_all_the_same(end):
    """The largest losses were taken for waves, and the picture for a band up to infinity."""
    points = np.array([[0.0], [end or 2.0]])

    def wall(where):
        return np.where(where[:, 0] > (end or 2.0), np.inf, bowl(where) if end else np.inf)

    figure = trajectory_figure(path(points), wall)
    curve = drawn(figure, "loss")
    inside = curve[:, 0] <= (end or 2.0)
    assert np.isnan(curve[~inside, 1]).all()
    assert (~inside).any()
    if end:
        assert np.allclose(curve[inside, 1], curve[inside, 0] ** 2)
    assert not figure.axes[0].collections
    assert np.isfinite(figure.axes[0].get_ylim()).all()

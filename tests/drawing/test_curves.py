"""Figures against the numbers that were put into them."""

import io
import math
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.image import imread

from descentlab.drawing.axes import START
from descentlab.drawing.batch_losses import batch_loss_figure
from descentlab.drawing.curves import learning_curve_figure, least
from descentlab.drawing.figure import files_of, pixels
from descentlab.errors import UsageError
from tolerances import FLOAT64

NAN, INF = math.nan, math.inf


def drawn(figure, label):
    """Return the line of that label as (x, y)."""
    (line,) = [line for line in figure.axes[0].get_lines() if line.get_label() == label]
    return list(line.get_xdata()), list(line.get_ydata())


def best(figure):
    """Return what the legend says of the best epochs."""
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    return [label for label in labels if label.startswith("best")]


def assert_mean_of_epochs(figure, losses, steps_per_epoch, first_step=0):
    """Compare the drawn means with those of a plain loop."""
    _, means = drawn(figure, "mean of the epoch")
    epochs: dict[int, list[float]] = {}
    for step, loss in enumerate(losses, start=first_step):
        epochs.setdefault(step // steps_per_epoch, []).append(loss)
    np.testing.assert_allclose(
        means, [sum(epoch) / len(epoch) for epoch in epochs.values()], rtol=FLOAT64
    )


def test_every_loss_is_drawn_at_its_step():
    losses = [3.0, 2.5, 2.0, 1.5, 1.0]
    steps, values = drawn(batch_loss_figure(losses, first_step=40), "every update")
    assert steps == [40, 41, 42, 43, 44]
    assert values == losses


@pytest.mark.parametrize("first_step", [0, 5, 7])
def test_means_of_the_epochs(first_step):
    losses = np.random.default_rng(0).uniform(1, 2, 33).tolist()
    figure = batch_loss_figure(losses, 5, first_step=first_step)
    assert_mean_of_epochs(figure, losses, 5, first_step)
    with pytest.raises(AssertionError):
        assert_mean_of_epochs(figure, losses, 6, first_step)
    with pytest.raises(AssertionError):
        assert_mean_of_epochs(figure, losses[::-1], 5, first_step)


@pytest.mark.parametrize(
    ("losses", "scale"),
    [
        ([1.0, 10.0], "linear"),
        ([1.0, 10.1], "log"),
        ([0.0, 101.0], "linear"),
        ([-1.0, 101.0], "linear"),
        ([1.0, INF], "linear"),
    ],
)
def test_the_axis_is_logarithmic_where_it_helps(losses, scale):
    assert batch_loss_figure(losses).axes[0].get_yscale() == scale
    assert learning_curve_figure(range(2), {"a": losses}).axes[0].get_yscale() == scale


@pytest.mark.parametrize("least", [1e-9, 0.3, 2e7])
def test_a_logarithmic_axis_has_several_numbers(least):
    figure = learning_curve_figure([START, 0, 1], {"loss/val": [30 * least, 7 * least, least]})
    pixels(figure)
    (axes,) = figure.axes
    low, high = axes.get_ylim()
    told = [each.get_text() for each in axes.get_yticklabels()]
    seen = [name for name, at in zip(told, axes.get_yticks(), strict=True) if low <= at <= high]
    assert axes.get_yscale() == "log"
    assert len(seen) == len(set(seen)) >= 4
    assert all(seen)


@pytest.mark.parametrize(
    "draw",
    [
        batch_loss_figure,
        lambda losses, **of: learning_curve_figure([START, 0], {"a": losses}, **of),
    ],
)
def test_the_axes_say_what_the_loss_is_and_where_the_start_is(draw):
    axes = draw([2.0, 1.0], quantity="mean squared error (US$ of $y squared)").axes[0]
    assert axes.get_ylabel() == "mean squared error\n(US$ of $y squared)"
    assert axes.get_xticklabels()[0].get_text() == "start"
    assert draw([2.0, 1.0]).axes[0].get_ylabel() == "loss"


def test_a_run_that_is_drawn_from_later_on_has_no_start():
    labels = batch_loss_figure([3.0, 2.0, 1.0], first_step=40).axes[0].get_xticklabels()
    assert "start" not in {label.get_text() for label in labels}


def test_short_batches_are_faded_and_rule_neither_axis_nor_means():
    rng = np.random.default_rng()
    losses = rng.uniform(3, 4, 40)
    short = np.arange(40) % 4 == 3
    losses[short] = rng.uniform(0, 1e6, 10)
    losses[3] = 3.5
    figure = batch_loss_figure(losses.tolist(), 4, short=1)
    alike = batch_loss_figure(losses.tolist(), 4)
    low, high = figure.axes[0].get_ylim()
    assert 2.9 < low < losses[~short].min() < losses[~short].max() < high < 4.1
    assert alike.axes[0].get_ylim()[1] > 1e3
    assert drawn(figure, "every update")[1] == losses[~short].tolist()
    means = losses.reshape(10, 4)[:, :3].mean(axis=1)
    found = drawn(figure, "mean of the epoch's full batches")[1]
    np.testing.assert_allclose(found, means, rtol=FLOAT64)
    assert len(drawn(alike, "mean of the epoch")[1]) == 10  # all are full
    steps, faded = drawn(figure, "short last batch, 1 row (9 of 10 outside)")
    assert (steps, faded) == (np.flatnonzero(short).tolist(), losses[short].tolist())
    pixels(figure)
    legend = figure.legends[0].get_window_extent()
    assert 0 <= legend.x0 < legend.x1 <= figure.bbox.x1


def test_the_epochs_in_which_a_curve_is_flat_have_a_panel_of_their_own():
    late = 1 + 1e-3 * np.random.default_rng().uniform(0, 1, 20)
    values = [1000.0, 100.0, *late]
    _, panel = learning_curve_figure([START, *range(21)], {"loss/val": values}).axes
    line, star = panel.get_lines()
    assert list(line.get_xdata()) == list(range(1, 21))
    assert list(line.get_ydata()) == late.tolist()
    assert star.get_xdata() == [1 + int(np.argmin(late))]
    assert panel.get_title() == "From epoch 1 on"


@pytest.mark.parametrize(
    "values",
    [
        [1000.0, 1.0, 1.0, 1.0, 1.0],  # nothing to be told apart
        [1000.0, 1.2, 1.1, NAN, 1.0],  # one is not there
        [1000.0, 1.1, 1.0],  # two points say as much below as above
        [1.0, 1.1, 1000.0],  # the best are the first
        np.geomspace(1e3, 1e-9, 50).tolist(),  # on a logarithmic axis they are told apart
        np.linspace(5, 1, 300).tolist(),  # falls to the end: its last part is no flatter
    ],
)
def test_other_curves_have_one_panel(values):
    figure = learning_curve_figure(range(START, len(values) - 1), {"loss": values})
    assert len(figure.axes) == 1


def test_the_best_epochs_are_marked_and_named():
    curves = {"loss/train": [9.0, 5.0, 4.0, 3.0], "loss/val": [1.0, 6.0, 4.25, 4.5]}
    figure = learning_curve_figure([START, 0, 1, 2], curves)
    assert best(figure) == ["best train: epoch 2, 3", "best val: epoch 1, 4.25"]
    assert drawn(figure, "best train: epoch 2, 3") == ([2], [3.0])
    assert drawn(figure, "loss/val") == ([START, 0, 1, 2], curves["loss/val"])
    assert figure.axes[0].get_xticklabels()[0].get_text() == "start"


def test_values_that_were_not_measured_are_passed_over():
    curves = {"loss/train": [2.0, 1.0, 3.0], "loss/val": [None, 4.0, None], "other": [None] * 3}
    figure = learning_curve_figure([0, 1, 2], curves)
    assert drawn(figure, "loss/val") == ([1], [4.0])
    assert best(figure) == ["best train: epoch 1, 1", "best val: epoch 1, 4"]
    assert "not finite" not in figure.axes[0].get_title()


def test_values_that_are_not_finite_are_left_out_with_a_note():
    figure = learning_curve_figure([START, 0, 1], {"a": [NAN, 2.0, 1.0], "b": [1.0, INF, NAN]})
    title = figure.axes[0].get_title()
    assert "1 of a (first at start)" in title
    assert "2 of b (first at epoch 0)" in title
    assert best(figure) == ["best a: epoch 1, 1"]
    assert "1 of 3 losses (first at update 8)" in (
        batch_loss_figure([1.0, -INF, 2.0], first_step=7).axes[0].get_title()
    )


@pytest.mark.parametrize("value", [1.0, 0.0, NAN, INF, 1e308, 5e-324])
def test_one_point_is_drawn(value):
    curve = learning_curve_figure([0], {"loss": [value]})
    for figure in (curve, batch_loss_figure([value] * 3, 2)):
        assert pixels(figure).min() < 255
        assert b"<svg" in files_of(figure)["svg"]


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(UsageError, match="no loss"):
        batch_loss_figure([])
    with pytest.raises(UsageError, match="no value"):
        learning_curve_figure([0], {"loss": [None]})
    with pytest.raises(UsageError, match="'val' must have one value for each of 2 epochs"):
        learning_curve_figure([0, 1], {"train": [1.0, 2.0], "val": [1.0]})


floats = st.floats(width=64)


@given(values=st.lists(floats, min_size=1, max_size=8), steps=st.integers(0, 4))
@settings(max_examples=15, deadline=None)
def test_any_floats_are_drawn(values, steps):
    pixels(batch_loss_figure(values, steps))
    pixels(learning_curve_figure(range(START, len(values) - 1), {"loss": values}))


@given(values=st.lists(st.none() | floats, max_size=9))
def test_least_is_the_first_least_finite_value(values):
    found = least(range(len(values)), values)
    finite = [v for v in values if v is not None and math.isfinite(v)]
    if found is None:
        assert not finite
    else:
        assert found == (values.index(min(finite)), min(finite))


def test_equal_figures_are_equal_files():
    def files(last):
        figure = learning_curve_figure([0, 1], {"loss/train": [2.0, last]})
        found = files_of(figure)
        image = np.round(imread(io.BytesIO(found["png"]), format="png")[:, :, :3] * 255)
        assert np.array_equal(image, pixels(figure))
        return found

    one, two, other = files(1.0), files(1.0), files(1.5)
    assert one == two
    assert one["png"] != other["png"]
    assert one["svg"] != other["svg"]
    assert b"<svg" in one["svg"]
    assert b"dc:date" not in one["svg"]


def test_nothing_written_overlaps_or_leaves_the_figure():
    curves = {name: np.geomspace(900, 1, 151).tolist() for name in ("loss/train", "loss/val")}
    curves["loss/val"][-1] = NAN
    late = {name: (4e3 + np.geomspace(3e4, 1, 151)).tolist() for name in curves}
    for figure in (
        learning_curve_figure(range(START, 150), curves),
        learning_curve_figure(range(START, 150), late, "mean squared error (progression squared)"),
        batch_loss_figure(np.geomspace(1e9, 1e-9, 4000).tolist(), 25, short=1),
    ):
        image = pixels(figure)
        assert image.shape == (500 if len(figure.axes) == 1 else 750, 800, 3)
        edges = (image[0], image[-1], image[:, 0], image[:, -1])
        assert all(edge.min() == 255 for edge in edges)
        axes = figure.axes[-1]
        labels = [text for text in axes.get_xticklabels() if text.get_text()]
        boxes = [text.get_window_extent() for text in labels]
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
        assert figure.legends[0].get_window_extent().y1 <= axes.xaxis.label.get_window_extent().y0


def test_no_pyplot_is_needed():
    code = (
        "import sys; from descentlab.drawing.figure import pixels;"
        "from descentlab.drawing.batch_losses import batch_loss_figure;"
        "pixels(batch_loss_figure([1.0]));"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

"""The figure of several runs: what leaves it is named."""

import pytest

from descentlab.drawing.comparison import comparison_figure
from descentlab.errors import UsageError


def test_a_run_that_rises_out_of_the_picture_is_named():
    curves = {"falls": ([0, 1, 2], [4.0, 2.0, 1.0]), "rises": ([0, 1, 2], [4.0, 9.0, 1e6])}
    figure = comparison_figure(
        {"training loss": curves, "validation loss": {"falls": curves["falls"]}}
    )
    top, below = figure.axes
    assert top.get_title() == "training loss\nrises out of the picture: rises"
    assert top.get_ylim()[1] < 1e6
    assert below.get_title() == "validation loss"


@pytest.mark.parametrize(("risen", "seen"), [(1.5e3, True), (9.9e3, True), (9e4, False)])
def test_a_run_is_followed_as_far_up_as_the_others_go_down(risen, seen):
    falls, rises = [1.0, 1e-2, 1e-4], [1.0, 30.0, risen]
    figure = comparison_figure({"loss": {"a": ([0, 1, 2], falls), "b": ([0, 1, 2], rises)}})
    (axes,) = figure.axes
    assert axes.get_yscale() == "log"
    assert (axes.get_ylim()[1] > risen) == seen == (axes.get_title() == "loss")


def test_a_loss_that_is_no_number_leaves_it_too():
    figure = comparison_figure(
        {"loss": {"a": ([0, 1], [1.0, 0.5]), "b": ([0, 1], [1.0, float("nan")])}}
    )
    assert figure.axes[0].get_title() == "loss\nrises out of the picture: b"


def test_without_a_curve_there_is_no_figure():
    with pytest.raises(UsageError, match="no learning curve to draw"):
        comparison_figure({"training loss": {}})

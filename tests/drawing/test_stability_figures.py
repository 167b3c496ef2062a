"""Figures of where an optimizer is stable, read back from what was drawn."""

import math

import numpy as np
import pytest

from descentlab.drawing.stability import HIGHEST, loss_by_rate_figure, stability_map_figure


def test_the_losses_the_level_and_the_marks_are_where_they_should_be():
    losses = [2.0, 0.5, math.inf, 0.0, 1e9]
    marks = {"predicted": None, "observed": 0.3}
    (axes,) = loss_by_rate_figure([0.1, 0.2, 0.3, 0.4, 0.5], losses, 50, 3.0, marks, "SGD").axes
    assert axes.get_xlabel() == "learning rate of SGD"
    level, curve, mark = axes.lines
    assert set(level.get_ydata()) == {3.0}
    np.testing.assert_array_equal(curve.get_ydata(), [2.0, 0.5, np.nan, np.nan, 1e9])
    assert set(mark.get_xdata()) == {0.3}
    assert axes.get_ylim()[1] == pytest.approx(3.0 * HIGHEST)
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        *("before the first update", "after 50 updates", "observed: 0.3")
    ]


def test_two_rates_that_agree_are_both_seen():
    marks = {"predicted": 0.3, "observed": 0.3}
    (axes,) = loss_by_rate_figure([0.1, 0.4], [2.0, 9.0], 50, 3.0, marks).axes
    _, curve, predicted, observed = axes.lines
    assert predicted.get_linewidth() > 3 * observed.get_linewidth()
    assert (predicted.get_linestyle(), observed.get_linestyle()) == ("-", "--")
    assert max(predicted.get_zorder(), observed.get_zorder()) < curve.get_zorder()


def test_a_map_is_drawn_in_the_order_of_the_momenta():
    rows = [
        {"momentum": 0.9, "predicted": 0.4, "observed": 0.39},
        {"momentum": 0.0, "predicted": None, "observed": 0.2},
    ]
    (axes,) = stability_map_figure(rows).axes
    predicted, observed = axes.lines
    np.testing.assert_array_equal(predicted.get_xydata(), [[0.0, np.nan], [0.9, 0.4]])
    np.testing.assert_array_equal(observed.get_xydata(), [[0.0, 0.2], [0.9, 0.39]])
    assert axes.get_ylim()[0] == 0

"""Figures of a sweep: learning curves, and the best loss over two values."""

import itertools
import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from descentlab.drawing.axes import START
from descentlab.sweeps.figures import member_curves_figure, middle_half
from descentlab.sweeps.heat_map import best_loss_figure


def rows_and_curves(count, second=False):
    rows = [
        {
            "member": member,
            "lr": 0.1 * (member + 1),
            "momentum": float(member % 2),
            "seed": 42,
            "status": "diverged" if member == 1 else "finished",
            "best_loss": None if member == 1 else 1.0 + member,
            "best_epoch": 2,
        }
        for member in range(count)
    ]
    losses = {
        m: ([START, 0, 1, 2], [20.0, 9.0, 3.0, math.inf if m == 1 else 1.0 + m])
        for m in range(count)
    }
    return rows, {"train": losses, "val": losses} if second else {"train": losses}


def labels_of(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_few_members_are_drawn_each_with_a_legend_by_value():
    rows, curves = rows_and_curves(5, second=True)
    few = member_curves_figure(rows, curves, "momentum", ["lr", "momentum"], "mean error")
    assert labels_of(few) == ["0", "1"]
    assert few.legends[0].get_title().get_text() == "momentum"
    top, bottom = few.axes
    assert [len(axes.lines) for axes in (top, bottom)] == [5, 6]  # and a star
    assert [axes.get_ylabel() for axes in (top, bottom)] == ["mean error"] * 2
    assert "1 of 5 members diverged" in few.get_suptitle()
    assert "best (star): lr 0.1, momentum 0: 1 at epoch 2" in few.get_suptitle()
    assert [list(bottom.lines[-1].get_xdata()), list(bottom.lines[-1].get_ydata())] == [[2], [1]]


@pytest.mark.parametrize("count", [2, 5, 12])
def test_neighbouring_values_are_told_apart_by_colour_and_dash(count):
    rows, curves = rows_and_curves(count)
    (axes,) = member_curves_figure(rows, curves, "lr", ["lr"]).axes
    lines = axes.lines[:count]
    for one, other in itertools.pairwise(lines):
        hues = np.array([one.get_color(), other.get_color()])[:, :3]
        assert np.linalg.norm(hues[0] - hues[1]) > 0.15  # of viridis' twelve the least is 0.08
        assert one.get_linestyle() != other.get_linestyle()
        assert hues.min(axis=1).max() < 0.5  # none too light for a line
    assert len({line.get_color() for line in lines}) == count


def test_of_many_members_each_value_has_its_median_and_middle_half():
    rows, curves = rows_and_curves(13)
    (axes,) = member_curves_figure(rows, curves, "momentum", ["lr", "momentum"]).axes
    members, *bands = axes.collections
    assert members.get_segments()[4].tolist() == [[START, 20], [0, 9], [1, 3], [2, 5]]
    zero, one, best = (list(line.get_ydata()) for line in axes.lines[:3])
    # last losses: 1, 3, …, 13 of momentum 0; 4, 6, …, 12 and one that diverged of momentum 1
    assert zero == [20, 9, 3, statistics.median(range(1, 14, 2))]
    assert one == [20, 9, 3, statistics.median([4, 6, 8, 10, 12, math.inf])]
    assert best == [20, 9, 3, 1]
    assert [band.get_paths()[0].get_extents().y1 for band in bands] == [20, 20]
    assert labels_of(axes.figure) == ["0", "1", "the best member", "a member"]
    assert axes.get_xticklabels()[0].get_text() == "start"


def test_many_values_have_a_colour_bar():
    rows, curves = rows_and_curves(40)
    many = member_curves_figure(rows, curves, "lr", ["lr"])
    assert labels_of(many) == ["the best member"]
    axes, bar = many.axes
    assert bar.get_ylabel() == "lr"
    assert not axes.collections  # no member is beside the line of its own value
    assert len({line.get_color() for line in axes.lines[:40]}) == 40


@given(
    losses=st.lists(
        st.lists(st.floats(-1e9, 1e9) | st.just(math.inf), min_size=3, max_size=3), min_size=1
    )
)
def test_half_of_the_losses_lie_in_the_middle_half(losses):
    epochs, low, middle, high = middle_half([([0, 2, 5], each) for each in losses])
    assert epochs.tolist() == [0, 2, 5]
    for column, each in enumerate(zip(*losses, strict=True)):
        assert middle[column] == pytest.approx(statistics.median(each))
        inside = sum(low[column] <= loss <= high[column] for loss in each)
        assert 2 * inside >= len(each)
        assert sum(loss < low[column] for loss in each) <= len(each) / 4
        assert sum(loss > high[column] for loss in each) <= len(each) / 4


ANY = st.floats(-1e9, 1e9) | st.sampled_from([math.inf, math.nan])


@given(
    losses=st.lists(st.lists(ANY, min_size=4, max_size=4), min_size=1),
    missing=st.sets(st.integers(0, 3), max_size=3),
)
def test_the_quartiles_are_those_of_numpy(losses, missing):
    """NumPy's own take a second for the 400 curves of a sweep."""
    first = [epoch for epoch in range(4) if epoch not in missing]
    curves = [(first, [losses[0][epoch] for epoch in first]), *((range(4), x) for x in losses[1:])]
    table = np.full((len(curves), 4), np.nan)
    for row, (measured, each) in enumerate(curves):
        table[row, measured] = np.where(np.isfinite(each), each, np.inf)
    epochs, low, middle, high = middle_half(curves)
    table = table[:, epochs.astype(int)]
    assert np.array_equal(low, np.nanquantile(table, 0.25, axis=0, method="lower"))
    assert np.array_equal(high, np.nanquantile(table, 0.75, axis=0, method="higher"))
    assert np.array_equal(middle, np.nanmedian(table, axis=0))


def test_an_epoch_that_a_member_was_not_measured_in_is_without_it():
    epochs, *_, high = middle_half([([0, 1, 2], [3.0, 2.0, 1.0]), ([0, 2], [5.0, 7.0])])
    assert (epochs.tolist(), high.tolist()) == ([0, 1, 2], [5, 2, 7])


def test_a_figure_needs_a_curve():
    with pytest.raises(ValueError, match="no learning curve"):
        member_curves_figure([], {}, "lr", ["lr"])


def test_the_heat_map_has_the_best_loss_of_each_pair_and_marks_the_least():
    rows = [
        {"member": k, "lr": lr, "momentum": mu, "status": status, "best_loss": loss}
        for k, (lr, mu, status, loss) in enumerate(
            [
                (0.1, 0.0, "finished", 4.0),
                (0.1, 0.5, "finished", 2.0),
                (0.2, 0.0, "diverged", 8.0),
                (0.2, 0.5, "finished", 6.0),
            ]
        )
    ]
    axes = best_loss_figure(rows, "lr", "momentum").axes[0]
    assert axes.images[0].get_array().tolist() == [[4.0, 8.0], [2.0, 6.0]]
    texts = {text.get_text() for text in axes.texts}
    assert {"4", "2", "8", "6"} <= texts
    labels = [line.get_label() for line in axes.lines]
    assert any("least: 2 at lr = 0.1, momentum = 0.5" in label for label in labels)
    crosses = next(line for line in axes.lines if "diverged" in line.get_label())
    (x,), (y,) = crosses.get_data()
    assert (x, round(y)) == (1, 0)


def test_a_curve_of_which_one_point_is_finite_is_a_dot():
    rows, _ = rows_and_curves(2)
    curves = {"train": {0: ([0, 1], [2.0, 1.0]), 1: ([0, 1], [5.0, math.inf])}}
    lines = member_curves_figure(rows, curves, "lr", ["lr"]).axes[0].lines
    assert [line.get_marker() for line in lines] == ["", "o", "*"]

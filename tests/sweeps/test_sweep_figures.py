"""Figures of a sweep: learning curves, and the best loss over two values."""

import math

import pytest

from descentlab.sweeps.figures import best_loss_figure, member_curves_figure


def rows_and_curves(count, second=False):
    rows = [
        {
            "member": member,
            "lr": 0.1 * (member + 1),
            "momentum": float(member % 2),
            "seed": 42,
            "status": "diverged" if member == 1 else "finished",
            "best_loss": None if member == 1 else 1.0 + member,
        }
        for member in range(count)
    ]
    losses = {m: ([0, 1, 2], [9.0, 3.0, math.inf if m == 1 else 1.0 + m]) for m in range(count)}
    return rows, {"train": losses, "val": losses} if second else {"train": losses}


def test_few_curves_have_a_legend_and_many_a_colour_bar():
    rows, curves = rows_and_curves(5, second=True)
    few = member_curves_figure(rows, curves, "lr", ["lr"])
    (legend,) = few.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == [f"lr = {row['lr']:g}" for row in rows]
    assert len(few.axes) == 2
    assert [len(axes.lines) for axes in few.axes] == [5, 5]
    assert "1 of 5 members diverged" in few.get_suptitle()
    rows, curves = rows_and_curves(40)
    many = member_curves_figure(rows, curves, "lr", ["lr"])
    assert not many.legends
    assert len(many.axes) == 2  # one of them is the bar
    (lines,) = many.axes[0].collections
    assert len(lines.get_segments()) == 40
    assert len({tuple(colour) for colour in lines.get_colors()}) == 40


def test_the_curve_of_a_member_is_what_is_drawn():
    rows, curves = rows_and_curves(13)
    (lines,) = member_curves_figure(rows, curves, "lr", ["lr"]).axes[0].collections
    assert lines.get_segments()[4].tolist() == [[0.0, 9.0], [1.0, 3.0], [2.0, 5.0]]
    one_epoch = {"train": {m: ([0], [1.0 + m]) for m in range(13)}}
    (points,) = member_curves_figure(rows, one_epoch, "lr", ["lr"]).axes[0].collections
    assert points.get_offsets()[4].tolist() == [0.0, 5.0]


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
    assert [line.get_marker() for line in lines] == ["", "o"]

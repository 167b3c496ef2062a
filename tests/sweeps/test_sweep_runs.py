"""Sweeps by the command: their files, their figures, their tests, and how they go on."""

import csv
import json
import math

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from descentlab.__main__ import main
from descentlab.sweeps.figures import best_loss_figure, member_curves_figure
from tolerances import FLOAT32

SWEEP = ("fit", "--config", "linear_regression/lr_momentum_sweep.yaml", "--trainer.max_epochs", "3")
RUN = "logs/linear_regression/lr_momentum_sweep/version_0"
RATES = [0.01, 0.1, 1.0e38]
GRID = f"{{lr: {RATES}, momentum: [0.0, 0.5]}}"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def go(*words, status=0):
        capsys.readouterr()
        found = main([str(word) for word in words])
        out, err = capsys.readouterr()
        assert found == status, err
        return out if status == 0 else err.rstrip("\n").split("\n")[-1]

    return go


def table(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_a_sweep_leaves_a_row_for_each_member(run, tmp_path):
    out = run(*SWEEP, "--model.grid", GRID)
    rows = table(f"{RUN}/sweep.csv")
    assert [(float(r["lr"]), float(r["momentum"])) for r in rows] == [
        (rate, momentum) for rate in RATES for momentum in (0.0, 0.5)
    ]
    assert [r["status"] for r in rows] == ["finished"] * 4 + ["diverged"] * 2
    assert all(r["diverged_at"] for r in rows[4:])
    best = min(rows[:4], key=lambda r: float(r["best_loss"]))
    summary = json.loads((tmp_path / RUN / "summary.json").read_text())
    assert summary["members"] == 6
    assert summary["diverged"] == 2
    assert summary["best"]["member"] == int(best["member"])
    assert summary["best"]["best_loss"] == float(best["best_loss"])
    assert out.index(f"{float(best['best_loss']):.6g}") < out.index("diverged")
    for name in ("sweep_curves_lr", "sweep_curves_momentum", "sweep_best"):
        for suffix in ("png", "svg"):
            assert (tmp_path / RUN / "figures" / f"{name}.{suffix}").stat().st_size > 1000


def test_each_member_is_a_row_of_hparams(run, tmp_path):
    run(*SWEEP, "--model.grid", "{lr: [0.01, 0.1]}")
    rows = table(f"{RUN}/sweep.csv")
    folders = sorted((tmp_path / RUN / "members").iterdir())
    assert [folder.name for folder in folders] == ["00000", "00001"]
    for folder, row in zip(folders, rows, strict=True):
        events = EventAccumulator(str(folder))
        events.Reload()
        (best,) = events.Scalars("sweep/best_loss")
        assert best.value == pytest.approx(float(row["best_loss"]), rel=FLOAT32)
        assert "_hparams_/session_start_info" in events.summary_metadata


def test_a_test_of_a_run_has_what_each_members_own_run_has(run, tmp_path):
    run(*SWEEP, "--model.grid", GRID, "--model.seeds", "[1,42]")
    shown = run("test", "--run", RUN)
    members = json.loads((tmp_path / RUN / "test.json").read_text())["members"]
    assert len(members) == len(table(f"{RUN}/sweep_test.csv")) == 12
    assert "best.loss" in shown
    for member in (members[0], members[3], members[9]):
        own = ("--config", "linear_regression/momentum_by_hand.yaml", "--trainer.max_epochs", "3")
        own += ("--model.optimizer.lr", member["lr"], "--model.optimizer.momentum")
        own += (member["momentum"], "--seed_everything", member["seed"])
        run("fit", *own, "--trainer.logger.version", f"member_{member['member']}")
        single = f"logs/linear_regression/momentum_by_hand/member_{member['member']}"
        run("test", "--run", single)
        expected = json.loads((tmp_path / single / "test.json").read_text())
        for name in ("last", "best"):
            assert member[name]["epoch"] == expected[name]["epoch"]
            for metric in ("mse", "r2"):
                assert member[name][metric] == pytest.approx(expected[name][metric], rel=FLOAT32)
    for member in members:
        if member["status"] == "diverged":
            assert member["last"] is None


def test_validate_a_sweep_and_no_predictions_of_it(run, tmp_path):
    run(*SWEEP, "--model.grid", "{lr: [0.01, 0.1]}")
    run("validate", "--run", RUN)
    members = json.loads((tmp_path / RUN / "validate.json").read_text())["members"]
    for member, row in zip(members, table(f"{RUN}/sweep.csv"), strict=True):
        assert member["last"]["loss/val"] == pytest.approx(float(row["last_val"]), rel=FLOAT32)
    assert "Sweep is not made for predict" in run("predict", "--run", RUN, status=2)


@pytest.mark.parametrize(
    ("stopped", "left"),
    [
        (1, ["stopped", "stopped", "waiting", "waiting"]),
        (4, ["finished", "finished", "stopped", "stopped"]),
    ],
    ids=["in the first group", "in the second group"],
)
def test_a_sweep_that_was_broken_off_goes_on_to_the_same_end(run, tmp_path, stopped, left):
    cut = ("--model.grid", "{lr: [0.01, 0.02, 0.05, 0.1]}", "--model.members_at_once", "2")
    cut += ("--best_parameters.every", "0")
    whole = ("--trainer.logger.version", "whole")
    broken = ("--trainer.logger.version", "broken")
    stop = ("--trainer.callbacks+=sweep_runs.StopAt", f"--trainer.callbacks.epoch={stopped}")
    run(*SWEEP, *cut, *whole)
    assert "on purpose" in run(*SWEEP, *cut, *broken, *stop, status=1)
    folder = tmp_path / RUN
    last = folder.with_name("broken") / "checkpoints" / "last.ckpt"
    statuses = [row["status"] for row in table(folder.with_name("broken") / "sweep.csv")]
    assert statuses == left
    run(*SWEEP, *cut, "--ckpt_path", last, "--trainer.logger.version", "rest")
    rest, expected = (table(folder.with_name(name) / "sweep.csv") for name in ("rest", "whole"))
    assert rest == expected
    assert [row["status"] for row in rest] == ["finished"] * 4


def test_a_checkpoint_of_another_sweep_is_refused(run, tmp_path):
    run(*SWEEP, "--model.grid", "{lr: [0.01, 0.1]}")
    last = f"{RUN}/checkpoints/last.ckpt"
    other = run(*SWEEP, "--model.grid", "{lr: [0.01, 0.2]}", "--ckpt_path", last, status=2)
    assert "another sweep" in other or "with other points" in other
    run("fit", "--config", "linear_regression/split.yaml", "--trainer.max_epochs", "1")
    single = "logs/linear_regression/split/version_0/checkpoints/last.ckpt"
    assert "of a single run" in run(*SWEEP, "--ckpt_path", single, status=2)


def test_a_wrong_grid_ends_with_one_message(run):
    says = run(*SWEEP, "--model.grid", "{lr: [0.01], damping: [0.1]}", status=2)
    assert "grid.damping: Momentum can be swept over lr, momentum" in says
    assert run(*SWEEP, "--model.grid", "{lr: [-1]}", status=2).endswith("-1.0 was given")


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


def test_the_shipped_sweep_over_two_values_is_drawn(run, tmp_path):
    run("fit", "--config", "linear_regression/lr_sweep.yaml", "--trainer.max_epochs", "2")
    rows = table("logs/linear_regression/lr_sweep/version_0/sweep.csv")
    assert len(rows) == 12
    stacked = torch.load(
        tmp_path / "logs/linear_regression/lr_sweep/version_0/checkpoints/last.ckpt",
        weights_only=True,
    )
    slope = stacked["state_dict"]["module.slope"]
    assert slope.shape == (12, 1)
    assert float(rows[3]["last.slope[0]"]) == pytest.approx(slope[3, 0].item(), rel=1e-6)


def test_a_sweep_all_of_which_diverged_has_failed_and_is_drawn(run, tmp_path):
    words = ("--config", "linear_regression/lr_sweep.yaml", "--trainer.max_epochs", "3")
    says = run("fit", *words, "--model.grid", "{lr: [1.0e30, 1.0e32]}", status=1)
    assert "every member diverged" in says
    folder = tmp_path / "logs/linear_regression/lr_sweep/version_0"
    assert f"{folder.relative_to(tmp_path)}" in says
    assert len(table(folder / "sweep.csv")) == 2
    assert (folder / "figures" / "sweep_curves_lr.png").is_file()


def test_a_curve_of_which_one_point_is_finite_is_a_dot():
    rows, _ = rows_and_curves(2)
    curves = {"train": {0: ([0, 1], [2.0, 1.0]), 1: ([0, 1], [5.0, math.inf])}}
    lines = member_curves_figure(rows, curves, "lr", ["lr"]).axes[0].lines
    assert [line.get_marker() for line in lines] == ["", "o"]


def test_an_epoch_of_a_sweep_is_refused(run):
    run(*SWEEP, "--model.grid", "{lr: [0.01]}")
    assert "leave --epoch out" in run("test", "--run", RUN, "--epoch", "1", status=2)

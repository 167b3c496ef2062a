"""Sweeps by the command: their files, their figures, their tests, and how they go on."""

import csv
import json

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from descentlab.__main__ import main
from descentlab.sweeps import results
from tolerances import FLOAT32

SWEEP = ("fit", "--config", "linear_regression/lr_momentum_sweep.yaml", "--trainer.max_epochs", "3")
RUN = "logs/linear_regression/lr_momentum_sweep/version_0"
RATES = [0.01, 0.1, 1.0e38]
GRID = f"{{lr: {RATES}, momentum: [0.0, 0.5]}}"


@pytest.fixture
def run(drawing_run, white_pictures):
    """Run a command in an empty folder; its pictures are white."""
    return drawing_run


@pytest.fixture
def drawing_run(tmp_path, monkeypatch, capsys):
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


def test_a_sweep_leaves_a_row_for_each_member(drawing_run, tmp_path):
    out = drawing_run(*SWEEP, "--model.grid", GRID)
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


def shown_by_tensorboard(file):
    """Read a member's file under a name that TensorBoard takes for one of its own."""
    link = file.with_name(f"events.out.tfevents.{file.stem}")
    link.symlink_to(file)
    events = EventAccumulator(str(link)).Reload()
    link.unlink()
    return events


def test_each_member_is_a_row_of_hparams(run, tmp_path):
    run(*SWEEP, "--model.grid", "{lr: [0.01, 0.1]}")
    rows = table(f"{RUN}/sweep.csv")
    files = sorted((tmp_path / RUN / "members").iterdir())
    assert [file.name for file in files] == ["00000.hparams", "00001.hparams"]
    for file, row in zip(files, rows, strict=True):
        events = shown_by_tensorboard(file)
        (best,) = events.Scalars("loss/best")
        assert best.value == pytest.approx(float(row["best_loss"]), rel=FLOAT32)
        assert "_hparams_/session_start_info" in events.summary_metadata


def test_more_members_than_hparams_shows_have_none_there(run, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "MOST_HPARAMS", 1)
    assert "HParams have none of more than 1; sweep.csv has all" in run(
        *SWEEP, "--model.grid", "{lr: [0.01, 0.1]}"
    )
    assert len(table(f"{RUN}/sweep.csv")) == 2
    assert not (tmp_path / RUN / "members").exists()


def test_a_member_that_ends_above_its_start_is_worse_and_no_metric_of_it_is_huge(run, tmp_path):
    words = ("--config", "linear_regression/lr_sweep.yaml", "--trainer.max_epochs", "5")
    out = run("fit", *words, "--model.grid", "{lr: [0.1, 1.2, 1.0e30]}")
    folder = tmp_path / "logs/linear_regression/lr_sweep/version_0"
    rows = table(folder / "sweep.csv")
    assert [row["status"] for row in rows] == ["finished", "ended worse", "diverged"]
    start = {float(row["start_train"]) for row in rows}
    assert len(start) == 1  # all begin at zeros
    assert float(rows[1]["last_train"]) > 1e6 * max(start)
    summary = json.loads((folder / "summary.json").read_text())
    assert (summary["diverged"], summary["worse_than_start"]) == (1, 1)
    assert "1 diverged, 1 ended worse" in out
    shown = []
    for number in range(3):
        events = shown_by_tensorboard(folder / "members" / f"{number:05}.hparams")
        shown.append({tag: events.Scalars(tag)[0].value for tag in events.Tags()["scalars"]})
    assert shown[0].keys() == {f"loss/{name}" for name in ("best", "train", "val")}
    assert all(value <= 1.1 * max(start) for values in shown for value in values.values())
    assert "loss/train" not in shown[1]


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
@pytest.mark.parametrize("kind", ["descentlab.optimizers.Momentum", "torch.optim.RMSprop"])
def test_a_sweep_that_was_broken_off_goes_on_to_the_same_end(run, tmp_path, stopped, left, kind):
    cut = ("--model.grid", "{lr: [0.01, 0.02, 0.05, 0.1]}", "--model.members_at_once", "2")
    cut += ("--model.optimizer", kind)
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
    run("fit", "--resume", folder.with_name("broken"), "--trainer.callbacks", "null")
    for name in ("sweep.csv", "metrics.csv"):
        joined, one = (folder.with_name(each) / name for each in ("broken", "whole"))
        assert joined.read_text() == one.read_text()


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


def test_the_shipped_sweep_over_two_values_is_drawn(drawing_run, tmp_path):
    drawing_run("fit", "--config", "linear_regression/lr_sweep.yaml", "--trainer.max_epochs", "2")
    rows = table("logs/linear_regression/lr_sweep/version_0/sweep.csv")
    assert len(rows) == 12
    stacked = torch.load(
        tmp_path / "logs/linear_regression/lr_sweep/version_0/checkpoints/last.ckpt",
        weights_only=True,
    )
    slope = stacked["state_dict"]["module.slope"]
    assert slope.shape == (12, 1)
    assert float(rows[3]["last.slope[0]"]) == pytest.approx(slope[3, 0].item(), rel=1e-6)


def test_a_sweep_all_of_which_diverged_has_failed_and_is_drawn(drawing_run, tmp_path):
    words = ("--config", "linear_regression/lr_sweep.yaml", "--trainer.max_epochs", "3")
    says = drawing_run("fit", *words, "--model.grid", "{lr: [1.0e30, 1.0e32]}", status=1)
    assert "every member diverged" in says
    folder = tmp_path / "logs/linear_regression/lr_sweep/version_0"
    assert f"{folder.relative_to(tmp_path)}" in says
    assert len(table(folder / "sweep.csv")) == 2
    assert (folder / "figures" / "sweep_curves_lr.png").is_file()


def test_an_epoch_of_a_sweep_is_refused(run):
    run(*SWEEP, "--model.grid", "{lr: [0.01]}")
    assert "leave --epoch out" in run("test", "--run", RUN, "--epoch", "1", status=2)

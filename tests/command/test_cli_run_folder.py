"""What a run leaves behind: exactly these files, with this content; and what is done with it."""

import base64
import csv
import json
import math

import numpy as np
import pytest
import torch
import yaml
from command_line import RUN, YOUR_DATA, digest, write_data

from tolerances import FLOAT32, FLOAT64

FILES = {
    *("config.yaml", "metrics.csv", "batch_losses.csv", "split.pt", "summary.json", "timing.json"),
    *("checkpoints/best.ckpt", "checkpoints/last.ckpt", "checkpoints/parameters.pt"),
    *("figures/batch_losses.png", "figures/batch_losses.svg"),
    *("figures/epoch_losses.png", "figures/epoch_losses.svg"),
    *("figures/fit.png", "figures/fit.svg"),
    *("graphs/loss.dot", "graphs/loss.svg", "graphs/loss.png"),
    *("events", "report.html"),
}
OF = {
    "batch_loss": {
        *("batch_losses.csv", "figures/batch_losses.png", "figures/batch_losses.svg"),
    },
    "learning_curves": {name for name in FILES if "figures/" in name and "/fit" not in name},
    "fit_picture": {name for name in FILES if "/fit" in name},
    "graph_export": {name for name in FILES if name.startswith("graphs/")},
    "accelerator_timer": {"timing.json"},
    "progress": set(),
    "best_parameters": {name for name in FILES if name.startswith("checkpoints/")},
    "summary": {"summary.json", "report.html"},
}


def files(run):
    found = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    events = {name for name in found if name.startswith("events.out.tfevents.")}
    assert len(events) == 1
    return (found - events) | {"events"}


def parameters(run, name="last"):
    state = torch.load(run / f"checkpoints/{name}.ckpt", weights_only=True)["state_dict"]
    return {key: value.tolist() for key, value in state.items()}


def test_a_fit_leaves_exactly_these_files(command, here):
    assert command(*YOUR_DATA).status == 0
    assert files(here / RUN) == FILES


@pytest.mark.parametrize("instrument", sorted(OF))
def test_without_an_instrument_its_files_are_missing_and_the_rest_is_there(
    command, here, instrument
):
    outcome = command(*YOUR_DATA, f"--{instrument}", "null")
    assert outcome.status == 0
    assert files(here / RUN) == FILES - OF[instrument]
    assert ("epoch/s" in outcome.err) == (instrument != "progress")
    assert ("least validation loss" in outcome.out) == (instrument != "summary")


def test_figures_none_leaves_out_all_that_is_drawn(command, here):
    assert command(*YOUR_DATA, "--figures", "none").status == 0
    drawn = OF["learning_curves"] | OF["fit_picture"] | OF["graph_export"]
    assert files(here / RUN) == FILES - drawn


def test_figures_none_leaves_out_those_of_a_sweep(command, here):
    sweep = ("fit", "--config", "linear_regression/lr_sweep.yaml", "--trainer.max_epochs", "2")
    assert command(*sweep, "--figures", "none").status == 0
    run = here / "logs/linear_regression/lr_sweep/version_0"
    assert not list(run.rglob("*.png"))
    assert (run / "sweep.csv").is_file()
    assert command("fit", "--resume", run, "--trainer.max_epochs", "3").status == 0
    assert not list(run.rglob("*.png"))  # it is kept in the run's config
    assert command("test", "--run", run).status == 0


def test_without_any_instrument_nothing_is_measured(command, here):
    assert command(*YOUR_DATA, *(w for name in OF for w in (f"--{name}", "null"))).status == 0
    assert files(here / RUN) == {"config.yaml", "metrics.csv", "split.pt", "events"}


def test_callbacks_of_ones_own_stand_in(command, here):
    kinds = ("TQDMProgressBar", "ModelCheckpoint")
    own = [
        w for kind in kinds for w in ("--trainer.callbacks+", f"lightning.pytorch.callbacks.{kind}")
    ]
    outcome = command(*YOUR_DATA, "--progress", "null", "--best_parameters", "null", *own)
    assert outcome.status == 0
    assert [path.name for path in (here / RUN / "checkpoints").iterdir()] == ["epoch=1-step=4.ckpt"]


def test_without_a_logger_there_is_no_run_folder(command, here):
    outcome = command(*YOUR_DATA, "--trainer.logger", "false")
    assert outcome.status == 0
    assert not (here / "logs").exists()


def test_the_summary_has_its_form_and_its_figures(finished):
    run = finished / RUN
    summary = json.loads((run / "summary.json").read_text())
    assert list(summary) == [
        *("least", "start", "last", "parameters", "steps", "seconds", "seed", "device", "versions")
    ]
    assert summary["parameters"] == parameters(run)
    assert summary["steps"] == 4  # 48 training rows in batches of 32, 2 epochs
    assert summary["seed"] == 42
    assert summary["device"] == "cpu"
    assert 0 < summary["seconds"] < 60
    x = torch.load(finished / "X.pt")[:, 0]
    y = torch.load(finished / "y.pt")
    split = torch.load(run / "split.pt", weights_only=True)
    kept = torch.load(run / "checkpoints/parameters.pt", weights_only=True)
    for name in ("train", "val"):
        rows = split[name]
        losses = [
            float(((slope * x[rows] + bias - y[rows]) ** 2).mean())
            for slope, bias in zip(kept["slope"][:, 0], kept["bias"], strict=True)
        ]
        least = summary["least"][name]
        assert summary["last"][name] == pytest.approx(losses[-1], rel=FLOAT32)
        assert least["epoch"] == min(range(2), key=losses.__getitem__)
        assert least["loss"] == pytest.approx(min(losses), rel=FLOAT32)


def test_a_test_has_its_form_and_its_figures(command, here):
    words = ("--trainer.max_epochs", "30", "--model.optimizer.lr", "0.3", "--data.batch_size", "4")
    command(*YOUR_DATA, *words, "--trainer.precision", "64-true")
    run = here / RUN
    outcome = command("test", "--run", RUN, "--epoch", "0")
    report = json.loads((run / "test.json").read_text())
    assert list(report) == ["last", "best", "epoch 0"]
    x, y = torch.load("X.pt").double()[:, 0], torch.load("y.pt").double()
    rows = torch.load(run / "split.pt", weights_only=True)["test"]
    for name in ("last", "best"):
        column, held = report[name], parameters(run, name)
        assert {"epoch", "mse", "r2", "parameters"} <= column.keys()
        assert column["parameters"] == held  # float64, through the file and back
        error = held["slope"][0] * x[rows] + held["bias"] - y[rows]
        assert column["mse"] == pytest.approx(float((error**2).mean()), rel=FLOAT64)
        spread = float(((y[rows] - y[rows].mean()) ** 2).sum())
        assert column["r2"] == pytest.approx(1 - float((error**2).sum()) / spread, rel=FLOAT64)
        assert f"{column['mse']:.4g}" in outcome.out
    assert report["last"]["epoch"] == 29
    summary = json.loads((run / "summary.json").read_text())
    assert report["best"]["epoch"] == summary["least"]["val"]["epoch"] != 29
    assert report["epoch 0"]["parameters"] != report["last"]["parameters"]


def test_the_files_of_losses_agree(finished):
    run = finished / RUN
    with (run / "batch_losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["epoch"], row["step"]) for row in rows] == [
        *(("0", "0"), ("0", "1"), ("1", "2"), ("1", "3"))
    ]
    with (run / "metrics.csv").open() as file:
        metrics = [row for row in csv.DictReader(file) if row["loss/train"]]
    assert [row["epoch"] for row in metrics] == ["", "0", "1"]  # first before any update
    summary = json.loads((run / "summary.json").read_text())
    least = min(float(row["loss/val"]) for row in metrics[1:])
    assert least == pytest.approx(summary["least"]["val"]["loss"], rel=FLOAT32)


def test_the_timing_has_its_form(command, here):
    command(*YOUR_DATA, "--trainer.max_epochs", "20")
    timing = json.loads((here / RUN / "timing.json").read_text())
    assert list(timing) == ["device", "threads", "torch", "step", "epoch"]
    step = timing["step"]
    assert 0 < step["lower_quartile"] <= step["median"] <= step["upper_quartile"] < 1


def test_the_config_of_a_run_makes_the_same_run_again(command, here):
    words = ("--data.batch_size", "7", "--model.manual_optimization", "true")
    command(*YOUR_DATA, *words)
    outcome = command("fit", "--config", f"{RUN}/config.yaml")
    assert outcome.status == 0
    again = here / RUN.replace("version_0", "version_1")
    assert parameters(again) == parameters(here / RUN)
    assert (again / "batch_losses.csv").read_text() == (here / RUN / "batch_losses.csv").read_text()
    first, second = (
        yaml.safe_load((run / "config.yaml").read_text()) for run in (here / RUN, again)
    )
    assert first == second

    command("fit", "--config", f"{RUN}/config.yaml", "--seed_everything", "43")
    other = here / RUN.replace("version_0", "version_2")
    assert parameters(other) != parameters(here / RUN)  # the control: another order of batches


@pytest.mark.parametrize("precision", ["32-true", "64-true", "bf16-true", "bf16-mixed"])
def test_a_fit_may_end_with_its_test(command, here, precision):
    outcome = command(*YOUR_DATA, "--test_after_fit", "true", "--trainer.precision", precision)
    assert outcome.status == 0
    assert "loss/test" in outcome.out
    assert "r2/test" in outcome.out
    assert "mse/test" not in outcome.out  # the loss again
    assert json.loads((here / RUN / "test.json").read_text())["best"]["mse"] > 0
    at_once = (here / RUN / "test.json").read_text()
    (here / RUN / "test.json").unlink()
    command("test", "--run", RUN)
    assert (here / RUN / "test.json").read_text() == at_once
    assert not (here / RUN.replace("version_0", "version_1")).exists()


def test_the_table_of_a_fit_has_its_start_and_its_learning_rates(command, here):
    outcome = command(*YOUR_DATA, "--model.optimizer.lr", "0.25")
    summary = json.loads((here / RUN / "summary.json").read_text())
    rows = [" ".join(line.split()) for line in outcome.out.splitlines()]
    for name, label in (("train", "training"), ("val", "validation")):
        assert f"start {label} loss {summary['start'][name]:.6g}" in rows
    assert "lr 0.25" in rows
    schedule = ("--model.lr_scheduler", "ExponentialLR", "--model.lr_scheduler.gamma", "0.5")
    outcome = command(*YOUR_DATA, "--model.optimizer.lr", "0.25", *schedule)
    assert "lr 0.25, 0.0625 at the end" in " ".join(outcome.out.split())  # after two epochs


def test_the_page_of_a_run_has_its_losses_pictures_and_tests(command, here):
    command(*YOUR_DATA)
    run = here / RUN
    before = (run / "report.html").read_text()
    assert f">{json.loads((run / 'summary.json').read_text())['last']['val']:.6g}<" in before
    pictures = [*run.glob("figures/*.png"), *run.glob("graphs/*.png")]
    assert len(pictures) == before.count("<img") == 4
    assert all(base64.b64encode(each.read_bytes()).decode() in before for each in pictures)
    command("test", "--run", RUN)
    tested = f">{json.loads((run / 'test.json').read_text())['best']['r2']:.6g}<"
    assert tested in (run / "report.html").read_text()
    assert tested not in before
    command("fit", "--resume", RUN, "--trainer.max_epochs", "3")
    after = (run / "report.html").read_text()
    assert f">{json.loads((run / 'summary.json').read_text())['last']['val']:.6g}<" in after
    assert ">trainer.max_epochs<" in after


def test_a_run_is_evaluated_from_any_folder(command, here, tmp_path_factory, monkeypatch):
    command(*YOUR_DATA)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    write_data(elsewhere)
    torch.save(torch.zeros(60), elsewhere / "y.pt")  # other data by the same relative name
    (here / RUN / "report.html").unlink()  # which a test adds to
    before = digest(here / "logs")
    command("test", "--run", RUN)
    there = json.loads((here / RUN / "test.json").read_text())
    monkeypatch.chdir(elsewhere)
    assert command("test", "--run", here / RUN).status == 0
    assert json.loads((here / RUN / "test.json").read_text()) == there
    assert not (elsewhere / "logs").exists()
    assert before.items() <= digest(here / "logs").items()


def test_validate_measures_what_the_last_epoch_measured(command, here):
    command(*YOUR_DATA)
    outcome = command("validate", "--run", RUN)
    assert outcome.status == 0
    report = json.loads((here / RUN / "validate.json").read_text())
    with (here / RUN / "metrics.csv").open() as file:
        last = [row for row in csv.DictReader(file) if row["loss/train"]][-1]
    for tag in ("loss/train", "loss/val"):
        assert report["last"][tag] == pytest.approx(float(last[tag]), rel=FLOAT32)


def test_predict_writes_a_row_for_every_row(command, here):
    command(*YOUR_DATA, "--trainer.precision", "64-true")
    outcome = command("predict", "--run", RUN)
    assert outcome.status == 0
    with (here / RUN / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["row"]) for row in rows] == list(range(60))
    x = torch.load("X.pt").double()[:, 0]
    for name in ("last", "best"):
        held = parameters(here / RUN, name)
        expected = held["slope"][0] * x + held["bias"]
        found = [float(row[name]) for row in rows]
        np.testing.assert_allclose(found, expected.tolist(), rtol=FLOAT64)


def test_one_checkpoint_is_evaluated_without_a_trace(command, here):
    command(*YOUR_DATA)
    before = digest(here / "logs")
    words = ("--config", f"{RUN}/config.yaml", "--ckpt_path", f"{RUN}/checkpoints/best.ckpt")
    for kind in ("test", "validate", "predict"):
        outcome = command(kind, *words)
        assert outcome.status == 0
        assert outcome.out.strip()
    assert digest(here / "logs") == before


def test_the_table_names_what_comes_next(command, here):
    out = command(*YOUR_DATA).out
    assert f"descentlab tensorboard {RUN}\n" in out
    assert f"descentlab test --run {RUN}\n" in out
    values = dict(line.split(maxsplit=1) for line in out.splitlines() if line.startswith("bias"))
    assert math.isclose(float(values["bias"]), parameters(here / RUN)["bias"], rel_tol=1e-5)


def test_the_config_of_a_run_says_by_which_command_it_was_made(finished):
    lines = (finished / RUN / "config.yaml").read_text().splitlines()
    assert lines[0] == f"# descentlab {' '.join(YOUR_DATA)}"

"""What is said of how a run ended, and of its test: of the parameters that it has now."""

import json
import math
import os
from datetime import datetime

import pytest
import torch

from descentlab.modules import LinearRegression
from descentlab.runs.record import Record

QUIET = ("--graph_export", "null", "--learning_curves", "null", "--progress", "null")


def test_a_run_that_ends_above_its_start_is_called_so(command, here):
    """One early epoch was lucky, and only that was shown."""
    words = ("fit", "--config", "toy/wavy.yaml", *QUIET, "--model.optimizer.lr", "0.5")
    outcome = command(*words)
    (line,) = (each for each in outcome.out.splitlines() if each.startswith("last"))
    summary = json.loads((here / "logs/toy/wavy/version_0/summary.json").read_text())
    assert summary["least"]["train"]["loss"] < summary["start"]["train"]
    assert summary["last"]["train"] > summary["start"]["train"]
    assert line.split(None, 3)[3] == (
        f"{summary['last']['train']:.6g}, worse than at the start ({summary['start']['train']:.6g})"
    )
    assert "ended worse" in command("runs").out
    command(*words, "--model.optimizer.lr", "0.05")
    (line,) = (each for each in command("runs").out.splitlines() if each.startswith("toy/wavy/1"))
    assert "ended worse" not in line


@pytest.mark.parametrize(
    ("flags", "at", "made"),
    [
        (("--trainer.max_steps", "30"), 24, 30),
        (("--trainer.max_epochs", "5", "--trainer.check_val_every_n_epoch", "2"), 48, 60),
        (("--trainer.max_epochs", "2", "--trainer.val_check_interval", "5"), 22, 24),
    ],
)
def test_losses_from_before_the_last_update_are_called_so(command, here, flags, at, made):
    run = "logs/linear_regression/split/version_0"
    words = ("--config", "linear_regression/split.yaml", *QUIET, "--figures", "none")
    outcome = command("fit", *words, *flags)
    said = f"after update {at} of {made}"
    (line,) = (each for each in outcome.out.splitlines() if "measured" in each)
    assert line.split(None, 3)[3] == said
    assert json.loads((here / run / "summary.json").read_text())["last"]["step"] == at
    assert f"last, {said}" in (here / run / "report.html").read_text()
    command("fit", *words, "--trainer.max_epochs", "2", "--trainer.logger.version", "whole")
    whole = here / "logs/linear_regression/split/whole"
    assert Record(whole).late == ""
    assert "after update" not in (whole / "report.html").read_text()
    assert said in command("compare", run, str(whole)).out


def test_a_test_from_before_a_run_went_on_is_not_that_of_its_parameters(command, here):
    words = ("--config", "linear_regression/split.yaml", *QUIET, "--figures", "none")
    run = "logs/linear_regression/split/version_0"
    command("fit", *words, "--trainer.max_epochs", "2")
    command("test", "--run", run)
    assert Record(here / run).test["last"]["epoch"] == 1
    assert "On the test set" in (here / run / "report.html").read_text()
    command("fit", "--resume", run, "--trainer.max_epochs", "3")
    assert Record(here / run).test == {}
    assert "On the test set" not in (here / run / "report.html").read_text()
    command("test", "--run", run)
    assert Record(here / run).test["last"]["epoch"] == 2
    outcome = command("fit", "--resume", run, "--trainer.max_epochs", "1")
    assert outcome.status == 2
    assert outcome.message == (
        f"trainer.max_epochs = 1: the run of {run}/checkpoints/last.ckpt has 3 epochs already: "
        "give as many, or more"
    )


def test_a_run_that_went_on_is_listed_by_when_it_began(command, here):
    run = here / "logs/toy/wavy/version_0"
    words = (*QUIET, "--figures", "none", "--trainer.max_epochs", "2")
    command("fit", "--config", "toy/wavy.yaml", *words)
    for at, epochs in ((946684800, "3"), (978307200, "4")):  # began in 2000, went on in 2001
        os.utime(run / "config.yaml", (at, at))
        command("fit", "--resume", str(run), "--trainer.max_epochs", epochs)
    begun = datetime.fromtimestamp(946684800).strftime("%Y-%m-%d %H:%M")
    assert f"toy/wavy/0  {begun}  " in command("runs").out


def test_a_test_of_a_sweep_from_before_it_went_on_is_none(command, here):
    words = ("linear_regression/lr_sweep.yaml", *QUIET, "--figures", "none")
    run = "logs/linear_regression/lr_sweep/version_0"
    command("fit", "--config", *words, "--trainer.max_epochs", "2")
    command("test", "--run", run)
    assert len(Record(here / run).test["members"]) == 12
    command("fit", "--resume", run, "--trainer.max_epochs", "3")
    assert Record(here / run).test == {}


class OddInValidation(LinearRegression):
    def loss(self, batch):
        loss = super().loss(batch)
        return loss * (1.0 if torch.is_grad_enabled() or len(batch[0]) > 50 else math.nan)


def test_a_validation_loss_that_is_no_number_is_none(command, here):
    """The batches that were numbers made the loss of the set, with a warning."""
    model = f"{OddInValidation.__module__}.{OddInValidation.__name__}"
    words = ("linear_regression/split.yaml", *QUIET, "--model", model, "--trainer.max_epochs", "2")
    outcome = command("fit", "--config", *words)
    assert outcome.status == 0
    text = (here / "logs/linear_regression/split/version_0/summary.json").read_text()
    assert "NaN" not in text
    found = json.loads(text)
    assert found["least"]["train"]["epoch"] == 1
    assert (found["least"]["val"], found["start"]["val"], found["last"]["val"]) == (None,) * 3
    assert "least validation loss" not in outcome.out

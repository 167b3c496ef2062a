"""Optimizers of one's own that leave out the closure, searches, and losses that do not fall."""

import csv
import doctest
import json
import sys

import pytest
import torch
from command_line import RUN, YOUR_DATA

from descentlab.modules import closures
from forked import Forked

QUIET = ("--graph_export", "null", "--learning_curves", "null")
OWN = """
import torch

class Plain(torch.optim.SGD):
    def __init__(self, params, lr: float = 0.1):
        super().__init__(params, lr=lr)

class Without(Plain):
    def step(self):
        super().step()

class Uncalled(Plain):
    def step(self, closure=None):
        super().step()

class Keywords(Plain):
    def step(self, **settings):
        return super().step(**settings)
"""


@pytest.fixture
def own(command, here, monkeypatch):
    """Fit with an optimizer of the working folder."""
    (here / "own_steps.py").write_text(OWN)
    monkeypatch.syspath_prepend(here)
    monkeypatch.delitem(sys.modules, "own_steps", raising=False)

    def run(name, *words):
        return command(*YOUR_DATA, *QUIET, "--model.optimizer", f"own_steps.{name}", *words)

    return run


@pytest.mark.parametrize("manual", ["false", "true"])
def test_a_step_without_a_closure_is_refused_before_there_is_a_folder(own, here, manual):
    outcome = own("Without", "--model.manual_optimization", manual)
    assert outcome.status == 2
    assert outcome.message.startswith("model.optimizer: own_steps.Without.step takes no closure")
    assert not (here / "logs").exists()


def test_a_closure_that_is_not_called_is_named(own):
    outcome = own("Uncalled")
    assert outcome.status == 2
    assert "The closure hasn't been executed" in outcome.message
    assert own("Uncalled", "--model.manual_optimization", "true").status == 0


def test_examples_in_docstrings():
    assert doctest.testmod(closures).failed == 0


@pytest.mark.parametrize("name", ["Plain", "Keywords"])
def test_a_closure_that_is_called_is_not_refused(own, here, name):
    """Negative control."""
    assert own(name).status == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ("--trainer.callbacks+=LearningRateFinder",),
            "either `model` or `model.hparams` should have one of these fields: ('lr'",
        ),
        (("--trainer.logger", "WandbLogger"), "pip install wandb"),
        (("--trainer.limit_train_batches", "0.01"), "increase the `limit_train_batches` argument"),
        (
            ("--trainer.accumulate_grad_batches", "2", "--model.manual_optimization", "true"),
            "Automatic gradient accumulation is not supported for manual optimization",
        ),
    ],
)
def test_what_lightning_cannot_do_is_one_sentence(command, here, words, says):
    outcome = command(*YOUR_DATA, *QUIET, *words)
    assert outcome.status in (1, 2)
    assert says in outcome.message
    assert "Traceback" not in outcome.err
    assert not (here / "logs").exists()


def test_an_infinite_first_loss_is_not_the_learning_rates_fault(command, here):
    torch.save(1e20 * torch.ones(60), "y.pt")
    outcome = command(*YOUR_DATA, *QUIET)
    assert outcome.status == 1
    first = "the loss at step 0 (epoch 0) is inf: it was the first, before any update"
    assert outcome.message.startswith(first)
    assert "stable" not in outcome.message
    assert "rate" not in outcome.message


@pytest.mark.parametrize(("lr", "worse"), [("1.1", True), ("0.1", False)])
def test_a_least_that_is_above_the_start_is_called_so(command, here, lr, worse):
    """The square from 1: each step multiplies its root by 1 - 2 lr."""
    words = ("fit", "--config", "toy/square.yaml", *QUIET, "--model.optimizer.lr", lr)
    outcome = command(*words, "--trainer.max_epochs", "5")
    assert outcome.status == 0
    assert ("worse than at the start (1)" in outcome.out) == worse
    least = min((1 - 2 * float(lr)) ** (2 * epoch) for epoch in range(1, 6))
    summary = json.loads((here / "logs/toy/square/version_0/summary.json").read_text())
    assert summary["least"]["train"]["loss"] == pytest.approx(least, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_notebook"])
def test_processes_that_are_started_from_within_make_a_whole_run(here, strategy):
    cpus = ("--trainer.accelerator", "cpu", "--trainer.devices", "2")
    process = Forked((*YOUR_DATA, *cpus, "--trainer.strategy", strategy), here)
    try:
        _, err = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, err
    assert "nothing is left to train" not in err
    with (here / RUN / "batch_losses.csv").open() as file:
        losses = list(csv.DictReader(file))
    summary = json.loads((here / RUN / "summary.json").read_text())
    assert len(losses) == summary["steps"] == 4  # as in one process: a batch is that of both

"""Mistakes that other libraries find: one sentence, and no folder unless training began."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from command_line import RUN, YOUR_DATA

from descentlab.command.exception_messages import (
    LONGEST,
    fault,
    idleness,
    in_one_sentence,
    mistake_in_fit,
    mistake_in_making,
    mistake_in_use,
)
from descentlab.modules import LinearRegression

QUIET = ("--graph_export", "null", "--learning_curves", "null")
SGD = ("--model.optimizer", "torch.optim.SGD")
RATE = ("--model.optimizer.lr", "0.1")
SCHEDULER = "--model.lr_scheduler"


@pytest.fixture
def mistaken(command, here):
    """Make a fit with a mistake in it, which must end with one sentence."""

    def run(*words, status=2):
        outcome = command(*YOUR_DATA, *QUIET, *words)
        assert outcome.status == status, outcome.err
        assert "Traceback" not in outcome.out + outcome.err
        assert "Namespace(" not in outcome.err
        assert "object at 0x" not in outcome.err
        assert len(outcome.message) <= 500
        return outcome.message

    return run


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ("--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", "-1"),
            "SGD: Invalid lea",
        ),
        (
            ("--model.optimizer", "torch.optim.SGD", "--model.optimizer.nesterov", "true"),
            "Nesterov",
        ),
        (
            ("--model.optimizer", "torch.optim.Adam", "--model.optimizer.betas", "[2, 3]"),
            "model.optimizer: Adam: Invalid beta parameter at index 0",
        ),
        (("--model.optimizer", "torch.optim.Muon"), "model.optimizer: Muon: Muon only supports 2D"),
        (
            ("--model.optimizer", "torch.optim.LBFGS", "--model.manual_optimization", "true"),
            "LBFGS measures the loss anew within a step",
        ),
        (
            (SCHEDULER, "OneCycleLR", f"{SCHEDULER}.max_lr", "1"),
            "You must define either",
        ),
        (
            (SCHEDULER, "OneCycleLR"),
            "OneCycleLR needs max_lr: add --model.lr_sch",
        ),
        (
            (SCHEDULER, "CyclicLR", f"{SCHEDULER}.base_lr", "0.1", f"{SCHEDULER}.max_lr", "1"),
            "model.lr_scheduler: CyclicLR: optimizer must support momentum",
        ),
        ((SCHEDULER, "ChainedScheduler"), "model.lr_scheduler: ChainedScheduler: "),
        (("--trainer.val_check_interval", "100"), "`val_check_interval` (100) must be less"),
        (("--trainer.check_val_every_n_epoch", "0"), "check_val_every_n_epoch 0: give 1 or more"),
        (("--trainer.accumulate_grad_batches", "0"), "accumulate_grad_batches 0: give 1 or more"),
        (("--trainer.overfit_batches", "0.1"), "overfit_batches 0.1 is less than a batch of some"),
        (("--trainer.limit_train_batches", "0"), "limit_train_batches = 0 leaves no batch"),
        (
            ("--trainer.enable_progress_bar", "false"),
            "bar false: give --progress null",
        ),
        (("--trainer.enable_checkpointing", "false"), "false: give --best_parameters null"),
        (("--trainer.barebones", "true"), "trainer: `Trainer(barebones=True, logger=…)`"),
        (("--trainer.max_time", "00:00:00:00"), "nothing is left to train: trainer.max_time is u"),
        (("--data.random_state=-1",), "random_state = -1 is no seed: give 0 to 4294967295"),
        (("--data.random_state", str(2**32)), "4294967296 is no seed: give 0 to 4294967295"),
        (("--data.batch_size", str(2**63)), f"--data.batch_size {2**63}: a whole number of more"),
        (("--data.line.seed", str(-(2**63) - 1)), "--data.line.seed -9223372036854775809: a who"),
        (
            ("--trainer.max_steps", str(10**30)),
            "--trainer.max_steps 1000000000000000000000000000000: a",
        ),
        (("--trainer.gpus", "1"), "give --trainer.accelerator gpu --trainer.devices N"),
        (("--lr", "0.1"), "--lr 0.1: there is no such flag: give --model.optimizer.lr"),
        (
            ("--optimizer", "Adam"),
            "there is no such flag: give --model.optimizer",
        ),
        (("--optimizer.lr", "1"), "there is no such flag: give --model.optimizer.lr"),
        ((*RATE, *SGD), "--model.optimizer.lr is of the class before: give it after --model.opt"),
        (("toy/norm.yaml",), "toy/norm.yaml: a config is given as --config toy/norm.yaml"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_nothing(mistaken, here, words, says):
    assert says in mistaken(*words)
    assert not (here / "logs").exists()


@pytest.mark.parametrize(
    ("kind", "module"),
    [("RichProgressBar", "rich"), ("DeviceStatsMonitor", "psutil")],
)
def test_a_package_that_is_not_installed_is_named(mistaken, here, monkeypatch, kind, module):
    for place in (
        "progress.rich_progress._RICH",
        "device_stats_monitor._PSUTIL",
    ):
        monkeypatch.setattr(f"lightning.pytorch.callbacks.{place}_AVAILABLE", Missing())
    message = mistaken("--progress", "null", f"--trainer.callbacks+={kind}")
    assert kind in message
    assert f"pip install -U {module}" in message.replace("'", "")
    assert not (here / "logs").exists()


class Missing:
    """What Lightning asks whether a package is there, and how to get it."""

    def __bool__(self):
        return False

    def __str__(self):
        return "HINT: Try running `pip install -U 'psutil'`"


def test_a_run_that_fails_says_where_it_is(mistaken, here, monkeypatch):
    def fail(_):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(LinearRegression, "on_train_epoch_end", fail)
    message = mistaken(status=1)
    assert message.startswith("RuntimeError: broken on purpose (in ")
    assert f"what was finished before is in {RUN}; --traceback shows the whole" in message
    assert (here / RUN / "config.yaml").exists()


def test_a_timer_is_a_callback_like_others(command, here):
    timer = ("--trainer.callbacks+=Timer", "--trainer.callbacks.duration", "00:01:00:00")
    assert command(*YOUR_DATA, *QUIET, *timer).status == 0
    config = yaml.safe_load((here / RUN / "config.yaml").read_text())
    assert config["trainer"]["callbacks"][0]["init_args"]["interval"] == "step"
    printed = command(*YOUR_DATA, *timer, "--print_config")
    assert yaml.safe_load(printed.out)["trainer"]["callbacks"] == config["trainer"]["callbacks"]


def test_a_fault_of_ours_is_named_with_its_place(mistaken, command, here, monkeypatch):
    def broken(*_):
        return {}["nothing"]

    monkeypatch.setattr(LinearRegression, "loss", broken)
    message = mistaken(status=1)
    line = broken.__code__.co_firstlineno + 1
    assert message.startswith(f"KeyError: 'nothing' (in {Path(__file__).as_posix()}:{line})")
    assert message.endswith("--traceback shows the whole")
    assert not (here / "logs").exists()  # it fails in the first measurement
    outcome = command(*YOUR_DATA, *QUIET, "--traceback")
    assert outcome.status == 1
    assert "Traceback (most recent call last)" in outcome.err
    assert outcome.message == message


def test_a_fault_in_the_package_is_not_taken_for_a_mistake():
    with pytest.raises(TypeError) as raised:
        LinearRegression.loss(None, (torch.ones(1), torch.ones(1)))
    place = r"\(in descentlab/modules/\w+\.py:\d+\)"
    assert re.match(rf"TypeError: 'NoneType' object is not callable {place}", fault(raised.value))
    assert mistake_in_making(raised.value) is None
    assert mistake_in_fit(raised.value) is None


def test_another_class_starts_from_its_own_defaults(command, here):
    words = ("fit", "--config", "linear_regression/split.yaml", "--print_config")
    out = command(*words, "--model.optimizer", "torch.optim.Adadelta").out
    assert yaml.safe_load(out)["model"]["init_args"]["optimizer"]["init_args"]["lr"] == 1.0
    momentum = ("--model.optimizer", "torch.optim.SGD", "--model.optimizer.momentum", "0.5")
    out = command(*words, *momentum, "--model.optimizer", "Momentum").out
    default = yaml.safe_load(out)["model"]["init_args"]["optimizer"]["init_args"]["momentum"]
    assert default == 0.9
    out = command(*words, *momentum, "--model.optimizer", "torch.optim.SGD").out  # the control
    assert yaml.safe_load(out)["model"]["init_args"]["optimizer"]["init_args"]["momentum"] == 0.5


REACHED = "trainer.max_epochs = 2 and trainer.max_steps = 9 are reached: give more"


@pytest.mark.parametrize(
    ("done", "reason"),
    [
        (
            {"current_epoch": 2},
            REACHED,
        ),
        (
            {"global_step": 9},
            REACHED,
        ),
        ({"limit_train_batches": 0}, "trainer.limit_train_batches = 0 leaves no batch: give more"),
        ({}, None),  # the trainer whose processes were spawned: they trained, and it did not
    ],
)
def test_a_cause_is_named_only_where_it_is_one(done, reason):
    trainer = {"current_epoch": 0, "global_step": 0, "max_epochs": 2, "max_steps": 9}
    assert idleness(SimpleNamespace(**{**trainer, "limit_train_batches": 1.0, **done})) == reason


def test_ones_own_class_in_the_working_folder_is_told_where_to_call_from(mistaken, here):
    (here / "mine.py").write_text("")
    message = mistaken("--model", "mine.Net")
    assert "mine lies in the working folder" in message
    assert "call `python -m descentlab`" in message


@pytest.mark.parametrize(
    "text", ["x" * 2000, "Namespace(a=Namespace(b=(1, 2)), c=3) " * 50, "é\n" * 900]
)
def test_a_message_is_short_and_without_dumps(text):
    said = in_one_sentence(text)
    assert len(said) <= LONGEST
    assert "Namespace" not in said
    assert "\n" not in said


def raised_by(call, *arguments):
    with pytest.raises((RuntimeError, ValueError)) as raised:
        call(*arguments)
    return raised.value


def test_an_optimizer_is_told_from_the_module_that_it_calls():
    layer = torch.nn.Linear(3, 1)
    layer(torch.ones(1, 3)).sum().backward()
    sparse = torch.optim.SparseAdam(layer.parameters())
    assert mistake_in_use(raised_by(sparse.step)).startswith("model.optimizer: SparseAdam: Sparse")
    wrong = torch.optim.LBFGS(layer.parameters())
    assert mistake_in_use(raised_by(wrong.step, lambda: layer(torch.ones(1, 2)))) is None
    assert mistake_in_use(raised_by(int, "x")) is None

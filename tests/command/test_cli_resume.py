"""`fit --ckpt_path`: what is configured wins over what the checkpoint holds, and nothing else does.

The truth is a run that was never stopped, bit for bit, and a plain loop where something changed.
"""

import pytest
import torch
from command_line import YOUR_DATA

from tolerances import FLOAT64

NO_PICTURES = ("--learning_curves", "null", "--graph_export", "null")
TOY = ("fit", "--config", "toy/norm.yaml", "--trainer.precision", "64-true", *NO_PICTURES)
LOG = "logs/toy/norm"
LAST = f"{LOG}/version_0/checkpoints/last.ckpt"
DECAY = ("--model.lr_scheduler", "ExponentialLR", "--model.lr_scheduler.gamma", "0.9")
PLATEAU = (
    *("--model.lr_scheduler", "lightning.pytorch.cli.ReduceLROnPlateau"),
    *("--model.lr_scheduler.monitor", "loss/train", "--model.lr_scheduler.patience", "0"),
    *("--model.lr_scheduler.threshold", "0.9"),
)
BY_HAND = ("--model.manual_optimization", "true")


def theta(folder):
    checkpoint = torch.load(f"{folder}/checkpoints/last.ckpt", weights_only=True)
    return checkpoint["state_dict"]["theta"].tolist()


def norm_after(rates):
    """The squared norm from [1, -1]: each step multiplies by 1 - 2 lr."""
    value = 1.0
    for rate in rates:
        value -= rate * 2 * value
    return value


@pytest.mark.parametrize("manual", [(), BY_HAND], ids=["automatic", "manual"])
@pytest.mark.parametrize(
    "options",
    [
        (),
        DECAY,
        ("--model.optimizer", "Momentum", "--model.optimizer.momentum", "0.5"),
        ("--model.optimizer", "descentlab.optimizers.Adam", *DECAY),
        ("--model.optimizer", "torch.optim.Adam"),
        PLATEAU,
    ],
    ids=["plain", "decay", "momentum", "adam_decay", "torch_adam", "plateau"],
)
def test_a_run_that_goes_on_unchanged_is_one_never_stopped(command, here, manual, options):
    words = (*TOY, *options, *manual)
    assert command(*words, "--trainer.max_epochs", "4").status == 0
    outcome = command(*words, "--trainer.max_epochs", "9", "--ckpt_path", LAST)
    assert outcome.status == 0
    assert "is used" not in outcome.out
    assert command(*words, "--trainer.max_epochs", "9").status == 0
    assert theta(f"{LOG}/version_1") == theta(f"{LOG}/version_2")
    assert theta(f"{LOG}/version_1") != theta(f"{LOG}/version_0")


@pytest.mark.parametrize("manual", [(), BY_HAND], ids=["automatic", "manual"])
def test_a_rate_given_explicitly_wins_and_says_so(command, here, manual):
    command(*TOY, *manual, "--trainer.max_epochs", "3")
    words = ("fit", "--config", f"{LOG}/version_0/config.yaml", "--ckpt_path", LAST)
    rate = ("--model.optimizer.lr", "0.05", "--trainer.max_epochs", "5")
    outcome = command(*words, *rate)
    assert outcome.status == 0
    note = "lr: 0.2 in the checkpoint, 0.05 as configured: 0.05 is used\n"
    assert outcome.out.count(note) == 1
    first = theta(f"{LOG}/version_1")[0]
    assert first == pytest.approx(norm_after([0.2] * 3 + [0.05] * 2), rel=FLOAT64)
    assert first != pytest.approx(norm_after([0.2] * 5), rel=1e-3)


@pytest.mark.parametrize("manual", [(), BY_HAND], ids=["automatic", "manual"])
def test_a_scheduled_rate_is_scaled_by_another_start(command, here, manual):
    words = (*TOY, *DECAY, *manual)
    command(*words, "--trainer.max_epochs", "3")
    rate = ("--model.optimizer.lr", "0.1", "--trainer.max_epochs", "6")
    outcome = command(*words, *rate, "--ckpt_path", LAST)
    assert "lr: 0.2 in the checkpoint, 0.1 as configured: 0.1 is used" in outcome.out
    rates = [(0.2 if step < 3 else 0.1) * 0.9**step for step in range(6)]
    assert theta(f"{LOG}/version_1")[0] == pytest.approx(norm_after(rates), rel=FLOAT64)


def test_a_scheduler_may_come_and_go(command, here):
    command(*TOY, "--trainer.max_epochs", "2")
    command(*TOY, *DECAY, "--trainer.max_epochs", "4", "--ckpt_path", LAST)
    rates = [0.2, 0.2, 0.2, 0.2 * 0.9]
    assert theta(f"{LOG}/version_1")[0] == pytest.approx(norm_after(rates), rel=FLOAT64)
    last = LAST.replace("version_0", "version_1")
    outcome = command(*TOY, "--trainer.max_epochs", "5", "--ckpt_path", last)
    assert outcome.status == 0
    assert theta(f"{LOG}/version_2")[0] == pytest.approx(norm_after([*rates, 0.2]), rel=FLOAT64)


def test_every_hyperparameter_that_changes_is_noted(command, here):
    optimizer = ("--model.optimizer", "Momentum", "--model.optimizer.lr", "0.2")
    words = (*TOY, *optimizer, "--model.optimizer.momentum")
    command(*words, "0.5", "--trainer.max_epochs", "2")
    outcome = command(*words, "0.9", "--trainer.max_epochs", "3", "--ckpt_path", LAST)
    assert "momentum: 0.5 in the checkpoint, 0.9 as configured: 0.9 is used" in outcome.out
    value, buffer = 1.0, 0.0
    for momentum in (0.0, 0.5, 0.9):
        buffer = momentum * buffer + 2 * value
        value -= 0.2 * buffer
    assert theta(f"{LOG}/version_1")[0] == pytest.approx(value, rel=FLOAT64)


def test_shuffled_batches_go_on_where_they_were(command, here):
    folder = "logs/linear_regression/your_data"
    words = (*YOUR_DATA, "--data.batch_size", "7")
    command(*words)
    last = f"{folder}/version_0/checkpoints/last.ckpt"
    assert command(*words, "--trainer.max_epochs", "5", "--ckpt_path", last).status == 0
    command(*words, "--trainer.max_epochs", "5")
    states = [
        torch.load(f"{folder}/version_{n}/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for n in (1, 2)
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in ("slope", "bias"))


def test_an_evaluation_asks_for_no_optimizer(command, here):
    command(*TOY, "--trainer.max_epochs", "2")
    words = ("--config", "toy/norm.yaml", "--model.optimizer", "Momentum", "--ckpt_path", LAST)
    assert command("test", *words).status == 0


STEPS = ("--model.lr_scheduler", "StepLR", "--model.lr_scheduler.step_size")


@pytest.mark.parametrize("manual", [(), BY_HAND], ids=["automatic", "manual"])
def test_a_schedule_configured_otherwise_goes_on_at_its_own_epoch(command, here, manual):
    command(*TOY, *STEPS, "2", *manual, "--trainer.max_epochs", "3")
    words = (*TOY, *STEPS, "3", "--model.lr_scheduler.gamma", "0.5", *manual)
    outcome = command(*words, "--trainer.max_epochs", "8", "--ckpt_path", LAST)
    note = "lr_scheduler.step_size: 2 in the checkpoint, 3 as configured: 3 is used"
    assert note in outcome.out
    rates = [0.2, 0.2, 0.02, 0.1, 0.1, 0.1, 0.05, 0.05]
    assert theta(f"{LOG}/version_1")[0] == pytest.approx(norm_after(rates), rel=FLOAT64)
    saved = (here / LOG / "version_1" / "config.yaml").read_text()
    assert "step_size: 3" in saved


def test_the_patience_of_a_callback_is_the_configured_one(command, here):
    stop = ("--trainer.callbacks", "EarlyStopping", "--trainer.callbacks.monitor", "loss/train")
    words = (*TOY, *stop, "--trainer.callbacks.min_delta", "1e9", "--trainer.callbacks.patience")
    command(*words, "5", "--trainer.max_epochs", "3")  # two epochs without a gain that counts
    last = f"{LOG}/version_0/checkpoints/last.ckpt"
    outcome = command(*words, "8", "--trainer.max_epochs", "20", "--ckpt_path", last)
    note = "EarlyStopping.patience: 5 in the checkpoint, 8 as configured: 8 is used"
    assert outcome.out.count(note) == 1
    checkpoint = torch.load(f"{LOG}/version_1/checkpoints/last.ckpt", weights_only=True)
    assert checkpoint["epoch"] == 8  # the first epoch, and eight more
    unchanged = command(*words, "5", "--trainer.max_epochs", "20", "--ckpt_path", last)
    assert "is used" not in unchanged.out


@pytest.mark.parametrize(
    "averaging",
    [
        ("StochasticWeightAveraging", "--trainer.callbacks.swa_lrs", "0.1"),
        ("EMAWeightAveraging", "--trainer.callbacks.decay", "0.5"),
    ],
    ids=["swa", "ema"],
)
def test_averaging_goes_on_from_the_config_of_its_run(command, here, averaging):
    outcome = command(*TOY, "--trainer.callbacks+", *averaging, "--trainer.max_epochs", "4")
    assert outcome.status == 0
    assert "serialize" not in outcome.err
    config = f"{LOG}/version_0/config.yaml"
    assert "serialize" not in (here / config).read_text()
    assert command("fit", "--config", config).status == 0
    assert theta(f"{LOG}/version_1") == theta(f"{LOG}/version_0")
    words = ("fit", "--config", config, "--trainer.max_epochs", "6", "--ckpt_path", LAST)
    assert command(*words).status == 0
    assert theta(f"{LOG}/version_2") != theta(f"{LOG}/version_0")


def test_another_seed_is_refused(command, here):
    command(*TOY, "--trainer.max_epochs", "2")
    words = (*TOY, "--trainer.max_epochs", "3", "--ckpt_path", LAST, "--seed_everything")
    outcome = command(*words, "7")
    assert outcome.status == 2
    assert "--seed_everything 7: the run of the checkpoint began with 42" in outcome.message
    assert not (here / LOG / "version_1").exists()
    assert command(*words, "42").status == 0

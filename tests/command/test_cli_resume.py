"""`fit --ckpt_path`: what is configured wins over what the checkpoint holds, and nothing else does.

The truth is a run that was never stopped, bit for bit, and a plain loop where something changed.
"""

import pytest
import torch
from command_line import YOUR_DATA
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import ExponentialLR, OneCycleLR, ReduceLROnPlateau, SequentialLR

from descentlab.errors import UsageError
from descentlab.optimizers import Adam, GradientDescent, Momentum
from descentlab.optimizers.resumed import prefer_configured
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


# the pure function, over optimizers and schedulers


def made(kind, scheduler=None, **options):
    optimizer = kind([nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(1))], **options)
    return optimizer, scheduler(optimizer) if scheduler else None


def saved(optimizer, scheduler, steps=3):
    for _ in range(steps):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    states = [scheduler.state_dict()] if scheduler is not None else []
    return {"optimizer_states": [optimizer.state_dict()], "lr_schedulers": states}


@given(st.floats(1e-6, 1e3), st.floats(1e-6, 1e3), st.floats(0.1, 1.0), st.integers(0, 5))
def test_a_scheduled_rate_follows_its_start(before, now, gamma, steps):
    checkpoint = saved(*made(GradientDescent, lambda o: ExponentialLR(o, gamma), lr=before), steps)
    optimizer, scheduler = made(GradientDescent, lambda o: ExponentialLR(o, gamma), lr=now)
    notes = prefer_configured(checkpoint, optimizer)
    assert len(notes) == (before != now)
    optimizer.load_state_dict(checkpoint["optimizer_states"][0])
    scheduler.load_state_dict(checkpoint["lr_schedulers"][0])
    assert optimizer.param_groups[0]["initial_lr"] == now
    assert scheduler.base_lrs == [now]
    expected = pytest.approx(now * gamma**steps, rel=FLOAT64)
    assert optimizer.param_groups[0]["lr"] == expected
    assert scheduler.get_last_lr() == [expected]


@pytest.mark.parametrize(
    "scheduler",
    [
        lambda o: OneCycleLR(o, max_lr=1.0, total_steps=10),
        lambda o: SequentialLR(o, [ExponentialLR(o, 0.9), ExponentialLR(o, 0.5)], milestones=[2]),
        lambda o: ExponentialLR(o, 0.9),
    ],
    ids=["one_cycle", "sequential", "exponential"],
)
@pytest.mark.parametrize("kind", [torch.optim.SGD, Momentum, torch.optim.Adam, Adam])
def test_what_a_scheduler_moved_is_no_change(kind, scheduler):
    options = {"lr": 0.1} | ({"momentum": 0.9} if kind in (torch.optim.SGD, Momentum) else {})
    checkpoint = saved(*made(kind, scheduler, **options))
    before = [dict(group) for group in checkpoint["optimizer_states"][0]["param_groups"]]
    assert prefer_configured(checkpoint, made(kind, scheduler, **options)[0]) == []
    assert checkpoint["optimizer_states"][0]["param_groups"] == before


def test_nested_schedulers_are_scaled_too():
    def both(optimizer):
        parts = [ExponentialLR(optimizer, 0.9), ExponentialLR(optimizer, 0.5)]
        return SequentialLR(optimizer, parts, milestones=[2])

    checkpoint = saved(*made(GradientDescent, both, lr=0.1))
    prefer_configured(checkpoint, made(GradientDescent, both, lr=0.2)[0])
    inner = checkpoint["lr_schedulers"][0]["_schedulers"]
    assert [state["base_lrs"] for state in inner] == [[0.2], [0.2]]


def test_a_plateau_without_its_start_would_lose_its_progress():
    """Negative control: without `initial_lr` in the groups the reduced rate counts as a change."""
    optimizer, _ = made(GradientDescent, lr=0.1)
    scheduler = ReduceLROnPlateau(optimizer, patience=0)
    for _ in range(3):
        scheduler.step(1.0)
    checkpoint = {
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [scheduler.state_dict()],
    }
    assert optimizer.param_groups[0]["lr"] < 0.1
    assert prefer_configured(checkpoint, made(GradientDescent, lr=0.1)[0]) != []


@pytest.mark.parametrize(
    ("first", "second"),
    [(GradientDescent, Momentum), (Momentum, Adam), (Adam, torch.optim.Adam), (Adam, Momentum)],
)
def test_another_optimizer_is_refused(first, second):
    checkpoint = saved(*made(first, lr=0.1))
    with pytest.raises(UsageError, match=r"checkpoint is of an optimizer with .*: configure"):
        prefer_configured(checkpoint, made(second, lr=0.1)[0])


def test_other_groups_are_refused():
    checkpoint = saved(*made(GradientDescent, lr=0.1))
    groups = [{"params": [nn.Parameter(torch.ones(1))], "lr": rate} for rate in (0.1, 0.2)]
    with pytest.raises(UsageError, match=r"has 1 groups of parameters, and .* has 2"):
        prefer_configured(checkpoint, GradientDescent(groups))

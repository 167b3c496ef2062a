"""An optimizer and a scheduler that go on: what is configured otherwise is used, nothing else is.

The truth is torch's own optimizer and scheduler, made as configured and never stopped.
"""

import io

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    ExponentialLR,
    LambdaLR,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)
from torch.optim.swa_utils import SWALR

from descentlab.errors import UsageError
from descentlab.optimizers import Adam, GradientDescent, Momentum
from descentlab.optimizers.resumed import configured, prefer_configured
from tolerances import FLOAT64


def two_stages(optimizer, switch, gamma=0.9):
    stages = [ExponentialLR(optimizer, gamma), ExponentialLR(optimizer, 0.5)]
    return SequentialLR(optimizer, stages, milestones=[switch])


#: a schedule, and the same class configured otherwise
SCHEDULES = {
    "step": (lambda o: StepLR(o, 2), lambda o: StepLR(o, 3, gamma=0.5)),
    "steps": (lambda o: MultiStepLR(o, [1, 2]), lambda o: MultiStepLR(o, [1, 5])),
    "exponential": (lambda o: ExponentialLR(o, 0.9), lambda o: ExponentialLR(o, 0.7)),
    "cosine": (lambda o: CosineAnnealingLR(o, 3), lambda o: CosineAnnealingLR(o, 9, 0.01)),
    "restarts": (
        lambda o: CosineAnnealingWarmRestarts(o, 2),
        lambda o: CosineAnnealingWarmRestarts(o, 3, 2),
    ),
    "one_cycle": (
        lambda o: OneCycleLR(o, max_lr=1.0, total_steps=4),
        lambda o: OneCycleLR(o, max_lr=0.5, total_steps=12, base_momentum=0.5),
    ),
    "cyclic": (
        lambda o: CyclicLR(o, 0.1, 1.0, 2, cycle_momentum=False),
        lambda o: CyclicLR(o, 0.1, 0.8, 3, cycle_momentum=False),
    ),
    "sequential": (lambda o: two_stages(o, 2), lambda o: two_stages(o, 5, 0.8)),
    "function": (lambda o: LambdaLR(o, lambda e: 0.9**e), lambda o: LambdaLR(o, lambda e: 0.9**e)),
    "chained": (
        lambda o: ChainedScheduler([ExponentialLR(o, 0.9)]),
        lambda o: ChainedScheduler([ExponentialLR(o, 0.7)]),
    ),
    "averaging": (lambda o: SWALR(o, 0.01, 5), lambda o: SWALR(o, 0.02, 7)),
}


def made(kind, scheduler=None, **options):
    optimizer = kind([nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(1))], **options)
    return optimizer, scheduler(optimizer) if scheduler else None


def train(optimizer, scheduler, steps):
    """Step both; return the values of the groups before each step."""
    seen = []
    for _ in range(steps):
        group = optimizer.param_groups[0]
        seen.append({n: v for n, v in group.items() if n in ("lr", "momentum", "betas")})
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return seen


def stopped(optimizer, scheduler, steps=3):
    """Return the checkpoint of a run that was stopped, as it comes back from a file."""
    begun = configured(optimizer, scheduler)
    train(optimizer, scheduler, steps)
    states = [scheduler.state_dict()] if scheduler is not None else []
    checkpoint = {
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": states,
        "configured": begun,
    }
    file = io.BytesIO()
    torch.save(checkpoint, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def gone_on(checkpoint, optimizer, scheduler, steps):
    """Load a checkpoint as Lightning does, and train."""
    optimizer.load_state_dict(checkpoint["optimizer_states"][0])
    for state in checkpoint["lr_schedulers"]:
        scheduler.load_state_dict(state)
    return train(optimizer, scheduler, steps)


KINDS = [torch.optim.SGD, Momentum, torch.optim.Adam, Adam]


def options_of(kind):
    return {"lr": 0.1} | ({"momentum": 0.9} if kind in (torch.optim.SGD, Momentum) else {})


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_configured_as_before_goes_on_as_it_was(kind, schedule):
    make, _ = SCHEDULES[schedule]
    steps = 3 if schedule != "one_cycle" else 2
    checkpoint = stopped(*made(kind, make, **options_of(kind)), steps=steps)
    assert prefer_configured(checkpoint, *made(kind, make, **options_of(kind))) == []
    found = gone_on(checkpoint, *made(kind, make, **options_of(kind)), 2)
    assert found == train(*made(kind, make, **options_of(kind)), steps + 2)[steps:]


@pytest.mark.parametrize("schedule", [name for name in SCHEDULES if name != "function"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("lr", [0.1, 0.3])
def test_another_schedule_goes_on_at_its_own_epoch(kind, schedule, lr):
    before, now = SCHEDULES[schedule]
    options = options_of(kind) | {"lr": lr}
    checkpoint = stopped(*made(kind, before, **options_of(kind)))
    notes = prefer_configured(checkpoint, *made(kind, now, **options))
    assert notes
    assert all("Scheduler" not in note and len(note) < 200 for note in notes)
    found = gone_on(checkpoint, *made(kind, now, **options), 6)
    never_stopped = train(*made(kind, now, **options), 9)
    assert found == never_stopped[3:]


@pytest.mark.parametrize("schedule", [name for name in SCHEDULES if name != "function"])
def test_a_state_loaded_as_it_is_would_bring_the_old_schedule(schedule):
    """Negative control: what torch alone does."""
    before, now = SCHEDULES[schedule]
    checkpoint = stopped(*made(Momentum, before, lr=0.1))
    found = gone_on(checkpoint, *made(Momentum, now, lr=0.1), 1)
    assert found != train(*made(Momentum, now, lr=0.1), 4)[3:]


@given(st.floats(1e-6, 1e3), st.floats(1e-6, 1e3), st.floats(0.1, 1.0), st.integers(0, 5))
def test_a_scheduled_rate_follows_its_start(before, now, gamma, steps):
    checkpoint = stopped(
        *made(GradientDescent, lambda o: ExponentialLR(o, gamma), lr=before), steps
    )
    notes = prefer_configured(
        checkpoint, *made(GradientDescent, lambda o: ExponentialLR(o, gamma), lr=now)
    )
    assert len(notes) == (before != now)
    group = checkpoint["optimizer_states"][0]["param_groups"][0]
    assert group["initial_lr"] == now
    assert group["lr"] == pytest.approx(now * gamma**steps, rel=FLOAT64)
    assert checkpoint["lr_schedulers"][0]["base_lrs"] == [now]


@pytest.mark.parametrize("lr", [0.1, 0.4])
def test_a_plateau_keeps_its_reductions_and_what_it_has_seen(lr):
    optimizer, scheduler = made(GradientDescent, lambda o: ReduceLROnPlateau(o, patience=0), lr=0.1)
    begun = configured(optimizer, scheduler)
    for loss in (1.0, 0.5, 0.5):
        scheduler.step(loss)
    checkpoint = {
        "optimizer_states": [optimizer.state_dict()],
        "lr_schedulers": [scheduler.state_dict()],
        "configured": begun,
    }
    notes = prefer_configured(
        checkpoint, *made(GradientDescent, lambda o: ReduceLROnPlateau(o, patience=2), lr=lr)
    )
    assert "lr_scheduler.patience: 0 in the checkpoint, 2 as configured: 2 is used" in notes
    state = checkpoint["lr_schedulers"][0]
    assert (state["best"], state["patience"]) == (0.5, 2)
    rate = checkpoint["optimizer_states"][0]["param_groups"][0]["lr"]
    assert rate == pytest.approx(lr / 10, rel=FLOAT64)
    assert state["_last_lr"] == [rate]


def test_a_rate_of_zero_may_be_left():
    checkpoint = stopped(*made(torch.optim.SGD, lr=0.0, momentum=0.5))
    options = {"lr": 0.1, "momentum": 0.9}
    assert len(prefer_configured(checkpoint, *made(torch.optim.SGD, **options))) == 2
    assert gone_on(checkpoint, *made(torch.optim.SGD, **options), 1) == [options]


@pytest.mark.parametrize("schedule", ["step", "one_cycle", "averaging"])
def test_a_scheduler_may_come_and_go(schedule):
    make = SCHEDULES[schedule][0]
    without = stopped(*made(Momentum, lr=0.1))
    assert len(prefer_configured(without, *made(Momentum, make, lr=0.1))) >= 1
    found = gone_on(without, *made(Momentum, make, lr=0.1), 3)
    assert found == train(*made(Momentum, make, lr=0.1), 3)  # it begins now
    scheduled = stopped(*made(Momentum, make, lr=0.1))
    notes = prefer_configured(scheduled, *made(Momentum, lr=0.1))
    assert any(note.startswith("lr_scheduler: ") and "none is used" in note for note in notes)
    assert gone_on(scheduled, *made(Momentum, lr=0.1), 1) == [{"lr": 0.1, "momentum": 0.9}]


def test_each_group_has_its_own_values():
    def groups(second):
        rates = ({}, {"lr": second})
        return [{"params": [nn.Parameter(torch.ones(1))], **rate} for rate in rates]

    checkpoint = stopped(GradientDescent(groups(0.2), lr=0.1), None)
    notes = prefer_configured(checkpoint, GradientDescent(groups(0.3), lr=0.1))
    assert notes == ["lr: 0.2 in the checkpoint, 0.3 as configured: 0.3 is used"]
    saved = checkpoint["optimizer_states"][0]["param_groups"]
    assert [group["lr"] for group in saved] == [0.1, 0.3]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (GradientDescent, Momentum),
        (Momentum, Adam),
        (Adam, torch.optim.Adam),
        (Adam, Momentum),
        (torch.optim.Adam, torch.optim.AdamW),
        (torch.optim.RAdam, torch.optim.Adamax),
    ],
)
def test_another_optimizer_is_refused(first, second):
    checkpoint = stopped(*made(first, lr=0.1))
    with pytest.raises(UsageError, match=rf"of an optimizer {first.__name__}\(lr.*: configure"):
        prefer_configured(checkpoint, *made(second, lr=0.1))


def test_other_groups_are_refused():
    checkpoint = stopped(*made(GradientDescent, lr=0.1))
    groups = [{"params": [nn.Parameter(torch.ones(1))], "lr": rate} for rate in (0.1, 0.2)]
    with pytest.raises(UsageError, match=r"has 1 groups of parameters, and .* has 2"):
        prefer_configured(checkpoint, GradientDescent(groups, lr=0.1))

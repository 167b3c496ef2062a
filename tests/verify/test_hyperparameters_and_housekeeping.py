"""A hyperparameter that does nothing is named, and so is each thing that is not kept."""

from collections import deque
from functools import partial

import faulty
import pytest
import torch
from torch import optim

from descentlab import optimizers
from descentlab.verify import compare
from descentlab.verify.housekeeping import CHECKS, faults
from descentlab.verify.hyperparameters import idle

#: torch's, and ours
RIGHT = [
    *(optim.Adadelta, optim.Adafactor, optim.Adagrad, optim.Adam, optim.AdamW, optim.Adamax),
    *(optim.Muon, optim.NAdam, optim.RAdam, optim.RMSprop, optim.SGD),
    *(optimizers.Adam, optimizers.GradientDescent, optimizers.Momentum),
    *(faulty.AdamByHand, faulty.SGDByHand, faulty.Lion),
]


@pytest.mark.parametrize("make", RIGHT, ids=lambda make: f"{make.__module__}.{make.__name__}")
def test_what_is_right_is_not_accused(make):
    assert idle(make, {})[0] == []
    wrong, kept = faults(make, optim.Adam)
    assert (wrong, kept) == ([], list(CHECKS))


def test_nothing_is_said_of_what_cannot_be_tried():
    assert idle(optim.SparseAdam, {}) == ([], [])
    assert faults(optim.SparseAdam, optim.SparseAdam) == ([], [])


def test_hyperparameters_that_work_are_told_one_by_one():
    assert idle(optim.NAdam, {})[1] == [
        *("lr", "betas[0]", "betas[1]", "eps", "weight_decay", "momentum_decay"),
        *("decoupled_weight_decay", "maximize"),
    ]
    # dampening does nothing but with momentum, and a look ahead is refused with dampening
    assert idle(optim.SGD, {"lr": 0.1})[1] == [
        *("lr", "momentum", "dampening", "weight_decay", "nesterov", "maximize")
    ]


class OneBeta(faulty.AdamByHand):
    """Uses the first beta for both means."""

    def move(self, p, g, s, group):
        super().move(p, g, s, {**group, "betas": (group["betas"][0],) * 2})


IDLE = [
    (faulty.DecayIgnored, "weight_decay"),
    (OneBeta, "betas[1]"),
    (type("NoLr", (faulty.SGDByHand,), {"moved": 1, "move": lambda s, p, g, *_: p.sub_(g)}), "lr"),
]


@pytest.mark.parametrize(("make", "name"), IDLE, ids=[name for _, name in IDLE])
def test_a_hyperparameter_that_does_nothing_is_named(make, name):
    nothing, something = idle(make, {})
    assert name in nothing
    assert name not in something


def test_an_idle_hyperparameter_is_in_the_verdict():
    found = compare(faulty.DecayIgnored, optim.Adam, steps=3, lr=0.01)
    assert found.idle == ("weight_decay",)
    assert (
        "  IDLE     weight_decay: no value that was tried changes a step" in str(found).splitlines()
    )
    assert not found.holds


def test_what_the_reference_does_not_do_either_is_not_held_against_it():
    found = compare(partial(optim.ASGD, foreach=False), optim.ASGD, steps=2)
    assert (found.idle, found.faults) == ((), ())
    assert "t0" in idle(optim.ASGD, {})[0]
    assert "schedulers" not in found.kept


class Broken(faulty.SGDByHand):
    """SGD with momentum; subclasses break one thing each."""

    def __init__(self, params, lr=0.1, momentum=0.9):
        super().__init__(params, lr=lr, momentum=momentum)


class StateElsewhere(Broken):
    def __init__(self, params, lr=0.1, momentum=0.9):
        super().__init__(params, lr, momentum)
        self.kept = {}

    def move(self, p, g, s, group):
        super().move(p, g, self.kept.setdefault(id(p), {}), group)


class NoDeepcopy(Broken):
    def __deepcopy__(self, memo):
        return self


class NoNewGroups(Broken):
    def __init__(self, params, lr=0.1, momentum=0.9):
        super().__init__(params, lr, momentum)
        self.mine = {id(p) for group in self.param_groups for p in group["params"]}

    def move(self, p, g, s, group):
        if id(p) in self.mine:
            super().move(p, g, s, group)


class ClosureTwice(Broken):
    def step(self, closure=None):
        if closure:
            closure()
        return super().step(closure)


class ClosureWithoutGradients(Broken):
    @torch.no_grad()
    def step(self, closure=None):
        loss = closure() if closure else None
        super().step()
        return loss


class NoLoss(Broken):
    def step(self, closure=None):
        super().step(closure)


class DecaysAll(Broken):
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p *= 0.99
        return super().step(closure)


class Single(Broken):
    def move(self, p, g, s, group):
        super().move(p, g, s, group)
        s["b"] = s["b"].float()


class KeepsGradients(Broken):
    def zero_grad(self, set_to_none=True):
        pass


class KeepsGraph(Broken):
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.state[p]["last"] = p.grad * 1
        return super().step(closure)


class Grows(Broken):
    def move(self, p, g, s, group):
        super().move(p, g, s, group)
        s["all"] = torch.cat([s.get("all", g.new_zeros(0)), g.detach().reshape(-1)])


class GrowsElsewhere(Broken):
    """Keeps each gradient, in a list of its own."""

    def step(self, closure=None):
        loss = super().step(closure)
        gradients = [p.grad for group in self.param_groups for p in group["params"]]
        self.__dict__.setdefault("kept", []).extend(g.clone() for g in gradients if g is not None)
        return loss


class History(Broken):
    """Keeps the last gradients, as many as 100."""

    def step(self, closure=None):
        loss = super().step(closure)
        gradients = [p.grad for group in self.param_groups for p in group["params"]]
        self.__dict__.setdefault("kept", deque(maxlen=100)).append(gradients)
        return loss


class NoHooks(Broken):
    def register_step_post_hook(self, hook):
        return None


BROKEN = [
    (StateElsewhere, "state_dict: one that is restored after step 1 goes another way"),
    (NoDeepcopy, "deepcopy: the copy has the parameters of the first"),
    (NoNewGroups, "add_param_group: a parameter that is added does not move"),
    (ClosureTwice, "closure: it is called 2 times in a step"),
    (ClosureWithoutGradients, "closure: it is called with gradients disabled"),
    (NoLoss, "closure: its loss is not returned"),
    (DecaysAll, "parameters without gradients: a parameter that has none is moved"),
    (faulty.FirstRate, "schedulers: it moves where a scheduler has set lr to 0"),
    (Single, "precision and device of the state: b is torch.float32 where the parameter is"),
    (KeepsGradients, "zero_grad: gradients that are to be zeroed are not zero"),
    (KeepsGraph, "graph: last holds the graph of the loss"),
    (NoHooks, "hooks: called in a step: ['before']"),
    (Grows, "memory: what it keeps grows from "),
    (GrowsElsewhere, "memory: what it keeps grows from "),
]


@pytest.mark.parametrize(("make", "said"), BROKEN, ids=[make.__name__ for make, _ in BROKEN])
def test_what_is_not_kept_is_named(make, said):
    wrong, _ = faults(make, optim.SGD)
    assert any(each.startswith(said) for each in wrong), wrong


def test_a_history_that_is_full_does_not_grow():
    assert CHECKS["memory"](History) == ""


def test_what_breaks_is_alone():
    assert faults(Broken, optim.SGD)[0] == []
    assert len(faults(NoLoss, optim.SGD)[0]) == 1

"""Optimizers that are right in ways of their own, as packages have them, are not accused."""

from typing import ClassVar, Literal

import faulty
import pytest
import torch
from torch import optim

from descentlab.errors import UsageError
from descentlab.verify import compare, identify
from descentlab.verify.housekeeping import CHECKS, faults
from descentlab.verify.hyperparameters import idle


class Switched(faulty.ByHand):
    """A decay, with switches that do something where two others are as they are not by default."""

    defaults_: ClassVar = {"weight_decay": 0.0, "decouple": False, "fixed": False}

    def __init__(self, params, lr=1.0, **others):  # with lr 1, `fixed` needs a third
        super().__init__(params, lr, **others)

    def move(self, p, g, s, group):
        decay = group["weight_decay"]
        if group["decouple"]:
            p *= 1 - 0.01 * decay * (1 if group["fixed"] else group["lr"])
        else:
            g = g + decay * p
        p -= 0.01 * group["lr"] * g


class TinyEps(faulty.AdamByHand):
    defaults_: ClassVar = {**faulty.AdamByHand.defaults_, "eps": 1e-30}


class WholeZero(faulty.SGDByHand):
    """A momentum that is 0, and no number of steps, by default."""

    defaults_: ClassVar = {"momentum": 0}

    def move(self, p, g, s, group):
        assert 0 <= group["momentum"] < 1
        super().move(p, g, s, {**group, "weight_decay": 0})


class LateStart(faulty.SGDByHand):
    defaults_: ClassVar = {"momentum": 0.9, "wait": 100}

    def move(self, p, g, s, group):
        s["t"] = s.get("t", 0) + 1
        now = group["momentum"] if s["t"] > group["wait"] else 0.0
        super().move(p, g, s, {**group, "momentum": now, "weight_decay": 0})


class OfVectors(faulty.SGDByHand):
    """A factor for vectors alone, one for a kernel of four dimensions."""

    defaults_: ClassVar = {"momentum": 0.0, "vectors": 1.0, "kernels": 1.0}

    def move(self, p, g, s, group):
        factor = {1: group["vectors"], 4: group["kernels"]}.get(p.ndim, 1.0)
        super().move(p, factor * g, s, {**group, "weight_decay": 0})


class Careful(faulty.SGDByHand):
    """A sum that is more exact in bfloat16 alone."""

    defaults_: ClassVar = {"momentum": 0.0, "careful": True}

    def move(self, p, g, s, group):
        if p.dtype == torch.bfloat16 and group["careful"]:
            p.copy_(p.double() - group["lr"] * g.double() * 1.01)
            return
        super().move(p, g, s, {**group, "weight_decay": 0})


class Kinds(faulty.ByHand):
    """A number that one kind takes, with the kind no default of a group."""

    def __init__(self, params, lr=0.1, power=2.0, kind: Literal["plain", "power"] = "plain"):
        super().__init__(params, lr)
        self.power, self.kind = power, kind

    def move(self, p, g, s, group):
        p -= group["lr"] * (g.abs() ** self.power if self.kind == "power" else g)


class Counts(optim.SGD):
    """A count of steps among the defaults, with further arguments that are kept there unread."""

    def __init__(self, params, lr=0.1, **others):
        super().__init__(params, lr)
        for group in [self.defaults, *self.param_groups]:
            group.update({"steps_so_far": 0, **others})


class Unmoved(faulty.ByHand):
    """Moves small entries alone, and there are none."""

    defaults_: ClassVar = {"below": 0.0, "scale": 1.0}

    def move(self, p, g, s, group):
        p -= torch.where(p.abs() < group["below"], group["scale"] * group["lr"] * g, 0)


class ByLoss(faulty.ByHand):
    """Steps as long as the loss says, which it needs a closure for."""

    defaults_: ClassVar = {"most": 10.0}

    def step(self, closure=None):
        if closure is None:
            raise RuntimeError("this optimizer needs a closure")
        with torch.enable_grad():
            self.loss = closure()
        super().step()
        return self.loss

    def move(self, p, g, s, group):
        p -= group["lr"] * min(float(self.loss), group["most"]) * g


class Noisy(faulty.SGDByHand):
    """Adds random numbers to what it moves by."""

    def move(self, p, g, s, group):
        super().move(p, g + 0.1 * torch.randn_like(g), s, group)


class WarmsUp(faulty.SGDByHand):
    """Moves a parameter from its fifth gradient on."""

    def move(self, p, g, s, group):
        s["t"] = s.get("t", 0) + 1
        if s["t"] > 4:
            super().move(p, g, s, group)


class CountsInState(faulty.SGDByHand):
    """Keeps a number of its own beside the states of the parameters."""

    @torch.no_grad()
    def step(self, closure=None):
        self.state["total"] = self.state.get("total", 0) + 1
        self.state["as a tensor"] = torch.ones(2)
        return super().step(closure)


IDLE_AT_FIRST_SIGHT = (
    *(Switched, TinyEps, WholeZero, LateStart, OfVectors, Careful, Kinds, Counts, Unmoved),
    *(ByLoss, Noisy, WarmsUp),
)


@pytest.mark.parametrize("make", IDLE_AT_FIRST_SIGHT, ids=lambda make: make.__name__)
def test_no_hyperparameter_is_called_idle(make):
    assert idle(make, {})[0] == []


def test_what_is_taken_and_never_used_is_named_wherever_it_is_kept():
    """Negative control."""

    class Unused(Kinds):
        def __init__(self, params, lr=0.1, power=2.0, kind="plain", eps=1e-8):
            super().__init__(params, lr, power, kind)

        def move(self, p, g, s, group):
            p -= group["lr"] * g

    class UnusedToo(Switched):
        def move(self, p, g, s, group):
            super().move(p, g, s, {**group, "fixed": False})

    assert idle(Unused, {})[0] == ["power", "eps"]
    assert idle(UnusedToo, {})[0] == ["fixed"]


KEPT = (Noisy, WarmsUp, CountsInState, ByLoss)


@pytest.mark.parametrize("make", KEPT, ids=lambda make: make.__name__)
def test_nothing_is_said_to_be_wrong(make):
    assert faults(make, optim.SGD) == ([], list(CHECKS))


def test_random_numbers_are_the_same_on_both_sides():
    assert compare(Noisy, Noisy, steps=20, lr=0.01).holds

    class Louder(Noisy):
        def move(self, p, g, s, group):
            super().move(p, 1.01 * g, s, group)

    assert not compare(Louder, Noisy, steps=20, lr=0.01).holds  # negative control


def test_one_that_takes_no_recorded_gradient_is_told_so_once():
    class OfGraphs(faulty.SGDByHand):
        def move(self, p, g, s, group):
            if g.grad_fn is None:
                raise RuntimeError("give create_graph=True")

    assert faults(OfGraphs, optim.SGD) == (["step: RuntimeError: give create_graph=True"], [])
    assert faults(OfGraphs, OfGraphs) == ([], [])


def test_a_closure_in_no_grad_is_told_from_one_that_never_has_gradients():
    class LeavesIt(faulty.SGDByHand):
        def step(self, closure=None):
            loss = closure() if closure else None
            super().step()
            return loss

    said = "closure: inside torch.no_grad(), it is called with gradients disabled"
    assert faults(LeavesIt, optim.SGD)[0] == [said]


def test_without_a_rate_there_is_nothing_to_schedule():
    class NoRate(faulty.SGDByHand):
        def __init__(self, params):
            super().__init__(params)
            for group in [self.defaults, *self.param_groups]:
                group["lr"] = None

        def move(self, p, g, s, group):
            super().move(p, g, s, {**group, "lr": 0.1})

    said = "schedulers: its groups have no lr that a scheduler could set"
    assert faults(NoRate, optim.SGD)[0] == [said]


class ThreeBetas(faulty.AdamByHand):
    """Adam with a third beta, that does nothing here."""

    defaults_: ClassVar = {**faulty.AdamByHand.defaults_, "betas": (0.9, 0.999, 0.5)}

    def move(self, p, g, s, group):
        super().move(p, g, s, {**group, "betas": group["betas"][:2]})


def test_the_first_two_of_three_betas_are_followed():
    assert identify(ThreeBetas).name == "Adam with decay coupled"
    assert idle(ThreeBetas, {})[0] == ["betas[2]"]


def test_what_moves_nothing_is_no_rule():
    with pytest.raises(UsageError, match="none of its steps moves a parameter"):
        identify(Unmoved)

"""Optimizers with habits that public packages have: none is accused, and a control beside it is."""

from functools import partial
from typing import ClassVar

import faulty
import torch
from torch import optim

from descentlab.verify.housekeeping import CHECKS, faults
from descentlab.verify.hyperparameters import idle
from descentlab.verify.problems import Problem
from descentlab.verify.stepping import Stepper


class EndsTheProcess(faulty.SGDByHand):
    """With its switch on it looks for a package, and calls `exit` where that is missing."""

    defaults_: ClassVar = {**faulty.SGDByHand.defaults_, "kernel": False}

    def __init__(self, params, lr=0.1, **others):
        if others.get("kernel"):
            raise SystemExit(0)
        super().__init__(params, lr, **others)


def test_a_value_at_which_an_optimizer_ends_the_process_is_one_that_it_does_not_take():
    nothing, something = idle(EndsTheProcess, {})
    assert (nothing, sorted(something)) == ([], ["lr", "momentum", "weight_decay"])


class Choosy(faulty.SGDByHand):
    """Says in its own way that it does not take a value, and prints if it is asked to."""

    defaults_: ClassVar = {**faulty.SGDByHand.defaults_, "part": 0.5}

    def __init__(self, params, lr=0.1, verbose=False, log_every=0, print_change_log=True, **others):
        if others.get("part", 0.5) != 0.5:
            raise ValueError("part must be 0.5")
        super().__init__(params, lr, **others)


def test_what_is_refused_or_says_what_is_printed_is_no_idle_hyperparameter():
    nothing, something = idle(Choosy, {})
    assert (nothing, sorted(something)) == ([], ["lr", "momentum", "weight_decay"])


class Bare(optim.Optimizer):
    """Around another optimizer, with nothing of its own."""

    def __init__(self, params, lr=0.1, extra=1.0):
        self.inner = optim.SGD(params, lr=lr)

    @property
    def param_groups(self):
        return self.inner.param_groups

    def step(self, closure=None):
        return self.inner.step(closure)


def test_one_without_defaults_is_looked_at():
    assert idle(Bare, {}) == (["extra"], ["lr"])
    assert "schedulers" in faults(Bare, optim.SGD)[1]  # which are told of momentum by the defaults


class Centred(faulty.SGDByHand):
    """Steps by a gradient of mean 0 and length 1; where all entries are equal there is none."""

    def move(self, p, g, s, group):
        g = g - g.mean()
        if not g.norm() > 0:
            raise ZeroDivisionError("the gradient has no length")
        super().move(p, g / g.norm(), s, group)


def test_one_that_takes_the_mean_from_gradients_is_not_accused():
    assert faults(Centred, optim.SGD) == ([], list(CHECKS))


class Consuming(faulty.SGDByHand):
    """Clears each gradient where it is used, to save memory."""

    def move(self, p, g, s, group):
        super().move(p, g, s, group)
        p.grad = None


def test_one_that_clears_gradients_in_its_step_is_not_accused():
    assert faults(Consuming, optim.SGD) == ([], list(CHECKS))


class Growing(faulty.ByHand):
    """A rate that grows by a limited factor where the gradient is as the one before."""

    defaults_: ClassVar = {"growth": float("inf")}

    def move(self, p, g, s, group):
        s["rate"] = s.get("rate", 1e-3)
        last = s.get("last", torch.zeros_like(g))
        if (last * g).sum() > 0.99 * last.norm() * g.norm() > 0:
            s["rate"] *= min(2.0, group["growth"])
        s["last"] = g.clone()
        p -= s["rate"] * group["lr"] * g


class NotGrowing(Growing):
    def move(self, p, g, s, group):
        super().move(p, g, s, {**group, "growth": 2.0})


def test_what_acts_where_gradients_agree_is_seen():
    assert idle(Growing, {}) == ([], ["lr", "growth"])
    assert idle(NotGrowing, {}) == (["growth"], ["lr"])  # negative control


class Ascending(faulty.ByHand):
    """Steps by the gradient a way of length rho up the slope, as SAM does."""

    defaults_: ClassVar = {"rho": 0.05}

    @torch.no_grad()
    def step(self, closure):
        loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["start"] = p.clone()
                p += self.way(p.grad, group)
        closure()
        for group in self.param_groups:
            for p in group["params"]:
                p.copy_(self.state[p]["start"] - group["lr"] * p.grad)
        return loss

    def way(self, g, group):
        return group["rho"] * g / g.norm()


class NotAscending(Ascending):
    def way(self, g, group):
        return torch.zeros_like(g)


def test_what_acts_between_two_calls_of_the_closure_is_seen():
    assert idle(Ascending, {}) == ([], ["lr", "rho"])
    assert idle(NotAscending, {}) == (["rho"], ["lr"])  # negative control
    assert idle(optim.LBFGS, {})[0] == []


def test_a_second_call_of_the_closure_finds_curvature_1():
    problem = Problem("", (torch.tensor([1.0, 2.0], dtype=torch.float64),), lambda p: p)
    stepper = Stepper(partial(optim.SGD, lr=0), problem, torch.float64, 1)
    seen = []

    def step(closure):
        for _ in range(2):
            loss = closure()
            seen.append((loss, stepper.parameters[0].grad.tolist()))
            with torch.no_grad():
                stepper.parameters[0] += 0.5

    stepper.optimizer.step = step
    stepper.step(1, [torch.tensor([1.0, -1.0], dtype=torch.float64)], by_closure=True)
    assert seen == [(1.0, [1.0, -1.0]), (1.25, [1.5, -0.5])]

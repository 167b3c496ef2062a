"""Optimizers with one fault each, in words of their own: what public reports were about."""

from typing import ClassVar

import torch
from torch.optim import Optimizer


class ByHand(Optimizer):
    """Whatever a subclass says of one parameter: `move(p, g, state, group)`, in place."""

    defaults_: ClassVar = {}

    def __init__(self, params, lr=0.1, **others):
        unknown = others.keys() - self.defaults_.keys()
        if unknown:
            raise TypeError(f"unexpected keyword {unknown.pop()}")
        super().__init__(params, {"lr": lr, **self.defaults_, **others})
        self.first_lr = lr

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.move(p, p.grad, self.state[p], group)
        return loss


class AdamByHand(ByHand):
    """Adam, right unless a subclass changes a method."""

    defaults_: ClassVar = {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}

    def move(self, p, g, s, group):
        if not s:
            s.update(t=0, m=torch.zeros_like(p), v=torch.zeros_like(p))
        s["t"] += 1
        g = self.coupled(p, g, group)
        b1, b2 = group["betas"]
        s["m"] = b1 * s["m"] + (1 - b1) * g
        s["v"] = b2 * s["v"] + (1 - b2) * g * g
        c1, c2 = self.corrections(b1, b2, s["t"])
        p -= group["lr"] * (s["m"] / c1) / self.root(s["v"], c2, group["eps"])

    def coupled(self, p, g, group):
        return g + group["weight_decay"] * p

    def corrections(self, b1, b2, t):
        return 1 - b1**t, 1 - b2**t

    def root(self, v, c2, eps):
        return (v / c2).sqrt() + eps


class NoCorrection(AdamByHand):
    def corrections(self, b1, b2, t):
        return 1, 1


class CorrectionOffByOne(AdamByHand):
    def corrections(self, b1, b2, t):
        return 1 - b1 ** (t + 1), 1 - b2 ** (t + 1)


class EpsInside(AdamByHand):
    def root(self, v, c2, eps):
        return (v / c2 + eps).sqrt()


class EpsBeforeCorrection(AdamByHand):
    def root(self, v, c2, eps):
        return (v.sqrt() + eps) / c2**0.5


class CorrectionInRate(AdamByHand):
    """Eps before the correction, written as most write it: the corrections are in the rate."""

    def move(self, p, g, s, group):
        b1, b2 = group["betas"]
        t = s.get("t", 0) + 1
        lr = group["lr"] * (1 - b2**t) ** 0.5 / (1 - b1**t)
        super().move(p, g, s, {**group, "lr": lr})

    def corrections(self, b1, b2, t):
        return 1, 1


class DecayIgnored(AdamByHand):
    def coupled(self, p, g, group):
        return g


class DecayNotTimesRate(DecayIgnored):
    def move(self, p, g, s, group):
        p -= group["weight_decay"] * p
        super().move(p, g, s, group)


class DecayAfter(DecayIgnored):
    def move(self, p, g, s, group):
        lr = group["lr"]
        super().move(p, g, s, group)
        p -= lr * group["weight_decay"] * p


class DecayAfterAndCorrectionInRate(DecayAfter, CorrectionInRate):
    """Two at once, as in one report."""


class DecayWrongSign(AdamByHand):
    def coupled(self, p, g, group):
        return g - group["weight_decay"] * p


class FirstRate(AdamByHand):
    """Takes the rate that it was made with, not the group's."""

    def move(self, p, g, s, group):
        super().move(p, g, s, {**group, "lr": self.first_lr})


class CountsInGroup(AdamByHand):
    """Counts the steps of the group, also those in which a parameter has no gradient."""

    def step(self, closure=None):
        self.steps = getattr(self, "steps", 0) + 1
        return super().step(closure)

    def move(self, p, g, s, group):
        if s:
            s["t"] = self.steps - 1
        super().move(p, g, s, group)


class SGDByHand(ByHand):
    """Heavy-ball SGD, right unless a subclass changes a method."""

    defaults_: ClassVar = {"momentum": 0.0, "weight_decay": 0.0}

    def move(self, p, g, s, group):
        g = g + group["weight_decay"] * p
        b = s["b"] = group["momentum"] * s["b"] + g if "b" in s else g.clone()
        p -= group["lr"] * b


class Damped(SGDByHand):
    def move(self, p, g, s, group):
        m = group["momentum"]
        s["b"] = m * s.get("b", torch.zeros_like(p)) + (1 - m) * g
        p -= group["lr"] * s["b"]


class RateInVelocity(SGDByHand):
    def move(self, p, g, s, group):
        g = g + group["weight_decay"] * p
        s["b"] = group["momentum"] * s.get("b", torch.zeros_like(p)) + group["lr"] * g
        p -= s["b"]


class NesterovIgnored(SGDByHand):
    defaults_: ClassVar = {**SGDByHand.defaults_, "nesterov": False}


class GroupsRate(ByHand):
    """Adagrad that schedules a rate, and takes the group's."""

    defaults_: ClassVar = {"lr_decay": 0.0, "weight_decay": 0.0, "eps": 1e-10}

    def move(self, p, g, s, group):
        g = g + group["weight_decay"] * p
        s["t"] = s.get("t", 0) + 1
        s["rate"] = group["lr"] / (1 + (s["t"] - 1) * group["lr_decay"])
        s["v"] = s.get("v", 0) + g * g
        p -= group["lr"] * g / (s["v"].sqrt() + group["eps"])


class Lion(ByHand):
    defaults_: ClassVar = {"betas": (0.9, 0.99), "weight_decay": 0.0}

    def move(self, p, g, s, group):
        b1, b2 = group["betas"]
        m = s.get("m", torch.zeros_like(p))
        p *= 1 - group["lr"] * group["weight_decay"]
        p -= group["lr"] * (b1 * m + (1 - b1) * g).sign()
        s["m"] = b2 * m + (1 - b2) * g

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
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.move(p, p.grad, self.state[p], group)


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


class DecayIgnored(AdamByHand):
    def coupled(self, p, g, group):
        return g


class DecayWrongSign(AdamByHand):
    def coupled(self, p, g, group):
        return g - group["weight_decay"] * p


class FirstRate(AdamByHand):
    """Takes the rate that it was made with, not the group's."""

    def move(self, p, g, s, group):
        super().move(p, g, s, {**group, "lr": self.first_lr})


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

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


class Lion(ByHand):
    defaults_: ClassVar = {"betas": (0.9, 0.99), "weight_decay": 0.0}

    def move(self, p, g, s, group):
        b1, b2 = group["betas"]
        m = s.get("m", torch.zeros_like(p))
        p *= 1 - group["lr"] * group["weight_decay"]
        p -= group["lr"] * (b1 * m + (1 - b1) * g).sign()
        s["m"] = b2 * m + (1 - b2) * g


DECAYS = (
    "decay coupled with the wrong sign",
    "decay decoupled with the wrong sign",
    "decay decoupled and not multiplied by lr",
    "decay after the update",
    "decay after the update and not multiplied by lr",
)
#: by root and axis, departures that `departing` can make
DEPARTURES = {
    "Adam": {
        "decay": DECAYS,
        "values": ("lr as it was made with",),
        "correction": (
            "no bias correction",
            "bias correction of the first moment alone",
            "bias correction of the second moment alone",
            "bias correction off by one step",
        ),
        "eps": (
            "eps inside the root",
            "eps before the correction",
            "eps both inside the root and outside",
        ),
        "weight": ("the first moment a sum, not a mean",),
        "rate": ("lr inside the buffer",),
        "sign": ("the gradient with the wrong sign",),
    },
    "SGD": {
        "decay": DECAYS,
        "values": ("lr as it was made with",),
        "weight": ("gradients damped by 1 - momentum",),
        "rate": ("lr inside the buffer",),
        "sign": ("the gradient with the wrong sign",),
    },
}
#: where nothing is corrected, eps cannot come before it; one rate can stand in or out of a sum;
#: two signs are one
THE_SAME_AS_ONE = {
    ("no bias correction", "eps before the correction"),
    ("bias correction of the first moment alone", "eps before the correction"),
    ("lr as it was made with", "lr inside the buffer"),
    ("decay coupled with the wrong sign", "the gradient with the wrong sign"),
    ("decay decoupled with the wrong sign", "the gradient with the wrong sign"),
}


def departing(root, *departures):
    """Return a class with some of `DEPARTURES`, that is otherwise right and decays coupled."""
    kind = {"Adam": _Adam, "SGD": _SGD}[root]
    return type("Departing", (kind,), {"departures": departures})


class _Departing(ByHand):
    departures = ()

    def move(self, p, g, s, group):
        has = self.departures
        lr = self.first_lr if "lr as it was made with" in has else group["lr"]
        decay = next((each for each in has if each.startswith("decay")), "decay coupled")
        sign = -1 if "wrong sign" in decay else 1
        part = sign * group["weight_decay"] * (1 if "not multiplied" in decay else lr)
        g = -g if "the gradient with the wrong sign" in has else g
        if "coupled" in decay and "decoupled" not in decay:
            g = g + sign * group["weight_decay"] * p
        if "decoupled" in decay:
            p *= 1 - part
        p -= self.moved_by(g, s, group, lr)
        if "after" in decay:
            p *= 1 - part


class _SGD(_Departing):
    defaults_: ClassVar = {"momentum": 0.0, "weight_decay": 0.0}

    def moved_by(self, g, s, group, lr):
        mu, inside = group["momentum"], "lr inside the buffer" in self.departures
        fed = lr * g if inside else g
        damped = "gradients damped by 1 - momentum" in self.departures
        s["b"] = mu * s["b"] + (1 - mu if damped else 1) * fed if "b" in s else fed.clone()
        return s["b"] if inside else lr * s["b"]


class _Adam(_Departing):
    defaults_: ClassVar = AdamByHand.defaults_

    def moved_by(self, g, s, group, lr):
        has, (b1, b2), eps = self.departures, group["betas"], group["eps"]
        t = s["t"] = s.get("t", 0) + 1
        t += "bias correction off by one step" in has
        none = "no bias correction" in has
        c1 = 1 if none or "bias correction of the second moment alone" in has else 1 - b1**t
        c2 = 1 if none or "bias correction of the first moment alone" in has else 1 - b2**t
        inside = "lr inside the buffer" in has
        weight = 1 if "the first moment a sum, not a mean" in has else 1 - b1
        s["m"] = b1 * s.get("m", 0) + weight * (lr if inside else 1) * g
        s["v"] = b2 * s.get("v", 0) + (1 - b2) * g * g
        below = (s["v"] / c2).sqrt() + eps
        if "eps inside the root" in has:
            below = (s["v"] / c2 + eps).sqrt()
        if "eps before the correction" in has:
            below = (s["v"].sqrt() + eps) / c2**0.5
        if "eps both inside the root and outside" in has:
            below = (s["v"] / c2 + eps).sqrt() + eps
        return (1 if inside else lr) * (s["m"] / c1) / below

"""Optimizers that depart from Adam or SGD in one thing or in several, by the words of a report."""

from typing import ClassVar

from faulty import AdamByHand, ByHand

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

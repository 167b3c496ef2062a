"""Right optimizers in words of their own, with all the options of their classes of torch.optim."""

from typing import ClassVar

import torch
from faulty import ByHand


class RightSGD(ByHand):
    defaults_: ClassVar = {
        "momentum": 0.0,
        "dampening": 0.0,
        "nesterov": False,
        "weight_decay": 0.0,
        "maximize": False,
    }

    def move(self, p, g, s, group):
        mu, g = group["momentum"], -g if group["maximize"] else g
        g = g + group["weight_decay"] * p
        if mu:
            s["b"] = mu * s["b"] + (1 - group["dampening"]) * g if "b" in s else g.clone()
            g = g + mu * s["b"] if group["nesterov"] else s["b"]
        p -= group["lr"] * g


class RightAdam(ByHand):
    defaults_: ClassVar = {
        "betas": (0.9, 0.999),
        "eps": 1e-8,
        "weight_decay": 0.0,
        "amsgrad": False,
        "maximize": False,
    }
    decoupled = False

    def move(self, p, g, s, group):
        if not s:
            s.update(t=0, m=torch.zeros_like(p), v=torch.zeros_like(p), top=torch.zeros_like(p))
        (b1, b2), decay = group["betas"], group["weight_decay"]
        g = -g if group["maximize"] else g
        if self.decoupled:
            p -= group["lr"] * decay * p
        else:
            g = g + decay * p
        s["t"] += 1
        s["m"] = s["m"] * b1 + g * (1 - b1)
        s["v"] = s["v"] * b2 + g**2 * (1 - b2)
        s["top"] = torch.maximum(s["top"], s["v"])
        square = s["top" if group["amsgrad"] else "v"] / (1 - b2 ** s["t"])
        p -= group["lr"] / (1 - b1 ** s["t"]) * s["m"] / (square**0.5 + group["eps"])


class RightAdamW(RightAdam):
    defaults_: ClassVar = {**RightAdam.defaults_, "weight_decay": 0.01}
    decoupled = True


class RightRMSprop(ByHand):
    defaults_: ClassVar = {
        "alpha": 0.99,
        "eps": 1e-8,
        "weight_decay": 0.0,
        "momentum": 0.0,
        "centered": False,
        "maximize": False,
    }

    def move(self, p, g, s, group):
        if not s:
            s.update(v=torch.zeros_like(p), m=torch.zeros_like(p), b=torch.zeros_like(p))
        keep, g = group["alpha"], -g if group["maximize"] else g
        g = g + group["weight_decay"] * p
        s["v"] = keep * s["v"] + (1 - keep) * g * g
        s["m"] = keep * s["m"] + (1 - keep) * g
        square = s["v"]
        if group["centered"]:
            square = (square - s["m"] ** 2).clamp(min=0)  # below 0 it is by rounding
        s["b"] = group["momentum"] * s["b"] + g / (square.sqrt() + group["eps"])
        p -= group["lr"] * s["b"]


class RightAdagrad(ByHand):
    defaults_: ClassVar = {
        "lr_decay": 0.0,
        "weight_decay": 0.0,
        "initial_accumulator_value": 0.0,
        "eps": 1e-10,
        "maximize": False,
    }

    def move(self, p, g, s, group):
        g = -g if group["maximize"] else g
        g = g + group["weight_decay"] * p
        s["t"] = s.get("t", 0) + 1
        s["v"] = s.get("v", group["initial_accumulator_value"]) + g**2
        lr = group["lr"] / (1 + (s["t"] - 1) * group["lr_decay"])
        p -= lr * g / (s["v"].sqrt() + group["eps"])


def settings(draw):
    """Return the name of an optimizer, and hyperparameters of it, drawn over their ranges."""
    values = {
        "lr": 10 ** draw.uniform(-5, 0),
        "weight_decay": draw.choice([0.0, 10 ** draw.uniform(-4, 0)]),
        "maximize": draw.random() < 0.2,
    }
    eps = 10 ** draw.uniform(-12, -3)
    kind = draw.choice(["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
    if kind == "SGD":
        ahead, momentum = draw.random() < 0.3, draw.choice([0.0, draw.uniform(0, 0.99)])
        dampening = draw.choice([0.0, draw.uniform(0, 1)])
        if ahead:
            values |= {"momentum": draw.uniform(0.05, 0.99), "nesterov": True}
        else:
            values |= {"momentum": momentum, "dampening": dampening}
    elif kind in ("Adam", "AdamW"):
        betas = draw.uniform(0, 0.99), draw.uniform(0.5, 0.9999)
        values |= {"betas": betas, "eps": eps, "amsgrad": draw.random() < 0.3}
    elif kind == "RMSprop":
        values |= {"alpha": draw.uniform(0.5, 0.9999), "eps": eps}
        values |= {"momentum": draw.choice([0.0, draw.uniform(0, 0.99)])}
        values |= {"centered": draw.random() < 0.3}
    else:
        values |= {"lr_decay": draw.choice([0.0, draw.uniform(0, 1)]), "eps": eps}
        values |= {"initial_accumulator_value": draw.choice([0.0, draw.uniform(0, 1)])}
    return kind, values

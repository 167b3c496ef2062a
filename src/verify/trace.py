"""A recorded run of an unknown optimizer: random gradients in, parameters out."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .problems import Problem
from .stepping import Make, Stepper

#: the names under which groups keep a hyperparameter; with a number, an entry of two or more
_NAMES: Mapping[str, tuple[tuple[str, int | None], ...]] = {
    "lr": (("lr", None), ("learning_rate", None)),
    "first": (("betas", 0), ("beta1", None), ("momentum", None), ("beta", None), ("mu", None)),
    "second": (("betas", 1), ("beta2", None), ("alpha", None), ("rho", None)),
    "eps": (("eps", None), ("epsilon", None)),
    "decay": (("weight_decay", None), ("wd", None), ("decay", None)),
    "dampening": (("dampening", None),),
    "momentum_decay": (("momentum_decay", None),),
    "lr_decay": (("lr_decay", None),),
    "initial": (("initial_accumulator_value", None),),
}

#: what is taken where neither optimizer has a hyperparameter of the kind
_ELSE = {
    "lr": 1e-3,
    "first": 0.9,
    "second": 0.999,
    "eps": 1e-8,
    "decay": 0.0,
    "dampening": 0.0,
    "momentum_decay": 4e-3,
    "lr_decay": 0.0,
    "initial": 0.0,
}

#: by kind: the share of the run from which on a value is this multiple of what it was made with
_COURSE = {
    "lr": ((0.0, 1.0), (0.25, 0.5), (0.7, 0.8), (0.9, 1.3)),
    "first": ((0.0, 1.0), (0.4, 0.9)),
    "second": ((0.0, 1.0), (0.4, 0.95)),
    "decay": ((0.0, 0.0), (0.55, 1.0), (0.8, 0.5)),
}

#: the decay in the run of an optimizer that was made with none, but has one in its groups
_DECAY = 0.05


@dataclass(frozen=True)
class Trace:
    """What an optimizer was fed and what it did, n numbers over T steps.

    Attributes:
        gradients: (T, n).
        parameters: before the first step and after each, (T + 1, n).
        values: hyperparameters by kind, at each step, (T, 1).
        made: the values that it was made with.
        decays: whether it has a decay.
    """

    gradients: NDArray[np.float64]
    parameters: NDArray[np.float64]
    values: Mapping[str, NDArray[np.float64]]
    made: Mapping[str, float]
    decays: bool

    def first(self, steps: int) -> "Trace":
        """Return its first steps."""
        values = {kind: each[:steps] for kind, each in self.values.items()}
        gradients, parameters = self.gradients[:steps], self.parameters[: steps + 1]
        return Trace(gradients, parameters, values, self.made, self.decays)


def record(make: Make, otherwise: Mapping[str, Any], steps: int, seed: int) -> Trace:
    """Feed an optimizer random gradients while its hyperparameters change, and record it.

    The gradients have sizes from 1 down to eps, since the smallest tell where eps is added.

    Args:
        make: makes the optimizer.
        otherwise: hyperparameters that it may have without saying so, by name.
        steps: how many are recorded.
        seed: of the gradients and the start.
    """
    draw = np.random.default_rng(seed)
    trial = make([torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))]).param_groups[0]
    found = {kind: _found(trial, kind) for kind in _NAMES}
    made = {
        kind: _first_number(found[kind], _found(otherwise, kind), _ELSE[kind]) for kind in _NAMES
    }
    decays = found["decay"] is not None
    values = _course(made, decays, steps)
    tiny = made["eps"] if 0 < made["eps"] < 1 else _ELSE["eps"]
    sizes = np.array([1, 1, 0.1, math.sqrt(tiny), math.sqrt(tiny), tiny, tiny, tiny / 10])
    gradients = sizes * draw.standard_normal((steps, len(sizes)))
    start = 100 * made["lr"] * draw.standard_normal(len(sizes))
    parameters = _stepped(make, start, gradients, values)
    whole = Trace(gradients, parameters, values, made, decays)
    return whole.first(len(parameters) - 1)


def _found(group: Mapping[str, Any], kind: str) -> float | None:
    """Return the first number that a group has for a kind."""
    for name, index in _NAMES[kind]:
        value = group.get(name)
        if index is not None and isinstance(value, tuple | list):
            value = value[index] if len(value) > 1 else None
        if isinstance(value, int | float) or (torch.is_tensor(value) and value.numel() == 1):
            return float(value)
    return None


def _first_number(*numbers: float | None) -> float:
    return next(each for each in numbers if each is not None)


def _course(made: Mapping[str, float], decays: bool, steps: int) -> dict[str, NDArray[np.float64]]:
    """Return the hyperparameters at each step."""
    values = {kind: np.full((steps, 1), number) for kind, number in made.items()}
    for kind, course in _COURSE.items():
        base = made[kind]
        if kind == "decay":
            base = (made[kind] or _DECAY) if decays else 0.0
        for share, factor in course:
            values[kind][round(share * steps) :] = base * factor
    return values


def _stepped(
    make: Make,
    start: NDArray[np.float64],
    gradients: NDArray[np.float64],
    values: Mapping[str, NDArray[np.float64]],
) -> NDArray[np.float64]:
    """Return the parameters over a run, as far as they are finite."""
    recorded = Problem("recorded gradients", (torch.from_numpy(start),), lambda p: p)
    stepper = Stepper(make, recorded, torch.float64, len(gradients))
    parameters = [start]
    for step, gradient in enumerate(gradients):
        for kind in _COURSE:
            if step == 0 or values[kind][step, 0] != values[kind][step - 1, 0]:
                for group in stepper.optimizer.param_groups:
                    _set(group, kind, float(values[kind][step, 0]))
        stepper.step(step + 1, [torch.from_numpy(gradient)])
        after = stepper.parameters[0].detach().numpy().copy()
        if not np.isfinite(after).all():
            break
        parameters.append(after)
    return np.array(parameters)


def _set(group: dict[str, Any], kind: str, number: float) -> None:
    """Give a group a value, under the name that it has it by."""
    for name, index in _NAMES[kind]:
        value = group.get(name)
        if value is None:
            continue
        if index is None:
            group[name] = torch.full_like(value, number) if torch.is_tensor(value) else number
        elif isinstance(value, tuple | list) and len(value) > 1:
            group[name] = tuple(number if at == index else v for at, v in enumerate(value))
        return

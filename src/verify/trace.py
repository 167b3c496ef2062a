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


#: a start or gradients, an array for each parameter
Arrays = list[NDArray[np.float64]]


@dataclass(frozen=True)
class Setting:
    """The parameters that an optimizer is recorded on.

    Attributes:
        where: as a sentence says it.
        shape: of each.
        count: how many there are.
        groups: whether each is a group of its own, with half the learning rate of the one before.
        missing: whether each has no gradient at every third step.
    """

    where: str
    shape: tuple[int, ...]
    count: int = 1
    groups: bool = False
    missing: bool = False

    def present(self, index: int, steps: int) -> NDArray[np.bool_]:
        """Return at which steps a parameter has a gradient, (T,)."""
        return (np.arange(steps) + index) % 3 > 0 if self.missing else np.full(steps, True)


VECTOR = Setting("on a vector", (8,))
#: where a rule that was found on a vector is tried again
ELSEWHERE = (
    Setting("on a matrix", (4, 2)),
    Setting("on a number", ()),
    Setting("on several parameters", (8,), count=3),
    Setting("on several groups", (8,), count=3, groups=True),
    Setting("where gradients are missing", (8,), count=3, missing=True),
)


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


def record(
    make: Make,
    otherwise: Mapping[str, Any],
    steps: int,
    seed: int,
    setting: Setting = VECTOR,
    decays: bool = True,
) -> list[Trace]:
    """Feed an optimizer random gradients while its hyperparameters change, and record it.

    The gradients have sizes from 1 down to eps, since the smallest tell where eps is added.

    Args:
        make: makes the optimizer.
        otherwise: hyperparameters that it may have without saying so, by name.
        steps: how many are recorded.
        seed: of the gradients and the start.
        setting: the parameters.
        decays: whether a decay is given to one that was made with none and takes it.

    Returns:
        A trace of each parameter, of the steps at which it has a gradient.
    """
    draw = np.random.default_rng(seed)
    trial = make([torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))]).param_groups[0]
    found = {kind: number_of(trial, kind) for kind in _NAMES}
    made = {
        kind: _first_number(found[kind], number_of(otherwise, kind), _ELSE[kind]) for kind in _NAMES
    }
    decays = found["decay"] is not None and (decays or found["decay"] != 0)
    values = _course(made, decays, steps)
    tiny = made["eps"] if 0 < made["eps"] < 1 else _ELSE["eps"]
    sizes = np.array([1, 1, 0.1, math.sqrt(tiny), math.sqrt(tiny), tiny, tiny, tiny / 10])
    sizes = np.resize(sizes, math.prod(setting.shape))
    gradients, start = [], []
    for _ in range(setting.count):
        gradients.append(sizes * draw.standard_normal((steps, len(sizes))))
        start.append(100 * made["lr"] * draw.standard_normal(len(sizes)))
    traces = []
    for index, path in enumerate(_stepped(make, start, gradients, values, setting)):
        there = setting.present(index, len(path) - 1)
        own = {kind: each[: len(there)][there] for kind, each in values.items()}
        own["lr"] = own["lr"] * (0.5**index if setting.groups and "lr" in trial else 1.0)
        parameters = path[np.concatenate([[True], there])]
        traces.append(Trace(gradients[index][: len(there)][there], parameters, own, made, decays))
    return traces


def number_of(group: Mapping[str, Any], kind: str) -> float | None:
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
    start: Arrays,
    gradients: Arrays,
    values: Mapping[str, NDArray[np.float64]],
    setting: Setting,
) -> Arrays:
    """Return the parameters over a run, as far as all are finite, (T + 1, n) of each."""
    whole = tuple(torch.from_numpy(each).view(setting.shape) for each in start)
    recorded = Problem("recorded gradients", whole, lambda p: p, groups=setting.groups)
    steps = len(gradients[0])
    stepper = Stepper(make, recorded, torch.float64, steps)
    present = [setting.present(index, steps) for index in range(setting.count)]
    parameters = [np.stack(start)]
    for step in range(steps):
        for kind in _COURSE:
            if step == 0 or values[kind][step, 0] != values[kind][step - 1, 0]:
                for number, group in enumerate(stepper.optimizer.param_groups):
                    own = 0.5**number if kind == "lr" and setting.groups else 1.0
                    _set(group, kind, own * float(values[kind][step, 0]))
        fed = [
            torch.from_numpy(each[step]).view(setting.shape) if there[step] else None
            for each, there in zip(gradients, present, strict=True)
        ]
        stepper.step(step + 1, fed)
        after = stepper.flat().astype(np.float64).reshape(parameters[0].shape)
        if not np.isfinite(after).all():
            break
        parameters.append(after)
    return list(np.stack(parameters, axis=1))


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

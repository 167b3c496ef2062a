"""Whether each hyperparameter of an optimizer does something: those that change no step."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from .comparison import Stepper
from .problems import Problem

#: what says how a step is computed and not which it is
_MANNER = {"foreach", "fused", "capturable", "differentiable"}
#: by what a number is multiplied: the first that changes a step is enough
_FACTORS = (0.5, 1e-4, 1e3, 1e9)
_STEPS = 12

Changes = Mapping[str, Any]


def idle(make: Callable[..., Optimizer], given: Changes) -> tuple[list[str], list[str]]:
    """Try each hyperparameter in an optimizer's defaults, alone and beside a change of another.

    Some do nothing unless another is set, as a dampening without momentum.

    Args:
        make: makes it of parameters and hyperparameters.
        given: the hyperparameters that it is looked at with.

    Returns:
        Those that change no step, and those that do.

    Example:
        >>> idle(torch.optim.SGD, {"lr": 0.1})[0]
        []
    """
    defaults = make([torch.nn.Parameter(torch.ones(3, 2))], **given).defaults
    tried = dict(each for key, value in defaults.items() for each in _changed(key, value))
    beside: dict[str, Changes] = {"": {}, **{name: changes[0] for name, changes in tried.items()}}

    @cache
    def paths(other: str) -> list[Tensor] | None:
        return _path(make, given, beside[other])

    nothing: list[str] = []
    something: list[str] = []
    for name, changes in tried.items():
        comparisons = (
            _differs(before, path)
            for other, context in beside.items()
            if other != name and set(context).isdisjoint(changes[0])
            for before in [paths(other)]
            for change in (changes if before else [])
            if (path := _path(make, given, {**context, **change}))
        )
        first = next(comparisons, None)
        if first is not None:  # None where no value is taken
            (something if first or any(comparisons) else nothing).append(name)
    return nothing, something


def _changed(key: str, value: Any) -> Iterator[tuple[str, Sequence[Changes]]]:
    """Yield the changes of a hyperparameter, or of each number of several, by their name."""
    if key in _MANNER:
        return
    if isinstance(value, tuple | list):
        for index, number in enumerate(value):
            others = [{key: (*value[:index], each, *value[index + 1 :])} for each in _other(number)]
            if others:
                yield f"{key}[{index}]", others
    elif values := _other(value):
        yield key, [{key: each} for each in values]


def _other(value: Any) -> list[Any]:
    """Return other values; none for what is no number."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [value + 1, 2 * value + 1, max(1, value // 2)]
    if isinstance(value, float):
        return [0.5, 0.01] if value == 0 else [value * factor for factor in _FACTORS]
    if isinstance(value, Tensor) and value.is_floating_point() and value.numel() == 1:
        return [value * factor for factor in _FACTORS]
    return []


def _path(make: Callable[..., Optimizer], given: Changes, changes: Changes) -> list[Tensor] | None:
    """Return where an optimizer goes with some hyperparameters; None where it refuses them.

    What it does not take when it is made is set in its groups.
    """

    def made(params: Any) -> Optimizer:
        try:
            return make(params, **{**given, **changes})
        except TypeError:
            optimizer = make(params, **given)
            for group in optimizer.param_groups:
                group.update(changes)
            return optimizer

    draw = torch.Generator().manual_seed(0)
    gradients = torch.randn((_STEPS, 3, 2), generator=draw, dtype=torch.float64)
    gradients[_STEPS // 2 :] *= 0.1  # where gradients get smaller, the largest is another
    start = torch.randn((3, 2), generator=draw, dtype=torch.float64)
    try:
        stepper = Stepper(made, Problem("", (start,), lambda p: p), torch.float64, _STEPS)
        path = []
        for step, gradient in enumerate(gradients):
            stepper.step(step + 1, [gradient])
            path.append(stepper.parameters[0].detach().clone())
        return path
    except Exception:  # a value that it does not take, in whatever way it says so
        return None


def _differs(one: list[Tensor] | None, other: list[Tensor]) -> bool:
    return one is not None and not torch.equal(torch.stack(one), torch.stack(other))

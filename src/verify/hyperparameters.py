"""Whether each hyperparameter of an optimizer does something: those that change no step."""

import inspect
import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal, get_args, get_origin

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from ..internals.lightning import same_draws
from .problems import Problem
from .stepping import Stepper

#: what says how a step is computed and not which it is, and words of what says what is printed
_MANNER = {"foreach", "fused", "capturable", "differentiable", "log_every"}
_PRINTING = {"verbose", "logging", "print"}
#: by what a number is multiplied, and what is tried in its place: the first that changes a step
#: is enough
_FACTORS, _NUMBERS = (0.5, 1e-4, 1e3, 1e9), (0.5, 0.01)
#: of the parameters; not every optimizer takes all
_SHAPES = (((3, 2), (4,), (2, 2, 1, 3)), ((3, 2), (4,)), ((3, 2),))
_STEPS = 12
#: beside how many drawn changes of all others a hyperparameter is changed
_DRAWS = 200

Changes = Mapping[str, Any]
Shape = tuple[int, ...]
Path = NDArray[np.float64]


def idle(make: Callable[..., Optimizer], given: Changes) -> tuple[list[str], list[str]]:
    """Try each hyperparameter of an optimizer, alone and beside changes of others.

    These are its defaults, and the arguments that its class takes beside. Some do nothing unless
    another is set, as a dampening without momentum, or several others are: so each is also changed
    beside one other, and beside drawn changes of all; and in bfloat16, for which some are made.
    What cannot be given, as a count of steps among the defaults, is no hyperparameter, and nothing
    is said of an optimizer that moves nothing.

    Args:
        make: makes it of parameters and hyperparameters.
        given: the hyperparameters that it is looked at with.

    Returns:
        Those that change no step, and those that do.

    Example:
        >>> idle(torch.optim.SGD, {"lr": 0.1})[0]
        []
    """
    walks = _Walks(make, given)
    usual = walks.path({}, torch.float64)
    if usual is None:
        return [], []
    moves = bool((usual != usual[0]).any())
    nothing: list[str] = []
    something: list[str] = []
    for name, changes in walks.tried.items():
        is_given = walks.is_given(changes[0])
        answers = (
            not np.array_equal(before, after, equal_nan=True)
            for beside, change, dtype in walks.trials(name, alone=not is_given)
            if (before := walks.path(beside, dtype)) is not None
            if (after := walks.path({**beside, **change}, dtype)) is not None
        )
        first = next(answers, None)
        if first or any(answers):
            something.append(name)
        elif moves and is_given and first is not None and not walks.is_left_open(name):
            nothing.append(name)
    return nothing, something


class _Walks:
    """Where an optimizer goes with one set of hyperparameters after another."""

    def __init__(self, make: Callable[..., Optimizer], given: Changes) -> None:
        self.make, self.given = make, given
        usual = make([torch.nn.Parameter(torch.ones(3, 2))], **given)
        self.arguments = inspect.signature(type(usual)).parameters
        self._taken_up = getattr(usual, "defaults", {})  # one around another may have none
        further = {
            name: each.default
            for name, each in self.arguments.items()
            if name not in self._taken_up and each.default is not each.empty
        }
        self.values = {**self._taken_up, **further}
        self.tried = dict(each for item in self.values.items() for each in _changed(*item))
        for name, each in self.arguments.items():
            words = [word for word in _words(each.annotation) if word != self.values.get(name)]
            if words and name not in self.tried and name not in given:
                self.tried[name] = [{name: word} for word in words]
        self._known: dict[str, Path | None] = {}
        ways = itertools.product((True, False), _SHAPES)
        self._way = next(
            (way for way in ways if self._walk({}, torch.float64, *way) is not None), None
        )

    def path(self, changes: Changes, dtype: torch.dtype) -> Path | None:
        """Return all parameters after each of some steps; None where it refuses the changes."""
        if self._way is None:
            return None
        key = f"{dtype} {sorted(changes.items())}"
        if key not in self._known:
            self._known[key] = self._walk(changes, dtype, *self._way)
        return self._known[key]

    def trials(self, name: str, alone: bool) -> Iterator[tuple[Changes, Changes, torch.dtype]]:
        """Yield what else is changed, a change of a hyperparameter beside it, and a precision."""
        changes = self.tried[name]
        yield from (({}, change, torch.float64) for change in changes)
        if alone:
            return
        others = [each for each in self.tried.values() if set(each[0]).isdisjoint(changes[0])]
        for dtype in (torch.float64, torch.bfloat16):
            yield from (({}, change, dtype) for change in changes)
            yield from ((beside[0], change, dtype) for beside in others for change in changes)
        draw = random.Random(0)
        for _ in range(_DRAWS):
            drawn = [
                draw.choice((each[0], draw.choice(each))) for each in others if draw.random() < 0.5
            ]
            beside = {key: value for each in drawn for key, value in each.items()}
            yield beside, draw.choice(changes), torch.float64

    def is_given(self, change: Changes) -> bool:
        """Return whether a value can be given where the optimizer is made."""
        ((key, value),) = change.items()
        if key in self.arguments:
            return True
        try:  # one that takes whatever it is given says nothing by that
            self._make({"no such name": value})
        except (Exception, SystemExit):  # however it says so
            pass
        else:
            return False
        try:
            return bool(self._make({key: value}).defaults[key] != self._taken_up[key])
        except (Exception, SystemExit):
            return False

    def is_left_open(self, name: str) -> bool:
        """Return whether a hyperparameter is None by default."""
        return self.values[name.partition("[")[0]] is None

    def _make(self, changes: Changes) -> Optimizer:
        return self.make([torch.nn.Parameter(torch.ones(3, 2))], **{**self.given, **changes})

    def _made(self, params: Any, changes: Changes) -> Optimizer:
        """Make the optimizer; what it does not take then is set in its groups."""
        try:
            return self.make(params, **{**self.given, **changes})
        except TypeError:
            optimizer = self.make(params, **self.given)
            for group in optimizer.param_groups:
                if not changes.keys() <= group.keys():
                    raise
                group.update(changes)
            return optimizer

    def _walk(
        self, changes: Changes, dtype: torch.dtype, by_closure: bool, shapes: Sequence[Shape]
    ) -> Path | None:
        draw = torch.Generator().manual_seed(0)
        size = sum(torch.Size(shape).numel() for shape in shapes)
        gradients = torch.randn((_STEPS, size), generator=draw, dtype=torch.float64)
        gradients[1 : _STEPS // 4] = gradients[0]  # where they agree, a rate that is found grows
        gradients[_STEPS // 2 :] *= 0.1  # where gradients get smaller, the largest is another
        start = _parts(torch.randn(size, generator=draw, dtype=torch.float64), shapes)
        try:
            with same_draws():
                torch.manual_seed(0)
                make = partial(self._made, changes=changes)
                stepper = Stepper(make, Problem("", start, lambda p: p), dtype, _STEPS)
                path = [stepper.flat()]
                for step, gradient in enumerate(gradients):
                    parts = [each.to(dtype) for each in _parts(gradient, shapes)]
                    stepper.step(step + 1, parts, by_closure)
                    path.append(stepper.flat())
            return np.stack(path)
        except (Exception, SystemExit):  # a value that it does not take, however it says so
            return None


def _changed(key: str, value: Any) -> Iterator[tuple[str, Sequence[Changes]]]:
    """Yield the changes of a hyperparameter, or of each number of several, by their name."""
    if key in _MANNER or not _PRINTING.isdisjoint(key.split("_")):
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
        near = [value + 1, 2 * value + 1, max(1, value // 2)]
        return [2, 1, *near] if value > _STEPS else [*near, *_NUMBERS, 2, 0]
    if isinstance(value, float):
        if not math.isfinite(value):  # a limit that is none, of which a part is none either
            return [2.0, *_NUMBERS]
        return [0.5, 0.01] if value == 0 else [*(value * each for each in _FACTORS), *_NUMBERS]
    if isinstance(value, Tensor) and value.is_floating_point() and value.numel() == 1:
        return [value * factor for factor in _FACTORS]
    return [2, 0.5] if value is None else []


def _words(annotation: Any) -> list[str]:
    """Return the words that an argument takes, by its annotation as a `Literal`."""
    inner = get_args(annotation)
    if get_origin(annotation) is Literal:
        return [each for each in inner if isinstance(each, str)]
    return [word for each in inner for word in _words(each)]


def _parts(row: Tensor, shapes: Sequence[Shape]) -> tuple[Tensor, ...]:
    parts = row.split([torch.Size(shape).numel() for shape in shapes])  # type: ignore[no-untyped-call]
    return tuple(part.view(shape) for part, shape in zip(parts, shapes, strict=True))

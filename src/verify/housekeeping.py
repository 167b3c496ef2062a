"""What an optimizer must do beside its steps: keep and give back its state, and touch no more.

Each check takes what makes an optimizer and returns what is wrong, in words, or nothing.
"""

import copy
import itertools
import pickle
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR

from ..internals.lightning import same_draws
from .stepping import Make, take_step

Check = Callable[[Make], str]

#: in how many steps a parameter has moved at the latest
_WARM_UP = 50
#: after how many steps it is looked whether it has grown since; histories are 100 steps long
_WATCHED = (0, 8, 40, 160, 200)


def faults(candidate: Make, reference: Make) -> tuple[list[str], list[str]]:
    """Return what an optimizer does not keep and its reference does.

    Args:
        candidate: makes the one that is looked at.
        reference: makes the one that it is held against.

    Returns:
        What is wrong, with the check's name before it; and the names of the checks that hold. Of
        an optimizer that takes no step at all, only that.
    """
    said = _tried(_steps, candidate)
    if said:
        return ([] if _tried(_steps, reference) else [f"step: {said}"]), []
    wrong, right = [], []
    for name, check in CHECKS.items():
        said = _tried(check, candidate)
        if not said:
            right.append(name)
        elif not _tried(check, reference):
            wrong.append(f"{name}: {said}")
    return wrong, right


def _tried(check: Check, make: Make) -> str:
    try:
        return check(make)
    except Exception as error:  # whatever an optimizer raises
        return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _parameters(dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    draw = torch.Generator().manual_seed(1)
    return [
        nn.Parameter(torch.randn((rows, 2), generator=draw, dtype=dtype), requires_grad=True)
        for rows in (3, 2)
    ]


def _advance(optimizer: Optimizer, steps: Iterable[int]) -> None:
    """Take steps with gradients, and random numbers, that are functions of their numbers."""
    for step in steps:
        draw = torch.Generator().manual_seed(step)
        gradients = [
            torch.randn(each.shape, generator=draw, dtype=torch.float64) for each in _all(optimizer)
        ]

        def feed(gradients: Sequence[Tensor] = gradients) -> float:
            for parameter, gradient in zip(_all(optimizer), gradients, strict=True):
                parameter.grad = gradient.to(parameter.dtype)
            return 1.0

        feed()
        with same_draws():
            torch.manual_seed(step)
            take_step(optimizer, feed)


def _ramp(like: Tensor) -> Tensor:
    """Return a gradient that is not 0 where its mean is taken from it, as some optimizers do."""
    return torch.arange(1, like.numel() + 1, dtype=like.dtype).view_as(like) / like.numel()


def _all(optimizer: Optimizer) -> list[Tensor]:
    return [each for group in optimizer.param_groups for each in group["params"]]


def _values(optimizer: Optimizer) -> list[Tensor]:
    return [each.detach().clone() for each in _all(optimizer)]


def _same(one: Optimizer, other: Optimizer) -> bool:
    return all(map(torch.equal, _values(one), _values(other)))


def _steps(make: Make) -> str:
    _advance(make(_parameters()), range(1))
    return ""


def _state_dict(make: Make) -> str:
    for taken in (1, 2, 5):
        first = make(_parameters())
        _advance(first, range(taken))
        second = make([nn.Parameter(each) for each in _values(first)])
        second.load_state_dict(copy.deepcopy(first.state_dict()))
        for each in (first, second):
            _advance(each, range(taken, taken + 4))
        if not _same(first, second):
            return f"one that is restored after step {taken} goes another way"
    return ""


def _goes_on(make: Make, copied: Callable[[Optimizer], Optimizer]) -> str:
    first = make(_parameters())
    _advance(first, range(3))
    second = copied(first)
    if any(one is other for one, other in zip(_all(first), _all(second), strict=True)):
        return "the copy has the parameters of the first"
    for each in (first, second):
        _advance(each, range(3, 6))
    return "" if _same(first, second) else "the copy goes another way"


def _pickle(make: Make) -> str:
    try:
        pickle.dumps(type(make(_parameters())))
    except (pickle.PicklingError, AttributeError):  # a class inside a function
        return ""
    return _goes_on(make, lambda first: pickle.loads(pickle.dumps(first)))


def _add_param_group(make: Make) -> str:
    old, new = _parameters()
    optimizer = make([old])
    _advance(optimizer, range(2))
    optimizer.add_param_group({"params": [new]})
    before = _values(optimizer)
    for step in range(2, 2 + _WARM_UP):  # some do not move a parameter at first
        _advance(optimizer, [step])
        if not any(map(torch.equal, before, _values(optimizer))):
            return ""
    return "a parameter that is added does not move, or the old one stops"


def _closure(make: Make) -> str:
    for enabled in (True, False):  # torch's own enable gradients where the caller has not
        found = _called(make(_parameters()), enabled)
        if found:
            return found if enabled else f"inside torch.no_grad(), {found}"
    return ""


def _called(optimizer: Optimizer, enabled: bool) -> str:
    """Return what is wrong with how a step calls its closure, with gradients enabled or not."""
    seen: list[bool] = []

    def closure() -> float:
        seen.append(torch.is_grad_enabled())
        for each in _all(optimizer):
            each.grad = _ramp(each)
        return 7.0

    with torch.set_grad_enabled(enabled):
        result = optimizer.step(closure)
    if len(seen) != 1:
        return f"it is called {len(seen)} times in a step"
    if not seen[0]:
        return "it is called with gradients disabled"
    return "" if result == 7 else "its loss is not returned"


def _no_gradient(make: Make) -> str:
    moved, still = _parameters()
    optimizer = make([moved, still])
    before = still.detach().clone()

    def feed() -> float:
        moved.grad, still.grad = _ramp(moved), None
        return 1.0

    for _ in range(3):
        feed()
        take_step(optimizer, feed)
    return "" if torch.equal(still, before) else "a parameter that has none is moved"


def _schedulers(make: Make) -> str:
    optimizer = make(_parameters())
    if any(group.get("lr") is None for group in optimizer.param_groups):
        return "its groups have no lr that a scheduler could set"
    schedule = LambdaLR(optimizer, lambda epoch: float(epoch == 0))
    _advance(optimizer, range(2))
    schedule.step()
    before = _values(optimizer)
    _advance(optimizer, range(2, 3))
    if not all(map(torch.equal, before, _values(optimizer))):
        return "it moves where a scheduler has set lr to 0"
    if not {"momentum", "betas"}.isdisjoint(getattr(optimizer, "defaults", {})):
        OneCycleLR(make(_parameters()), max_lr=0.1, total_steps=5)  # which looks for them
    return ""


def _tensors(optimizer: Optimizer) -> Iterator[tuple[Tensor, str, Tensor]]:
    """Yield each parameter, the name of a state of it, and the state; what is of none is not."""
    for parameter, state in optimizer.state.items():
        if not (isinstance(parameter, Tensor) and isinstance(state, Mapping)):
            continue
        for name, value in state.items():
            if isinstance(value, Tensor):
                yield parameter, str(name), value


def _precision(make: Make) -> str:
    for dtype in (torch.float32, torch.float64):
        optimizer = make(_parameters(dtype))
        _advance(optimizer, range(2))
        for parameter, name, value in _tensors(optimizer):
            if value.shape != parameter.shape or not value.is_floating_point():
                continue
            if value.dtype != parameter.dtype:
                return f"{name} is {value.dtype} where the parameter is {parameter.dtype}"
            if value.device != parameter.device:
                return f"{name} is on {value.device}, the parameter on {parameter.device}"
    return ""


def _zero_grad(make: Make) -> str:
    optimizer = make(_parameters())
    _advance(optimizer, range(1))
    for each in _all(optimizer):  # which some clear in the step
        each.grad = _ramp(each)
    optimizer.zero_grad(set_to_none=False)
    if any(each.grad is None or bool(each.grad.any()) for each in _all(optimizer)):
        return "gradients that are to be zeroed are not zero"
    optimizer.zero_grad()
    left = any(each.grad is not None and bool(each.grad.any()) for each in _all(optimizer))
    return "gradients are left" if left else ""


def _graph(make: Make) -> str:
    parameters = _parameters()
    optimizer = make(parameters)
    for _ in range(3):
        optimizer.zero_grad()
        loss = torch.stack([(each**3).sum() for each in parameters]).sum()
        gradients = torch.autograd.grad(loss, parameters, create_graph=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        take_step(optimizer, lambda: 1.0)
    for _, name, value in _tensors(optimizer):
        if value.grad_fn is not None:
            return f"{name} holds the graph of the loss"
    return "" if all(each.is_leaf for each in parameters) else "a parameter is no leaf any more"


def _hooks(make: Make) -> str:
    optimizer = make(_parameters())
    called: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: called.append("before"))
    optimizer.register_step_post_hook(lambda *_: called.append("after"))
    _advance(optimizer, range(1))
    # one whose step calls that of a class above it has them called twice
    return "" if set(called) == {"before", "after"} else f"called in a step: {called}"


def _numbers(value: object, seen: set[int]) -> int:
    """Return how many numbers are in a value and in what it holds, each object once."""
    if isinstance(value, int | float):
        return 1
    if id(value) in seen:
        return 0
    seen.add(id(value))
    if isinstance(value, Tensor):
        return value.numel()
    if isinstance(value, Optimizer):
        return _numbers({**vars(value), "state": value.state}, seen)
    if isinstance(value, Mapping):
        return sum(_numbers(each, seen) for each in list(value.values()))
    if isinstance(value, list | tuple | set | deque):
        return sum(_numbers(each, seen) for each in list(value))
    return 0


def _memory(make: Make) -> str:
    optimizer = make(_parameters())
    sizes = []
    for begin, end in itertools.pairwise(_WATCHED):
        _advance(optimizer, range(begin, end))
        sizes.append(_numbers(optimizer, set()))
        if len(sizes) > 1 and sizes[-1] <= sizes[-2]:  # a history that is full, too
            return ""
    return f"what it keeps grows from {sizes[0]} numbers to {sizes[-1]} in {_WATCHED[-1]} steps"


#: by the name that a report says
CHECKS: dict[str, Check] = {
    "state_dict": _state_dict,
    "deepcopy": lambda make: _goes_on(make, copy.deepcopy),
    "pickle": _pickle,
    "add_param_group": _add_param_group,
    "closure": _closure,
    "parameters without gradients": _no_gradient,
    "schedulers": _schedulers,
    "precision and device of the state": _precision,
    "zero_grad": _zero_grad,
    "graph": _graph,
    "hooks": _hooks,
    "memory": _memory,
}

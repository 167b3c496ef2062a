r"""Two optimizers on one problem, fed the same gradients: the first step at which they differ.

The gradients are those at the reference's parameters, so that what one optimizer did wrong changes
nothing that either is fed later. Two that do the same arithmetic in another order differ by
rounding, for which is allowed, after :math:`t` steps,

.. math:: 4\,\epsilon\,(t + 8)\,\Bigl(\max_{s \le t}\lvert\theta_s\rvert +
    \sum_{s \le t}\lvert\theta_s - \theta_{s-1}\rvert\Bigr)

with the largest entries of each tensor, and :math:`\epsilon` the spacing of its precision at 1.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from .problems import Parameters, Problem

Values = NDArray[np.floating[Any]]

#: makes an optimizer of parameters, or of groups of them
Make = Callable[[Iterable[Any]], Optimizer]

#: what momentum and the means are multiplied by in the middle of a run, and the decay given then
_LESS, _DECAY = 0.9, 0.01


@dataclass(frozen=True)
class Difference:
    """Where two optimizers differ for the first time.

    Attributes:
        step: from 1.
        where: the parameter, or the state of it, with the index of the entry.
        candidate: its value there.
        reference: its value there.
        allowed: how much rounding is allowed to make of it.
    """

    step: int
    where: str
    candidate: float
    reference: float
    allowed: float

    @property
    def size(self) -> float:
        """How much the two differ."""
        return abs(self.candidate - self.reference)

    def __str__(self) -> str:
        """Return it as part of a sentence."""
        return (
            f"step {self.step}, {self.where}: {self.candidate:.17g} where the reference has "
            f"{self.reference:.17g} (they differ by {self.size:.2g}; rounding may make "
            f"{self.allowed:.2g})"
        )


@dataclass(frozen=True)
class Outcome:
    """What came out on one problem.

    Attributes:
        problem: its name.
        dtype: the precision.
        steps: how many were taken.
        largest: the largest difference of the parameters.
        parameter: where the parameters differ first, if they do.
        state: where states of the same name differ first, if they do.
        error: what the candidate raised where the reference did not.
        skipped: why the problem says nothing: what the reference raised, or the candidate where
            gradients are sparse.
    """

    problem: str
    dtype: str
    steps: int
    largest: float = 0.0
    parameter: Difference | None = None
    state: Difference | None = None
    error: str = ""
    skipped: str = ""

    @property
    def holds(self) -> bool:
        """Whether the candidate did as the reference."""
        return self.parameter is None and not self.error


def run(
    candidate: Make, reference: Make, problem: Problem, dtype: torch.dtype, steps: int
) -> Outcome:
    """Step two optimizers over one problem.

    Args:
        candidate: makes the one that is looked at.
        reference: makes the one that it is held against.
        problem: where they start, and what they are fed.
        dtype: the precision of the parameters.
        steps: how many at most; fewer where the two differ, or the reference is not finite.
    """
    name = str(dtype).removeprefix("torch.")
    try:
        theirs = Stepper(reference, problem, dtype, steps)
        theirs.step(1, theirs.gradients(1))
        theirs = Stepper(reference, problem, dtype, steps)
    except Exception as error:  # whatever an optimizer does not take
        return Outcome(
            problem.name, name, 0, skipped=f"the reference does not take it: {_said(error)}"
        )
    try:
        ours = Stepper(candidate, problem, dtype, steps)
        shared = ours.keys & theirs.keys
        return _compare(ours, theirs, shared, problem.name, name, steps)
    except Exception as error:  # whatever goes wrong in a candidate, a report says it
        if problem.sparse:  # a layout that few optimizers take
            skipped = f"it does not take the layout: {_said(error)}"
            return Outcome(problem.name, name, 0, skipped=skipped)
        return Outcome(problem.name, name, 0, error=_said(error))


class Stepper:
    """An optimizer on its own copy of a problem's parameters."""

    def __init__(self, make: Make, problem: Problem, dtype: torch.dtype, steps: int) -> None:
        self.problem, self.steps = problem, steps
        self.parameters = [each.to(dtype, copy=True).requires_grad_() for each in problem.start]
        groups = [{"params": [each]} for each in self.parameters]
        self.optimizer = make(groups if problem.groups else self.parameters)
        for number, group in enumerate(self.optimizer.param_groups):
            if number and "lr" in group:
                group["lr"] = group["lr"] * 0.5**number

    @property
    def keys(self) -> set[str]:
        """The names of its hyperparameters."""
        return set(self.optimizer.param_groups[0])

    def flat(self) -> Values:
        """Return all its parameters as one array."""
        values = [each.detach() for each in self.parameters]
        if values[0].dtype == torch.bfloat16:  # which NumPy has not
            values = [each.float() for each in values]
        return np.concatenate([each.numpy().ravel() for each in values])

    def gradients(self, step: int) -> list[Tensor | None]:
        """Return the gradients at its parameters, as the problem feeds them at a step."""
        return self.problem.gradients(self.parameters, step)

    def step(self, step: int, gradients: Sequence[Tensor | None], by_closure: bool = False) -> None:
        """Take one step with copies of some gradients; by a closure too, if that is asked for.

        Where a closure is called away from where the step began, the gradients are those of a
        loss of curvature 1 that has the given ones there.
        """
        start = [each.detach().clone() for each in self.parameters]

        def feed() -> float:
            loss = 1 / step
            for parameter, before, gradient in zip(self.parameters, start, gradients, strict=True):
                parameter.grad = None if gradient is None else gradient.clone()
                if gradient is None or torch.equal(parameter, before):
                    continue
                way = parameter.detach() - before
                parameter.grad = gradient + way
                loss += float((way * gradient).sum() + (way * way).sum() / 2)
            return loss

        feed()
        if by_closure:
            self.optimizer.step(feed)
        else:
            take_step(self.optimizer, feed)

    def change(self, step: int, keys: set[str]) -> None:
        """Change hyperparameters that both optimizers have, where the problem does that."""
        if not self.problem.changes:
            return
        for group in self.optimizer.param_groups:
            if step == self.steps // 4 + 1 and "lr" in keys:
                group["lr"] = group["lr"] * 0.5
            if step == self.steps // 2 + 1:
                for key in {"momentum", "alpha", "betas"} & keys:
                    value = group[key]
                    group[key] = (
                        tuple(_LESS * each for each in value)
                        if isinstance(value, tuple | list)
                        else _LESS * value
                    )
            if step == 3 * self.steps // 4 + 1 and "weight_decay" in keys:
                group["weight_decay"] = _DECAY


def take_step(optimizer: Optimizer, closure: Callable[[], float]) -> None:
    """Take a step, by a closure where the optimizer takes none without."""
    try:
        optimizer.step()
    except Exception:  # however it says so
        optimizer.step(closure)


def _compare(
    ours: Stepper, theirs: Stepper, keys: set[str], problem: str, dtype: str, steps: int
) -> Outcome:
    """Step both until their parameters differ."""
    allowance = Allowance(theirs)
    largest, state, step = 0.0, None, 0
    for step, expected in together(ours, theirs, keys, steps):
        allowance.take(expected)
        state = state or _in_state(ours, theirs, step)
        if np.array_equal(ours.flat(), expected):
            continue
        allowed = allowance.after(step)
        found, size = _in_parameters(ours.parameters, theirs.parameters, allowed, step)
        largest = max(largest, size)
        if found:
            return Outcome(problem, dtype, step, largest, found, state)
    return Outcome(problem, dtype, step, largest, state=state)


def together(
    ours: Stepper, theirs: Stepper, keys: set[str], steps: int
) -> Iterator[tuple[int, Values]]:
    """Step both on the reference's gradients, and yield each step with where the reference is.

    Args:
        ours: the candidate.
        theirs: the reference, where it ends: at the first parameters that are not finite.
        keys: the hyperparameters that are changed, where the problem does that.
        steps: how many at most.
    """
    for step in range(1, steps + 1):
        gradients = theirs.gradients(step)
        for each in (ours, theirs):
            each.change(step, keys)
        drawn = torch.get_rng_state()
        theirs.step(step, gradients)
        torch.set_rng_state(drawn)  # what both draw is the same
        expected = theirs.flat()
        if not np.isfinite(expected).all():
            return
        ours.step(step, gradients)
        yield step, expected


class Allowance:
    """How much rounding may make of each parameter, from the path of the reference."""

    def __init__(self, reference: Stepper) -> None:
        sizes = [each.numel() for each in reference.parameters]
        self._spacing = 4 * torch.finfo(reference.parameters[0].dtype).eps
        self._last = reference.flat()
        self._filled = [index for index, size in enumerate(sizes) if size]
        self._starts = np.cumsum([0, *sizes[:-1]])[self._filled]
        self._of = [0.0] * len(sizes)
        self._reach, self._way = self._tops(self._last), np.zeros(len(self._filled))

    def _tops(self, values: Values) -> Values:
        """Return the largest magnitude in each parameter that has entries."""
        tops: Values = np.maximum.reduceat(np.abs(values), self._starts)
        return tops

    def take(self, values: Values) -> None:
        """Take where the reference is after its next step."""
        self._reach = np.maximum(self._reach, self._tops(values))
        self._way = self._way + self._tops(values - self._last)
        self._last = values

    def after(self, step: int) -> list[float]:
        """Return what is allowed of each parameter after a number of steps."""
        for index, most in zip(self._filled, self._reach + self._way, strict=True):
            self._of[index] = self._spacing * (step + 8) * float(most)
        return self._of


def _top(values: Tensor) -> float:
    return values.detach().abs().max().item() if values.numel() else 0.0


def _in_parameters(
    ours: Parameters, theirs: Parameters, allowed: Sequence[float], step: int
) -> tuple[Difference | None, float]:
    """Return the first parameter that differs, at its worst entry, and the largest difference."""
    largest = 0.0
    for index, (one, other, most) in enumerate(zip(ours, theirs, allowed, strict=True)):
        found, size = _apart(one.detach(), other.detach(), most, step, f"parameter {index}")
        largest = max(largest, size)
        if found:
            return found, largest
    return None, largest


def _in_state(ours: Stepper, theirs: Stepper, step: int) -> Difference | None:
    """Return the first state that both keep under one name and that differs."""
    for index, (one, other) in enumerate(zip(ours.parameters, theirs.parameters, strict=True)):
        mine, kept = ours.optimizer.state.get(one, {}), theirs.optimizer.state.get(other, {})
        for name in mine:
            if name not in kept:
                continue
            values = mine[name], kept[name]
            if all(isinstance(each, Tensor) for each in values) and _same(*values):
                continue
            pair = _numbers(values[0]), _numbers(values[1])
            if pair[0] is None or pair[1] is None or pair[0].shape != pair[1].shape:
                continue
            spacing = 4 * torch.finfo(one.dtype).eps * (step + 8)
            where = f"state {name} of parameter {index}"
            found, _ = _apart(pair[0], pair[1], spacing * _top(pair[1]), step, where)
            if found:
                return found
    return None


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two states are the same bit for bit: the usual case, told quickly."""
    return one.layout is torch.strided is other.layout and torch.equal(one, other)


def _numbers(value: object) -> Tensor | None:
    """Return a state as float64, or None where it is no numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float | Tensor):
        return None
    tensor = torch.as_tensor(value).detach()
    return None if tensor.is_complex() or tensor.is_sparse else tensor.to(torch.float64)


def _apart(
    one: Tensor, other: Tensor, allowed: float, step: int, where: str
) -> tuple[Difference | None, float]:
    if not one.numel() or torch.equal(one, other):
        return None, 0.0
    size = (one - other).abs().nan_to_num(torch.inf, torch.inf).reshape(-1)
    worst = int(size.argmax())
    largest = size[worst].item()
    if largest <= allowed:
        return None, largest
    index = ", ".join(str(int(each)) for each in torch.unravel_index(size.argmax(), one.shape))
    values = one.reshape(-1)[worst].item(), other.reshape(-1)[worst].item()
    return Difference(step, f"{where}[{index}]" if index else where, *values, allowed), largest


def _said(error: Exception) -> str:
    """Return an error as one line; some of torch's are as long as a page."""
    return shorten(f"{type(error).__name__}: {error}", 200, placeholder=" …")

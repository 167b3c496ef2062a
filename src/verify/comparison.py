"""Two optimizers on one problem, fed the same gradients: the first step at which they differ.

The gradients are those at the reference's parameters, so that what one optimizer did wrong changes
nothing that either is fed later. A difference is more than rounding may make.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from textwrap import shorten

import numpy as np
import torch
from torch import Tensor

from .problems import Parameters, Problem
from .rounding import Allowance
from .stepping import Make, Stepper, together


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
        steps: how many were compared.
        largest: the largest difference of the parameters, until the step at which they differ.
        parameter: where the parameters differ first, if they do: of that step, the most.
        state: where states of the same name differ first, if they do.
        error: what the candidate raised where the reference did not.
        skipped: why the problem says nothing: what the reference raised, or the candidate where
            gradients are sparse or, a function, groups are given; or that the reference is not
            finite after its first step.
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
    except Exception as error:  # whatever goes wrong in a candidate, a report says it
        if problem.groups and not _is_class(candidate):  # a function may make groups itself
            skipped = f"it is a function that takes no groups: {_said(error)}"
            return Outcome(problem.name, name, 0, skipped=skipped)
        return Outcome(problem.name, name, 0, error=_said(error))
    try:
        shared = ours.keys & theirs.keys
        return _compare(ours, theirs, shared, problem.name, name, steps)
    except Exception as error:
        if problem.sparse:  # a layout that few optimizers take
            skipped = f"it does not take the layout: {_said(error)}"
            return Outcome(problem.name, name, 0, skipped=skipped)
        return Outcome(problem.name, name, 0, error=_said(error))


@np.errstate(over="ignore", invalid="ignore")  # what is too large ends it
def _compare(
    ours: Stepper, theirs: Stepper, keys: set[str], problem: str, dtype: str, steps: int
) -> Outcome:
    """Step both until their parameters differ."""
    allowance = Allowance(theirs, keys)
    largest, state, compared = 0.0, None, 0
    for step, expected in together(ours, theirs, keys, steps):
        allowance.take(expected)
        state = state or _in_state(ours, theirs, step)
        if not np.array_equal(ours.flat(), expected):
            for allow in (allowance.after, allowance.measured):  # which takes long
                allowed = allow(step)
                found, size = _in_parameters(ours.parameters, theirs.parameters, allowed, step)
                if not found:
                    break
            if not all(map(math.isfinite, allowed)):
                break  # within an infinite allowance anything would be equal
            largest = max(largest, size)
            if found:
                return Outcome(problem, dtype, step, largest, found, state)
        compared = step
    if not compared:
        skipped = "nothing can be compared: the reference is not finite after one step"
        return Outcome(problem, dtype, 0, skipped=skipped)
    return Outcome(problem, dtype, compared, largest, state=state)


def _is_class(make: Make) -> bool:
    """Return whether what makes an optimizer is its class, with hyperparameters or without."""
    return isinstance(make.func if isinstance(make, partial) else make, type)


def _top(values: Tensor) -> float:
    return values.detach().abs().max().item() if values.numel() else 0.0


def _in_parameters(
    ours: Parameters, theirs: Parameters, allowed: Sequence[float], step: int
) -> tuple[Difference | None, float]:
    """Return the entry that differs most, and the largest difference, rounding too."""
    largest, worst = 0.0, None
    for index, (one, other, most) in enumerate(zip(ours, theirs, allowed, strict=True)):
        found, size = _apart(one.detach(), other.detach(), most, step, f"parameter {index}")
        largest = max(largest, size)
        if found and (worst is None or found.size > worst.size):
            worst = found
    return worst, largest


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

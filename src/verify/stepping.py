"""One optimizer on a problem, and two side by side on the same gradients."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim import Optimizer

from .problems import Problem

Values = NDArray[np.floating[Any]]

#: makes an optimizer of parameters, or of groups of them
Make = Callable[[Iterable[Any]], Optimizer]

#: what momentum and the means are multiplied by in the middle of a run, and the decay given then
_LESS, _DECAY = 0.9, 0.01


class Stepper:
    """An optimizer on its own copy of a problem's parameters."""

    def __init__(self, make: Make, problem: Problem, dtype: torch.dtype, steps: int) -> None:
        self.make, self.problem, self.dtype, self.steps = make, problem, dtype, steps
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

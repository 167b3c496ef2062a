"""Many time steps that remember few of their states, with the same gradient."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import vjp

Step = Callable[[Tensor, Tensor], Tensor]
"""One time step: the next state, of a state and a parameter."""


def steps(step: Step, x0: Tensor, theta: Tensor, count: int) -> Tensor:
    """Return the state after some time steps; autograd remembers each of them.

    Args:
        step: one time step.
        x0: the state at time 0.
        theta: the parameter of every step.
        count: how many steps.
    """
    x = x0
    for _ in range(count):
        x = step(x, theta)
    return x


def checkpointed(step: Step, x0: Tensor, theta: Tensor, count: int) -> Tensor:
    r"""Return the same state as `steps`; of T steps, autograd remembers about :math:`\sqrt T`.

    Backward goes from each remembered state to the next one a second time, the last segment first.
    The gradient's sum over time is handed on from segment to segment, so that its terms are added
    in the order of an ordinary backward pass: the gradient is the same, bit for bit.

    A second derivative, and `torch.func.grad`, go back through all time steps at once.

    Args:
        step: one time step; a function of its two arguments alone.
        x0: the state at time 0.
        theta: the parameter of every step.
        count: how many steps.

    Example:
        >>> theta = torch.tensor(0.5, requires_grad=True)
        >>> final = checkpointed(torch.add, torch.zeros(2), theta, count=4)
        >>> final.sum().backward()
        >>> theta.grad
        tensor(8.)

    Reference:
        Chen, Xu, Zhang and Guestrin (2016), Training deep nets with sublinear memory cost, section
        4.1.
    """
    if not torch.is_grad_enabled():
        return steps(step, x0, theta, count)
    final: Tensor = _Checkpointed.apply(step, x0, theta, count)[0]  # type: ignore[no-untyped-call]
    return final


class _Checkpointed(torch.autograd.Function):
    """Forward through all segments, backward through one at a time."""

    generate_vmap_rule = True

    @staticmethod
    def forward(step: Step, x0: Tensor, theta: Tensor, count: int) -> tuple[Tensor, ...]:
        """Return the last state, and the first one of each segment but the first."""
        x, kept = x0, []
        for length in _segments(count):
            kept.append(x)
            x = steps(step, x, theta, length)
        return x, *kept[1:]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        """Keep what backward needs."""
        ctx.step, x0, theta, ctx.count = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)  # zeros for each of them would be as much memory again
        ctx.save_for_backward(theta, x0, *output[1:])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[None, Tensor, Tensor, None]:
        """Go back through one segment after the other, the last one first."""
        theta, *kept = ctx.saved_tensors
        at_x = torch.zeros_like(kept[0]) if gradients[0] is None else gradients[0]
        at_theta = torch.zeros_like(theta)
        if torch.is_grad_enabled():  # what is returned will be differentiated, by x0 and theta
            return None, *_pull_back(ctx.step, kept[0], theta, ctx.count, at_x, at_theta), None
        for start, length in reversed(list(zip(kept, _segments(ctx.count), strict=True))):
            at_x, at_theta = _pull_back(ctx.step, start, theta, length, at_x, at_theta)
        return None, at_x, at_theta, None


def _pull_back(
    step: Step, start: Tensor, theta: Tensor, count: int, at_x: Tensor, at_theta: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the gradient at a segment's first state, and theta's with the segment's part added."""
    pull = vjp(lambda x, parameter: (steps(step, x, parameter, count), parameter), start, theta)[1]
    found: tuple[Tensor, Tensor] = pull((at_x, at_theta))
    return found


def _segments(count: int) -> list[int]:
    """Cut T time steps into segments of √T, the last one shorter."""
    length = math.isqrt(count)
    return [min(length, count - start) for start in range(0, count, length)]

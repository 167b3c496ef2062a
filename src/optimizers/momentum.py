"""Gradient descent with momentum (the heavy ball)."""

from typing import Any, ClassVar

from torch import Tensor
from torch.optim.optimizer import ParamsT

from .rule import Hyperparameter, Rule, add_scaled, like, require


def momentum_step(
    parameter: Tensor,
    gradient: Tensor,
    buffer: Tensor | None,
    lr: Hyperparameter,
    momentum: Hyperparameter,
) -> Tensor:
    r"""Take one heavy-ball step, in place, and return the buffer.

    .. math:: b_1 = g_1, \qquad b_t = \mu b_{t-1} + g_t, \qquad \theta_t = \theta_{t-1} - \gamma b_t

    Shapes: parameter, gradient, buffer: any one shape. lr: the learning rate :math:`\gamma`, > 0.
    momentum: :math:`\mu`, 0 <= mu <= 1. Either may be one for each row, (M, 1, …).

    Args:
        parameter: moved in place.
        gradient: left as it is.
        buffer: what the step before returned, changed in place; None at the first step.
        lr: the learning rate.
        momentum: how much of the buffer is kept.

    Returns:
        The buffer, for the next step.

    Example:
        >>> import torch
        >>> theta, buffer = torch.tensor([1.0]), None
        >>> for _ in range(2):
        ...     buffer = momentum_step(theta, torch.tensor([1.0]), buffer, lr=0.1, momentum=0.5)
        >>> theta, buffer
        (tensor([0.7500]), tensor([1.5000]))

    Reference:
        Polyak (1964), eq. 9, in the convention of torch.optim.SGD (no damping), bit for bit.
    """
    if buffer is None:
        buffer = gradient.clone()
    else:
        buffer.mul_(like(momentum, buffer)).add_(gradient)
    add_scaled(parameter, buffer, -lr)
    return buffer


class Momentum(Rule):
    r"""Momentum: :math:`b_t = \mu b_{t-1} + g_t`, :math:`\theta_t = \theta_{t-1} - \gamma b_t`.

    The first buffer is the first gradient. With :math:`\mu = 1` nothing is ever forgotten and the
    iterates of a quadratic oscillate without end; that is allowed, since a handout draws it.

    Args:
        params: parameters or groups of them.
        lr: the learning rate :math:`\gamma`, > 0.
        momentum: :math:`\mu`, 0 <= mu <= 1.

    Raises:
        UsageError: (a ValueError) if `lr` or `momentum` is out of its range.

    Reference:
        Equal bit for bit to ``torch.optim.SGD(params, lr, momentum)``, state included.
    """

    per_member: ClassVar[tuple[str, ...]] = ("lr", "momentum")
    state_names: ClassVar[tuple[str, ...]] = ("momentum_buffer",)

    def __init__(self, params: ParamsT, lr: float = 1e-2, momentum: float = 0.9) -> None:
        super().__init__(params, lr=lr, momentum=momentum)

    def check(self, *, lr: float, momentum: float) -> None:  # type: ignore[override]
        """Refuse a learning rate that is not > 0 and a momentum outside [0, 1]."""
        require("lr", lr, lr > 0, "a finite number > 0")
        require("momentum", momentum, 0 <= momentum <= 1, "in [0, 1]")

    def update(
        self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        """Move one parameter along its buffer."""
        state["momentum_buffer"] = momentum_step(
            parameter, gradient, state.get("momentum_buffer"), group["lr"], group["momentum"]
        )

    @staticmethod
    def pure(
        parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], hyper: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the moved parameter and the new buffer; from a buffer of zeros at the start."""
        dtype = parameter.dtype
        buffer = hyper["momentum"].to(dtype) * state["momentum_buffer"] + gradient
        return parameter - hyper["lr"].to(dtype) * buffer, {"momentum_buffer": buffer}

"""Gradient descent with momentum (the heavy ball)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from .arithmetic import add_scaled, scaled
from .rule import Rule, State, require


class Momentum(Rule):
    r"""Momentum: gradients add up in a buffer, which forgets.

    .. math:: b_1 = g_1, \qquad b_t = \mu b_{t-1} + g_t, \qquad \theta_t = \theta_{t-1} - \gamma b_t

    With :math:`\mu = 1` nothing is ever forgotten and the iterates of a quadratic oscillate without
    end; that is allowed, since a handout draws it.

    Args:
        params: parameters or groups of them.
        lr: the learning rate :math:`\gamma`, > 0.
        momentum: :math:`\mu`, 0 <= mu <= 1.

    Raises:
        UsageError: (a ValueError) if `lr` or `momentum` is out of its range.

    Example:
        >>> import torch
        >>> theta, state = torch.tensor([1.0]), {}
        >>> for _ in range(2):
        ...     theta, state = Momentum.update(
        ...         theta, torch.tensor([1.0]), state, {"lr": 0.1, "momentum": 0.5}
        ...     )
        >>> theta, state
        (tensor([0.7500]), {'momentum_buffer': tensor([1.5000])})

    Reference:
        Polyak (1964), eq. 9, without damping. Equal bit for bit to
        ``torch.optim.SGD(params, lr, momentum, foreach=False)``, state included.
    """

    def __init__(self, params: ParamsT, lr: float = 1e-2, momentum: float = 0.9) -> None:
        super().__init__(params, lr=lr, momentum=momentum)

    def check(self, *, lr: float, momentum: float) -> None:  # type: ignore[override]
        """Refuse a learning rate that is not > 0 and a momentum outside [0, 1]."""
        require("lr", lr, lr > 0, "a finite number > 0")
        require("momentum", momentum, 0 <= momentum <= 1, "in [0, 1]")

    @staticmethod
    def update(
        parameter: Tensor, gradient: Tensor, state: State, hyperparameters: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        """Move a parameter along its buffer; the first buffer is the first gradient."""
        buffer = gradient
        if state:
            buffer = scaled(state["momentum_buffer"], hyperparameters["momentum"]).add_(gradient)
        moved = add_scaled(parameter, buffer, -hyperparameters["lr"])
        return moved, {"momentum_buffer": buffer}

"""Gradient descent with a constant step."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim.optimizer import ParamsT

from .arithmetic import add_scaled
from .rule import Rule, State, require


class GradientDescent(Rule):
    r"""Gradient descent.

    .. math:: \theta_t = \theta_{t-1} - \gamma g_t

    Args:
        params: parameters or groups of them.
        lr: the learning rate :math:`\gamma`, > 0.

    Raises:
        UsageError: (a ValueError) if `lr` is not a finite number > 0.

    Example:
        >>> import torch
        >>> theta = torch.tensor([1.0, -1.0])
        >>> GradientDescent.update(theta, 2 * theta, {}, {"lr": 0.25})
        (tensor([ 0.5000, -0.5000]), {})

    Reference:
        Cauchy (1847). Equal bit for bit to ``torch.optim.SGD(params, lr, foreach=False)``.
    """

    def __init__(self, params: ParamsT, lr: float = 1e-2) -> None:
        super().__init__(params, lr=lr)

    def check(self, *, lr: float) -> None:  # type: ignore[override]
        """Refuse a learning rate that is not > 0."""
        require("lr", lr, lr > 0, "a finite number > 0")

    @staticmethod
    def update(
        parameter: Tensor, gradient: Tensor, state: State, hyperparameters: Mapping[str, Any]
    ) -> tuple[Tensor, State]:
        """Move a parameter against its gradient; there is no state."""
        return add_scaled(parameter, gradient, -hyperparameters["lr"]), {}

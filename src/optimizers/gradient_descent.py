"""Gradient descent with a constant step."""

from typing import Any, ClassVar

from torch import Tensor
from torch.optim.optimizer import ParamsT

from .rule import Hyperparameter, Rule, add_scaled, require


def gradient_descent_step(parameter: Tensor, gradient: Tensor, lr: Hyperparameter) -> None:
    r"""Take one step of gradient descent, in place.

    .. math:: \theta_t = \theta_{t-1} - \gamma g_t

    Shapes: parameter and gradient: any one shape. lr: the learning rate :math:`\gamma`, > 0; or
    one for each row of them, (M, 1, …).

    Example:
        >>> import torch
        >>> theta = torch.tensor([1.0, -1.0])
        >>> gradient_descent_step(theta, 2 * theta, lr=0.25)
        >>> theta
        tensor([ 0.5000, -0.5000])

    Reference:
        Cauchy (1847); torch.optim.SGD without momentum, bit for bit.
    """
    add_scaled(parameter, gradient, -lr)  # not sub_(lr * gradient): that rounds twice


class GradientDescent(Rule):
    r"""Gradient descent: :math:`\theta_t = \theta_{t-1} - \gamma g_t`.

    Args:
        params: parameters or groups of them.
        lr: the learning rate :math:`\gamma`, > 0.

    Raises:
        UsageError: (a ValueError) if `lr` is not a finite number > 0.

    Reference:
        Equal bit for bit to ``torch.optim.SGD(params, lr)``.
    """

    per_member: ClassVar[tuple[str, ...]] = ("lr",)

    def __init__(self, params: ParamsT, lr: float = 1e-2) -> None:
        super().__init__(params, lr=lr)

    def check(self, *, lr: float) -> None:  # type: ignore[override]
        """Refuse a learning rate that is not > 0."""
        require("lr", lr, lr > 0, "a finite number > 0")

    def update(
        self, parameter: Tensor, gradient: Tensor, state: dict[str, Any], group: dict[str, Any]
    ) -> None:
        """Move one parameter against its gradient."""
        gradient_descent_step(parameter, gradient, group["lr"])

    @staticmethod
    def pure(
        parameter: Tensor, gradient: Tensor, state: dict[str, Tensor], hyper: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the moved parameter; there is no state."""
        return parameter - hyper["lr"].to(parameter.dtype) * gradient, state
